//! Decoders for H.264: the fastest that is installed.

use gst::{glib, prelude::*};

use super::{SourceError, element::loads};

/// What a decoder is called, and the Debian package that brings it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Decoder {
    pub(super) element: &'static str,
    pub(super) package: &'static str,
}

/// Best first. OpenH264 is a tenth of libav's size, for images; it knows neither B-frames of every kind nor interlaced
/// pictures, which cameras do not send.
pub(super) const DECODERS: [Decoder; 2] = [
    Decoder { element: "avdec_h264", package: "gstreamer1.0-libav" },
    Decoder { element: "openh264dec", package: "gstreamer1.0-plugins-bad" },
];

/// The first decoder that `is_there`.
pub(super) fn choose(is_there: impl Fn(&str) -> bool) -> Option<Decoder> {
    DECODERS.into_iter().find(|decoder| is_there(decoder.element))
}

/// The installed decoder, loaded.
///
/// # Errors
///
/// There is none; the error names all that would do.
pub(super) fn find() -> Result<Decoder, SourceError> {
    choose(loads).ok_or(SourceError::NoDecoder)
}

/// Makes the installed decoder, one that holds back no frames.
pub(super) fn make() -> Result<gst::Element, glib::BoolError> {
    let decoder = find().map_err(|error| glib::bool_error!("{error}"))?;
    let decode = gst::ElementFactory::make(decoder.element).build()?;
    // One thread: frame threads would hold back as many frames.
    if decode.has_property("max-threads") {
        decode.set_property("max-threads", 1i32);
    }
    Ok(decode)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fastest_that_is_there() {
        let among =
            |there: &[&str]| choose(|element| there.contains(&element)).map(|decoder| decoder.element);
        assert_eq!(among(&["openh264dec", "avdec_h264"]), Some("avdec_h264"));
        assert_eq!(among(&["openh264dec"]), Some("openh264dec"));
        assert_eq!(among(&["x264enc"]), None);
    }

    #[test]
    fn without_any_all_are_named() {
        let error = SourceError::NoDecoder.to_string();
        for decoder in DECODERS {
            assert!(error.contains(decoder.element) && error.contains(decoder.package), "{error}");
        }
    }
}
