//! Listens, serves a bounded number of connections, stops without cutting anyone off.

use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use detector::LoadOptions;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use model_source::Source;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use crate::admission::Admission;
use crate::decoding::Decoding;
use crate::keeper::Keeper;
use crate::metrics::Metrics;
use crate::model::ModelError;
use crate::router::{Service, router};
use crate::upload::Uploads;
use crate::worker::Worker;

/// How many connections there may be; further ones wait to be accepted.
const MAX_CONNECTIONS: usize = 512;
/// How long a connection may take to send a request's head, or be idle between two requests: longer than clients
/// keep idle connections (90 s is common), so that it is they who close them.
const HEAD_TIMEOUT: Duration = Duration::from_secs(120);
/// How long a peer may leave sent bytes unacknowledged or unread.
const SEND_TIMEOUT: Duration = Duration::from_secs(60);
/// The most that a connection buffers of what it has received, in bytes; also the longest request head.
const CONNECTION_BUFFER: usize = 64 * 1024;
/// How long requests that are being answered may go on when the server is told to stop.
const DRAIN: Duration = Duration::from_secs(5);
/// The most that all bodies together may hold, in bytes.
const UPLOAD_MEMORY: usize = 256 << 20;

/// What a server is made of.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Where the model is.
    pub model: Arc<Source>,
    /// How to load it.
    pub load: LoadOptions,
    /// The largest body, in bytes.
    pub max_body: usize,
    /// The largest picture, in pixels.
    pub max_pixels: u64,
    /// How many pictures may wait for the model.
    pub queue: NonZeroUsize,
    /// The most pictures that the model takes at once.
    pub batch: NonZeroUsize,
}

/// Why a server does not run.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// Somebody listens there already.
    #[error("port {port} on {ip} is in use; `ss -ltnp 'sport = :{port}'` tells by whom; stop it or give another --listen", ip = .0.ip(), port = .0.port())]
    InUse(SocketAddr),
    /// The address is not this machine's.
    #[error("{ip} is not an address of this machine; `ip address` lists them", ip = .0.ip())]
    NotLocal(SocketAddr),
    /// A low port without the right to it.
    #[error("no permission to listen on port {port}; use a port from 1024 on", port = .0.port())]
    NoPermission(SocketAddr),
    /// Anything else that the system said.
    #[error("cannot listen on {0}: {1}")]
    Listen(SocketAddr, io::Error),
    /// The model does not load or run.
    #[error("{0}")]
    Model(ModelError),
}

/// A server that listens.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    settings: Settings,
}

impl Server {
    /// Listens (port 0: on any free port). Nobody is answered before [`Server::run`].
    ///
    /// # Errors
    ///
    /// If the address cannot be had.
    pub async fn listen(settings: Settings) -> Result<Self, ServerError> {
        let at = settings.listen;
        let listener = TcpListener::bind(at).await.map_err(|error| match error.kind() {
            io::ErrorKind::AddrInUse => ServerError::InUse(at),
            io::ErrorKind::AddrNotAvailable => ServerError::NotLocal(at),
            io::ErrorKind::PermissionDenied => ServerError::NoPermission(at),
            _ => ServerError::Listen(at, error),
        })?;
        let address = listener.local_addr().map_err(|error| ServerError::Listen(at, error))?;
        Ok(Self { listener, address, settings })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Loads the model and answers requests until `stop`; then takes no new ones and gives those that are being
    /// answered a few seconds. Another model that comes to be where the first came from takes its place; `nudge` has it
    /// looked for at once.
    ///
    /// # Errors
    ///
    /// [`ServerError::Model`] if the model does not load or run.
    pub async fn run(self, nudge: Arc<Notify>, stop: impl Future<Output = ()>) -> Result<(), ServerError> {
        let settings = self.settings;
        let admission = Admission::new(settings.queue.get());
        let worker = Worker::start(Arc::clone(&admission), settings.queue.get())
            .map_err(|error| ServerError::Model(ModelError::Thread(error)))?;
        let (model, load, batch) = (settings.model, settings.load, settings.batch.get());
        let keeper = Keeper::new(model, load, batch, Arc::clone(&admission), worker.clone());
        let at_once = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let metrics = Arc::new(Metrics::default());
        let service = Service {
            uploads: Uploads::new(settings.max_body, UPLOAD_MEMORY),
            admission,
            decoding: Decoding::new(at_once, settings.max_pixels),
            worker,
            metrics: Arc::clone(&metrics),
        };
        let connections = GracefulShutdown::new();
        tokio::pin!(stop);
        let loaded = async {
            match keeper.begin().await {
                Ok(serving) => keeper.follow(serving, nudge, &metrics).await,
                Err(error) => ServerError::Model(error),
            }
        };
        tokio::select! {
            never = accept(&self.listener, router(Arc::new(service)), &connections) => match never {},
            error = loaded => return Err(error),
            () = &mut stop => {}
        }
        drop(self.listener);
        tracing::info!("stopping: no new connections");
        if tokio::time::timeout(DRAIN, connections.shutdown()).await.is_err() {
            tracing::warn!(after_s = DRAIN.as_secs(), "stopped with requests unanswered");
        }
        Ok(())
    }
}

/// Accepts connections for ever.
async fn accept(
    listener: &TcpListener,
    router: Router,
    connections: &GracefulShutdown,
) -> std::convert::Infallible {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(CONNECTION_BUFFER);
    loop {
        let place = Arc::clone(&places).acquire_owned().await.ok();
        match listener.accept().await {
            Ok((stream, peer)) => {
                prepare(&stream);
                let served =
                    http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router.clone()));
                tokio::spawn(serve(connections.watch(served), place, peer));
            }
            // Mostly that there are no more file descriptors: wait for connections to end.
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    }
}

/// Serves one connection to its end.
async fn serve(
    connection: impl Future<Output = Result<(), hyper::Error>>,
    place: Option<OwnedSemaphorePermit>,
    peer: SocketAddr,
) {
    if let Err(error) = connection.await {
        tracing::debug!(%peer, %error, "connection ended");
    }
    drop(place);
}

/// Sets what a connection's socket needs; one that refuses it works without.
fn prepare(stream: &TcpStream) {
    let nodelay = stream.set_nodelay(true);
    let timeout = SockRef::from(stream).set_tcp_user_timeout(Some(SEND_TIMEOUT));
    if nodelay.is_err() || timeout.is_err() {
        tracing::debug!(?nodelay, ?timeout, "a socket option was refused");
    }
}
