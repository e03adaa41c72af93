//! The RTSP server's own kinds of server, connection and mount points, which let a publisher and viewers use the same URL.
//!
//! GStreamer's server finds the factory of a media by the path alone, whatever is to be done there. Here:
//!
//! - A DESCRIBE of a path that nobody publishes is answered before anything is made for it.
//! - An ANNOUNCE asks the mount points for the path's factory: that is when the stream begins, with the factory
//!   of media that receive. Once announced, the path has the factory of media that play; the publisher's
//!   connection keeps the media that it has.
//! - GStreamer answers 404 where the mount points know no factory; the connection turns that into the reason.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use gst::glib;
use gst_rtsp_server::gst_rtsp::{RTSPStatusCode, RTSPUrl};
use gst_rtsp_server::gst_sdp::SDPMessageRef;
use gst_rtsp_server::prelude::*;
use gst_rtsp_server::subclass::prelude::*;
use gst_rtsp_server::{
    RTSPClient, RTSPContext, RTSPMedia, RTSPMediaFactory, RTSPMountPoints, RTSPServer, RTSPTransportMode,
};

use crate::push::{self, Refusal, Registry, Stream};

/// The longest body of a request (an SDP), in bytes.
const MAX_BODY: u32 = 64 * 1024;

glib::wrapper! {
    /// A server whose connections are [`Connection`]s.
    pub(crate) struct Server(ObjectSubclass<ServerImp>) @extends RTSPServer;
}

glib::wrapper! {
    /// A connection of a publisher or a viewer.
    pub(crate) struct Connection(ObjectSubclass<ConnectionImp>) @extends RTSPClient;
}

glib::wrapper! {
    /// Mount points where an ANNOUNCE begins a stream.
    pub(crate) struct Mounts(ObjectSubclass<MountsImp>) @extends RTSPMountPoints;
}

glib::wrapper! {
    /// The factory of media that receive a push; what they receive, the announcement tells.
    pub(crate) struct Intake(ObjectSubclass<IntakeImp>) @extends RTSPMediaFactory;
}

impl Server {
    pub(crate) fn new(registry: Arc<Registry>) -> Self {
        let server: Self = glib::Object::new();
        server.imp().registry.get_or_init(|| registry);
        server.set_mount_points(Some(&glib::Object::new::<Mounts>()));
        server
    }
}

#[derive(Debug, Default)]
pub(crate) struct ServerImp {
    registry: OnceLock<Arc<Registry>>,
}

#[glib::object_subclass]
impl ObjectSubclass for ServerImp {
    const NAME: &'static str = "SluiceRtspServer";
    type Type = Server;
    type ParentType = RTSPServer;
}

impl ObjectImpl for ServerImp {}

impl RTSPServerImpl for ServerImp {
    fn create_client(&self) -> Option<RTSPClient> {
        let (server, connection) = (self.obj(), glib::Object::new::<Connection>());
        connection.set_session_pool(server.session_pool().as_ref());
        connection.set_mount_points(server.mount_points().as_ref());
        connection.set_thread_pool(server.thread_pool().as_ref());
        connection.set_content_length_limit(MAX_BODY);
        let registry = Arc::clone(self.registry.get()?);
        connection.imp().registry.get_or_init(|| registry);
        Some(connection.upcast())
    }
}

#[derive(Debug, Default)]
pub(crate) struct ConnectionImp {
    registry: OnceLock<Arc<Registry>>,
    state: Mutex<ConnectionState>,
}

#[derive(Debug, Default)]
struct ConnectionState {
    /// Whether the request at hand is a DESCRIBE that may go on.
    describing: bool,
    /// Why the request at hand, an ANNOUNCE, cannot go on.
    refusal: Option<Refusal>,
    /// The stream that is published on this connection.
    publishes: Option<Arc<Stream>>,
}

#[glib::object_subclass]
impl ObjectSubclass for ConnectionImp {
    const NAME: &'static str = "SluiceRtspConnection";
    type Type = Connection;
    type ParentType = RTSPClient;
}

impl ObjectImpl for ConnectionImp {}

impl RTSPClientImpl for ConnectionImp {
    fn pre_describe_request(&self, context: &RTSPContext) -> RTSPStatusCode {
        let path = context.uri().and_then(|url| self.parent_make_path_from_uri(url));
        // What follows a question mark is not part of the path to a factory.
        let path = path.as_deref().and_then(|path| path.split('?').next()).unwrap_or_default();
        if !self.registry.get().is_some_and(|registry| registry.is_viewable(path)) {
            tracing::debug!(path, "a viewer asked for what nobody publishes");
            return RTSPStatusCode::NotFound;
        }
        self.state().describing = true;
        self.parent_pre_describe_request(context)
    }

