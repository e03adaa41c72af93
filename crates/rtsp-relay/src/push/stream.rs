//! One stream: the pictures since the last key frame, and the viewers.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use gst::ClockTime;
use gst::glib::WeakRef;
use gst_rtsp_server::{RTSPClient, RTSPMedia};

use super::FIRST_PICTURE;
use super::viewer::Viewer;
use crate::path::StreamPath;

/// The most that is kept of one stream since its last key frame, in bytes.
const MAX_GROUP_BYTES: usize = 16 * 1024 * 1024;

/// One coded picture, in byte-stream form.
#[derive(Debug, Clone)]
pub(super) struct Picture {
    /// The bytes.
    pub(super) data: gst::Buffer,
    /// What they are: size, profile.
    pub(super) caps: gst::Caps,
    /// When it was taken, on the system's clock.
    pub(super) taken: ClockTime,
    /// Whether decoding can begin here, with nothing else known.
    pub(super) key: bool,
}

/// A stream that is being pushed.
#[derive(Debug)]
pub(crate) struct Stream {
    path: StreamPath,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// From the last key frame on; empty until the first one, and while they are too many.
    group: Vec<Picture>,
    group_bytes: usize,
    viewers: Vec<Viewer>,
    pictures: u64,
    /// The beginning, then the last picture.
    last_sign: Instant,
    ended: bool,
}

impl Stream {
    pub(super) fn new(path: StreamPath) -> Arc<Self> {
        let state = State {
            group: Vec::new(),
            group_bytes: 0,
            viewers: Vec::new(),
            pictures: 0,
            last_sign: Instant::now(),
            ended: false,
        };
        Arc::new(Self { path, state: Mutex::new(state) })
    }

    /// Where it is published and played.
    pub(crate) fn path(&self) -> &StreamPath {
        &self.path
    }

    /// Whether a viewer that joins now would see something.
    pub(super) fn is_viewable(&self) -> bool {
        let state = self.state();
        !state.ended && !state.group.is_empty()
    }

    /// Whether the publisher has been silent for too long: `patience`, or more before the first picture.
    pub(super) fn is_silent(&self, patience: Duration) -> bool {
        let state = self.state();
        let patience = if state.pictures == 0 { patience.max(FIRST_PICTURE) } else { patience };
        state.last_sign.elapsed() > patience
    }

    /// Gives `picture` to every viewer.
    pub(super) fn push(&self, picture: Picture) {
        let path = &self.path;
        let mut state = self.state();
        let State { group, group_bytes, viewers, pictures, last_sign, .. } = &mut *state;
        *pictures += 1;
        *last_sign = Instant::now();
        if picture.key {
            if group.is_empty() {
                tracing::info!(%path, "ready to be viewed");
            }
            group.clear();
            *group_bytes = 0;
        }
        if picture.key || !group.is_empty() {
            *group_bytes += picture.data.size();
            group.push(picture.clone());
        }
        if *group_bytes > MAX_GROUP_BYTES {
            tracing::warn!(
                %path,
                "more than {} MB since the last key frame: nobody can join until the next one; \
                 one a second is better: ffmpeg … -c:v libx264 -g 25 …",
                MAX_GROUP_BYTES / (1024 * 1024)
            );
            group.clear();
            *group_bytes = 0;
        }
        viewers.retain_mut(|viewer| viewer.take(&picture, group).is_ok());
    }

    /// Lets `media`, which `client` has asked for, take part.
    pub(super) fn join(self: &Arc<Self>, media: &RTSPMedia, client: WeakRef<RTSPClient>) {
        let Some(viewer) = Viewer::new(media, client, self) else {
            tracing::error!(path = %self.path, "cannot be played: the media has no source");
            return;
        };
        let mut state = self.state();
        if state.ended {
            viewer.end();
        } else {
            state.viewers.push(viewer);
            tracing::info!(path = %self.path, viewers = state.viewers.len(), "a viewer joined");
        }
    }

    /// Forgets the viewer whose source is `source`.
    pub(super) fn leave(&self, source: &gst_app::AppSrc) {
        let mut state = self.state();
        let before = state.viewers.len();
        state.viewers.retain(|viewer| !viewer.has(source));
        if state.viewers.len() < before {
            tracing::info!(path = %self.path, viewers = state.viewers.len(), "a viewer left");
        }
    }

    /// Ends it for every viewer; returns their connections, which are still open.
    pub(super) fn end(&self) -> Vec<WeakRef<RTSPClient>> {
        let mut state = self.state();
        state.ended = true;
        state.group.clear();
        let viewers = std::mem::take(&mut state.viewers);
        tracing::info!(path = %self.path, pictures = state.pictures, viewers = viewers.len(), "the push is over");
        viewers.into_iter().map(Viewer::end).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
