//! GStreamer's elements.

use gst::prelude::*;

/// Whether the plugin that brings element `name` is installed and loads.
pub(super) fn loads(name: &str) -> bool {
    gst::ElementFactory::find(name).is_some_and(|factory| factory.load().is_ok())
}
