//! Takes the H.264 track out of an MP4 or QuickTime file.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use gst::ClockTime;
use gst::prelude::*;

use crate::clip::ClipErrorReason;
use crate::media;

/// How long to wait for the next access unit before looking whether reading has failed.
const READ_POLL: ClockTime = ClockTime::from_mseconds(200);

/// A running pipeline that takes a file apart; stopped when dropped.
pub(crate) struct Reader {
    pipeline: gst::Pipeline,
    sink: gst_app::AppSink,
    /// Media types of the tracks that are not the one being read.
    others: Arc<Mutex<BTreeSet<String>>>,
}

impl Reader {
    /// Opens an MP4 or QuickTime file.
    pub(crate) fn start(path: &Path) -> Result<Self, ClipErrorReason> {
        let pipeline = gst::Pipeline::new();
        let make = gst::ElementFactory::make;
        let source = make("filesrc").property("location", path).build()?;
        let demux = make("qtdemux").build()?;
        let parse = make("h264parse").property("config-interval", -1).build()?;
        let sink =
            gst_app::AppSink::builder().caps(&media::access_units()).sync(false).max_buffers(64).build();
        pipeline.add_many([&source, &demux, &parse, sink.upcast_ref()])?;
        gst::Element::link_many([&source, &demux])?;
        parse.link(&sink)?;

        let others = Arc::new(Mutex::new(BTreeSet::new()));
        demux.connect_pad_added({
            let others = Arc::clone(&others);
            let input = parse.static_pad("sink");
            move |_, pad| {
                let caps = pad.current_caps();
                let kind = caps.as_ref().and_then(|caps| caps.structure(0)).map(|s| s.name().to_string());
                let taken = kind.as_deref() == Some("video/x-h264")
                    && input.as_ref().is_some_and(|input| !input.is_linked() && pad.link(input).is_ok());
                if !taken && let Some(kind) = kind {
                    others.lock().unwrap_or_else(PoisonError::into_inner).insert(kind);
                }
            }
        });
        let reader = Self { pipeline, sink, others };
        if let Err(failed) = reader.pipeline.set_state(gst::State::Playing) {
            // The bus says more than the state change does.
            reader.failure()?;
            return Err(failed.into());
        }
        Ok(reader)
    }

    /// The next access unit; `None` at the end.
    pub(crate) fn next(&self) -> Result<Option<gst::Sample>, ClipErrorReason> {
        loop {
            let sample = self.sink.try_pull_sample(READ_POLL);
            if sample.is_none() {
                self.failure()?;
            }
            if sample.is_some() || self.sink.is_eos() {
                return Ok(sample);
            }
        }
    }

    /// The error on the bus, told in terms of the file.
    fn failure(&self) -> Result<(), ClipErrorReason> {
        let Some(message) = self.pipeline.bus().and_then(|bus| bus.pop_filtered(&[gst::MessageType::Error]))
        else {
            return Ok(());
        };
        let gst::MessageView::Error(error) = message.view() else {
            return Ok(());
        };
        let others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        if !others.is_empty() {
            let found = others.iter().cloned().collect::<Vec<_>>().join(", ");
            return Err(ClipErrorReason::NotH264 { found });
        }
        Err(ClipErrorReason::Broken(error.error().to_string()))
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        if self.pipeline.set_state(gst::State::Null).is_err() {
            tracing::debug!("the reading pipeline did not stop");
        }
    }
}
