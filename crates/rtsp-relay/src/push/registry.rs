//! Who publishes under which path; begins and ends streams.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use gst::glib::WeakRef;
use gst::prelude::*;
use gst_rtsp_server::gst_rtsp::RTSPStatusCode;
use gst_rtsp_server::prelude::*;
use gst_rtsp_server::{RTSPClient, RTSPMediaFactory, RTSPMountPoints};

use super::stream::Stream;
use super::{PushLimits, viewer};
use crate::path::{PathError, StreamPath};

/// How long viewers keep their connection after the end of the stream, so that they learn of the end by RTCP.
const GRACE: Duration = Duration::from_millis(500);

/// Why a publisher is turned away.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("this relay takes no pushes; it does when started with --accept-push")]
    NoPushes,
    #[error(transparent)]
    Path(#[from] PathError),
    #[error("a file plays there")]
    Clip,
    #[error("somebody else is pushing there")]
    Taken,
    #[error("this connection pushes already")]
    Busy,
    #[error("{0} streams are being pushed, the most that --max-pushes allows")]
    Full(usize),
}

impl Refusal {
    /// What the publisher is answered (RFC 2326, 11.3).
    pub(crate) fn status(&self) -> RTSPStatusCode {
        match self {
            Self::NoPushes | Self::Clip => RTSPStatusCode::MethodNotAllowed,
            Self::Path(_) => RTSPStatusCode::BadRequest,
            Self::Taken | Self::Busy => RTSPStatusCode::MethodNotValidInThisState,
            Self::Full(_) => RTSPStatusCode::ServiceUnavailable,
        }
    }
}

/// The paths of a relay.
#[derive(Debug)]
pub(crate) struct Registry {
    /// None: pushes are not taken.
    limits: Option<PushLimits>,
    /// Where files play.
    clips: BTreeSet<StreamPath>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    pushes: BTreeMap<StreamPath, Push>,
    /// Connections of viewers whose stream has ended, and when.
    leaving: Vec<(Instant, WeakRef<RTSPClient>)>,
}

#[derive(Debug)]
struct Push {
    stream: Arc<Stream>,
    publisher: WeakRef<RTSPClient>,
    mounts: RTSPMountPoints,
}

impl Registry {
    /// A registry in which `clips` are taken, and pushes allowed within `limits`, or not at all.
    pub(crate) fn new(limits: Option<PushLimits>, clips: BTreeSet<StreamPath>) -> Self {
        Self { limits, clips, state: Mutex::default() }
    }

    /// Whether a viewer may ask for `path` now: a file plays there, or a push that has come to its first key frame.
    pub(crate) fn is_viewable(&self, path: &str) -> bool {
        self.clips.contains(path)
            || self.state().pushes.get(path).is_some_and(|push| push.stream.is_viewable())
    }

    /// Begins a stream that `publisher` announces under `path`, whose media `intake` makes.
    pub(crate) fn begin(
        &self,
        path: &str,
        publisher: &RTSPClient,
        mounts: &RTSPMountPoints,
        intake: &RTSPMediaFactory,
    ) -> Result<Arc<Stream>, Refusal> {
        let limits = self.limits.ok_or(Refusal::NoPushes)?;
        let path: StreamPath = path.parse()?;
        if self.clips.contains(&path) {
            return Err(Refusal::Clip);
        }
        let mut state = self.state();
        if state.pushes.contains_key(&path) {
            return Err(Refusal::Taken);
        }
        if state.pushes.values().any(|push| push.publisher.upgrade().as_ref() == Some(publisher)) {
            return Err(Refusal::Busy);
        }
        if state.pushes.len() >= limits.streams {
            return Err(Refusal::Full(limits.streams));
        }
        let stream = Stream::new(path.clone());
        mounts.add_factory(path.as_str(), intake.clone());
        let push =
            Push { stream: Arc::clone(&stream), publisher: publisher.downgrade(), mounts: mounts.clone() };
        state.pushes.insert(path, push);
        Ok(stream)
    }

    /// From now on the path of `stream` is for viewers.
    pub(crate) fn open(&self, stream: &Arc<Stream>) {
        let state = self.state();
        if let Some(push) = state.pushes.get(stream.path()).filter(|push| Arc::ptr_eq(&push.stream, stream)) {
            push.mounts.add_factory(stream.path().as_str(), viewer::factory(stream));
        }
    }

    /// Ends `stream`, unless it has ended: its path is free, and its viewers are let go.
    pub(crate) fn end(&self, stream: &Arc<Stream>) {
        self.state().end(|push| Arc::ptr_eq(&push.stream, stream));
    }

    /// To be called several times a second: ends the streams whose publishers have fallen silent, and closes the
    /// connections of viewers whose stream has ended.
    pub(crate) fn look_after(&self) {
        let Some(limits) = self.limits else {
            return;
        };
        let mut state = self.state();
        let silent = state.end(|push| push.stream.is_silent(limits.silence));
        let (over, still): (Vec<_>, Vec<_>) =
            std::mem::take(&mut state.leaving).into_iter().partition(|(since, _)| since.elapsed() > GRACE);
        state.leaving = still;
        // Closing a connection leads back here.
        drop(state);
        for push in silent {
            tracing::warn!(path = %push.stream.path(), "the publisher has fallen silent; its connection is closed");
            close(&push.publisher);
        }
        over.iter().for_each(|(_, viewer)| close(viewer));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Ends the pushes that are `over`.
    fn end(&mut self, over: impl Fn(&Push) -> bool) -> Vec<Push> {
        let ended: Vec<Push> =
            self.pushes.extract_if(.., |_, push| over(push)).map(|(_, push)| push).collect();
        for push in &ended {
            push.mounts.remove_factory(push.stream.path().as_str());
            let now = Instant::now();
            self.leaving.extend(push.stream.end().into_iter().map(|viewer| (now, viewer)));
        }
        ended
    }
}

fn close(client: &WeakRef<RTSPClient>) {
    if let Some(client) = client.upgrade() {
        client.close();
    }
}
