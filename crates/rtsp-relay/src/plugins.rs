//! Which GStreamer elements the relay uses, and the Debian package of each.

use gst::ElementFactory;

/// Element and package, in the order in which the relay needs them.
const NEEDED: [(&str, &str); 11] = [
    ("filesrc", "libgstreamer1.0-0"),
    ("fakesink", "libgstreamer1.0-0"),
    ("appsrc", "gstreamer1.0-plugins-base"),
    ("appsink", "gstreamer1.0-plugins-base"),
    ("qtdemux", "gstreamer1.0-plugins-good"),
    ("rtpbin", "gstreamer1.0-plugins-good"),
    ("rtph264pay", "gstreamer1.0-plugins-good"),
    ("rtph264depay", "gstreamer1.0-plugins-good"),
    ("udpsrc", "gstreamer1.0-plugins-good"),
    ("udpsink", "gstreamer1.0-plugins-good"),
    ("h264parse", "gstreamer1.0-plugins-bad"),
];

/// GStreamer cannot do what the relay needs.
#[derive(Debug, thiserror::Error)]
pub enum PluginError {
    /// The library itself does not start.
    #[error("GStreamer does not start")]
    Init(#[from] gst::glib::Error),
    /// An element's plugin is not installed.
    #[error(
        "GStreamer has no element `{element}`; it is in the Debian package {package}: apt-get install {package}"
    )]
    Missing {
        /// The element's factory name.
        element: &'static str,
        /// The Debian package that has it.
        package: &'static str,
    },
}

/// Starts GStreamer and looks for every element that the relay will use.
pub fn init() -> Result<(), PluginError> {
    gst::init()?;
    match NEEDED.iter().find(|(element, _)| ElementFactory::find(element).is_none()) {
        Some((element, package)) => Err(PluginError::Missing { element, package }),
        None => Ok(()),
    }
}
