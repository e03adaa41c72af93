//! The relay: listens, serves each clip under its path, takes pushes, stops.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use gst::glib::{self, ControlFlow, MainContext, MainLoop, Priority};
use gst_rtsp_server::prelude::*;
use gst_rtsp_server::{RTSPFilterResult, RTSPThreadPool};

use crate::options::DEFAULT_PORT;
use crate::path::StreamPath;
use crate::push::{PushLimits, Registry};
use crate::server::Server;
use crate::{Clip, player};

/// How often sessions of viewers that vanished are cleared away; such a session itself lasts 60 s.
const CLEANUP_INTERVAL_S: u32 = 5;

/// How often pushes are looked after.
const PUSH_INTERVAL: Duration = Duration::from_millis(200);

/// A listening RTSP server.
#[derive(Debug)]
pub struct Relay {
    server: Server,
    main_loop: MainLoop,
    address: SocketAddr,
}

/// Why the relay cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Somebody listens there already.
    #[error("port {port} on {ip} is in use; `ss -ltnp 'sport = :{port}'` tells by whom; stop it or give another --listen", ip = .0.ip(), port = .0.port())]
    InUse(SocketAddr),
    /// The address is not this machine's.
    #[error("{ip} is not an address of this machine; `ip address` lists them", ip = .0.ip())]
    NotLocal(SocketAddr),
    /// A low port without the right to it.
    #[error(
        "no permission to listen on port {port}; use a port from 1024 on, or run as root or with CAP_NET_BIND_SERVICE",
        port = .0.port()
    )]
    NoPermission(SocketAddr),
    /// Anything else that the system said.
    #[error("cannot listen on {0}: {1}")]
    Io(SocketAddr, io::Error),
    /// Anything else that GStreamer said.
    #[error("cannot listen on {0}: {1}")]
    Server(SocketAddr, glib::Error),
}

impl Relay {
    /// Listens on `listen` (port 0: any free port), serves each clip under its path, and takes pushes within
    /// `pushes`, or none.
    ///
    /// # Errors
    ///
    /// See [`ListenError`]. Viewers are answered only once [`Relay::run`] runs.
    pub fn listen(
        listen: SocketAddr,
        clips: Vec<(StreamPath, Clip)>,
        pushes: Option<PushLimits>,
    ) -> Result<Self, ListenError> {
        // The server's own error says less than the socket's.
        TcpListener::bind(listen).map(drop).map_err(|error| match error.kind() {
            io::ErrorKind::AddrInUse => ListenError::InUse(listen),
            io::ErrorKind::AddrNotAvailable => ListenError::NotLocal(listen),
            io::ErrorKind::PermissionDenied => ListenError::NoPermission(listen),
            _ => ListenError::Io(listen, error),
        })?;

        let registry = Arc::new(Registry::new(pushes, clips.iter().map(|(path, _)| path.clone()).collect()));
        let server = Server::new(Arc::clone(&registry));
        server.set_address(&listen.ip().to_string());
        server.set_service(&listen.port().to_string());
        // The default is one thread for all viewers: one that waits for its media would hold up the others.
        let threads = RTSPThreadPool::new();
        threads.set_max_threads(-1);
        server.set_thread_pool(Some(&threads));
        if let Some(mounts) = server.mount_points() {
            for (path, clip) in clips {
                mounts.add_factory(path.as_str(), player::factory(path.as_str(), clip));
            }
        }
        let context = MainContext::new();
        let socket = server
            .create_source(gst_rtsp_server::gio::Cancellable::NONE)
            .map_err(|error| ListenError::Server(listen, error))?;
        socket.attach(Some(&context));
        let sessions = server.clone();
        glib::timeout_source_new_seconds(CLEANUP_INTERVAL_S, None, Priority::DEFAULT, move || {
            if let Some(pool) = sessions.session_pool() {
                pool.cleanup();
            }
            ControlFlow::Continue
        })
        .attach(Some(&context));
        glib::timeout_source_new(PUSH_INTERVAL, None, Priority::DEFAULT, move || {
            registry.look_after();
            ControlFlow::Continue
        })
        .attach(Some(&context));

        let port = u16::try_from(server.bound_port()).unwrap_or(listen.port());
        let address = SocketAddr::new(listen.ip(), port);
        Ok(Self { server, main_loop: MainLoop::new(Some(&context), false), address })
    }

    /// Where the relay listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL of the stream at `path`.
    pub fn url(&self, path: &StreamPath) -> String {
        format!("{}{path}", self.base_url())
    }

    /// What the URL of every stream begins with, without a slash at its end.
    pub fn base_url(&self) -> String {
        let host = match self.address {
            SocketAddr::V4(address) => address.ip().to_string(),
            SocketAddr::V6(address) => format!("[{}]", address.ip()),
        };
        match self.address.port() {
            DEFAULT_PORT => format!("rtsp://{host}"),
            port => format!("rtsp://{host}:{port}"),
        }
    }

    /// What stops [`Relay::run`], from any thread.
    pub fn stopper(&self) -> Stopper {
        Stopper(self.main_loop.clone())
    }

    /// Serves until it is stopped, then closes every connection.
    pub fn run(self) {
        self.main_loop.run();
        self.server.client_filter(Some(&mut |_, _| RTSPFilterResult::Remove));
    }
}

/// Stops a running relay.
#[derive(Debug, Clone)]
pub struct Stopper(MainLoop);

impl Stopper {
    /// Ends [`Relay::run`], also if that has not begun yet.
    pub fn stop(&self) {
        // Quitting a loop that does not run yet would be forgotten; what its context does first thing is not.
        let main_loop = self.0.clone();
        self.0.context().invoke(move || main_loop.quit());
    }
}