    fn handle_sdp(
        &self,
        context: &RTSPContext,
        media: &RTSPMedia,
        sdp: &SDPMessageRef,
    ) -> Result<(), gst::LoggableError> {
        let stream = self.state().publishes.clone();
        let Some(stream) = stream else {
            return Err(gst::loggable_error!(gst::CAT_RUST, "an announcement without a stream"));
        };
        let received = push::receive(&stream, media, sdp)
            .map_err(|error| error.to_string())
            .and_then(|()| self.parent_handle_sdp(context, media, sdp).map_err(|error| error.to_string()));
        received.map_err(|error| {
            tracing::warn!(path = %stream.path(), error, "a push was refused");
            self.end();
            gst::loggable_error!(gst::CAT_RUST, "{error}")
        })
    }

    fn announce_request(&self, context: &RTSPContext) {
        let stream = self.state().publishes.clone();
        if let (Some(registry), Some(stream)) = (self.registry.get(), stream) {
            tracing::info!(path = %stream.path(), "a push begins");
            registry.open(&stream);
        }
        self.parent_announce_request(context);
    }

    fn teardown_request(&self, context: &RTSPContext) {
        self.end();
        self.parent_teardown_request(context);
    }

    fn closed(&self) {
        self.end();
        self.parent_closed();
    }

    fn adjust_error_code(&self, _: &RTSPContext, status: RTSPStatusCode) -> RTSPStatusCode {
        // GStreamer's own connection has no such function; the binding would answer 200 for it.
        let refusal = self.state().refusal.take();
        refusal.filter(|_| status == RTSPStatusCode::NotFound).map_or(status, |refusal| refusal.status())
    }
}

impl ConnectionImp {
    /// Whether the request at hand, a DESCRIBE or an ANNOUNCE, may go on; the latter begins a stream.
    fn may_go_on(&self, url: &RTSPUrl, mounts: &Mounts) -> bool {
        if std::mem::take(&mut self.state().describing) {
            return true;
        }
        let path = self.parent_make_path_from_uri(url);
        let path = path.as_deref().unwrap_or_default();
        let Some(registry) = self.registry.get() else {
            return false;
        };
        // The lock is not held while the registry has its own.
        let begun = registry.begin(path, self.obj().upcast_ref(), mounts.upcast_ref(), mounts.imp().intake());
        match begun {
            Ok(stream) => self.state().publishes = Some(stream),
            Err(refusal) => {
                tracing::warn!(path, cause = %refusal, "a push was refused");
                self.state().refusal = Some(refusal);
                return false;
            }
        }
        true
    }

    /// Ends what is published on this connection.
    fn end(&self) {
        let stream = self.state().publishes.take();
        if let (Some(registry), Some(stream)) = (self.registry.get(), stream) {
            registry.end(&stream);
        }
    }

    fn state(&self) -> MutexGuard<'_, ConnectionState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug, Default)]
pub(crate) struct MountsImp {
    intake: OnceLock<RTSPMediaFactory>,
}

impl MountsImp {
    fn intake(&self) -> &RTSPMediaFactory {
        self.intake.get_or_init(|| {
            let intake = glib::Object::new::<Intake>();
            intake.set_transport_mode(RTSPTransportMode::RECORD);
            intake.set_shared(false);
            intake.set_latency(push::RECEIVE_LATENCY_MS);
            intake.upcast()
        })
    }
}

#[glib::object_subclass]
impl ObjectSubclass for MountsImp {
    const NAME: &'static str = "SluiceRtspMounts";
    type Type = Mounts;
    type ParentType = RTSPMountPoints;
}

impl ObjectImpl for MountsImp {}

impl RTSPMountPointsImpl for MountsImp {
    fn make_path(&self, url: &RTSPUrl) -> Option<glib::GString> {
        let path = self.parent_make_path(url)?;
        let may_go_on = RTSPContext::with_current_context(|context| {
            let connection = context.client()?.downcast_ref::<Connection>()?;
            Some(connection.imp().may_go_on(url, &self.obj()))
        });
        may_go_on.flatten()?.then_some(path)
    }
}

#[derive(Debug, Default)]
pub(crate) struct IntakeImp;

#[glib::object_subclass]
impl ObjectSubclass for IntakeImp {
    const NAME: &'static str = "SluiceRtspIntake";
    type Type = Intake;
    type ParentType = RTSPMediaFactory;
}

impl ObjectImpl for IntakeImp {}

impl RTSPMediaFactoryImpl for IntakeImp {
    fn create_element(&self, _: &RTSPUrl) -> Option<gst::Element> {
        Some(gst::Bin::new().upcast())
    }
}
