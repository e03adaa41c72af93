//! Listens, serves a bounded number of connections, stops in order.

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};

use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
};
use tokio::{
    net::TcpListener,
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::{sleep, timeout},
};

use super::{reply::reply, snapshot::Snapshot};

/// How many connections there may be; further ones wait to be accepted. Each may hold a whole text of metrics.
pub(super) const MAX_CONNECTIONS: usize = 8;
/// How long a connection may take for its one request, from its first byte to the reply's last.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest request head, in bytes.
const HEAD_BYTES: usize = 16 * 1024;
/// How long requests that are being answered may go on when the server is told to stop.
const DRAIN: Duration = Duration::from_secs(1);

/// Why nobody can listen.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Somebody listens there already.
    #[error(
        "cannot serve metrics: port {port} on {ip} is in use; `ss -ltnp 'sport = :{port}'` tells by whom; stop it or give \
         another address with --listen",
        ip = .0.ip(),
        port = .0.port()
    )]
    InUse(SocketAddr),
    /// The address is not this machine's.
    #[error(
        "cannot serve metrics: {ip} is not an address of this machine (`ip address` lists them); give another with --listen",
        ip = .0.ip()
    )]
    NotLocal(SocketAddr),
    /// A low port without the right to it.
    #[error(
        "cannot serve metrics: no permission to listen on port {port}; give one from 1024 on with --listen",
        port = .0.port()
    )]
    NoPermission(SocketAddr),
    /// Anything else that the system said.
    #[error("cannot serve metrics on {0}: {1}; give another address with --listen")]
    Other(SocketAddr, io::Error),
}

/// A server that listens.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    /// How long a connection may take.
    pub(super) patience: Duration,
}

impl Server {
    /// Listens (port 0: on any free port). Nobody is answered before [`Server::run`]; then each request gets what
    /// `snapshots` holds by then, even after its sender is gone.
    ///
    /// # Errors
    ///
    /// The address cannot be had.
    pub async fn listen(
        address: SocketAddr,
        snapshots: watch::Receiver<Arc<Snapshot>>,
    ) -> Result<Self, ListenError> {
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::AddrInUse => ListenError::InUse(address),
            io::ErrorKind::AddrNotAvailable => ListenError::NotLocal(address),
            io::ErrorKind::PermissionDenied => ListenError::NoPermission(address),
            _ => ListenError::Other(address, error),
        };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address, snapshots, patience: REQUEST_TIMEOUT })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers requests until `stop`; then takes no new ones and gives those that are being answered one second.
    /// What goes wrong with a connection ends that connection only.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let connections = GracefulShutdown::new();
        tokio::select! {
            never = self.accept(&connections) => match never {},
            () = stop => {}
        }
        drop(self.listener);
        if timeout(DRAIN, connections.shutdown()).await.is_err() {
            tracing::debug!("stopped with requests for metrics unanswered");
        }
    }

    /// Accepts connections for ever.
    async fn accept(&self, connections: &GracefulShutdown) -> Infallible {
        let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let mut http = http1::Builder::new();
        // One request a connection, so that the time limit is the request's and nobody keeps a place for nothing.
        http.timer(TokioTimer::new())
            .header_read_timeout(self.patience)
            .max_buf_size(HEAD_BYTES)
            .keep_alive(false);
        loop {
            let place = Arc::clone(&places).acquire_owned().await.ok();
            match self.listener.accept().await {
                Ok((stream, peer)) => {
                    let snapshots = self.snapshots.clone();
                    let service = service_fn(move |request: Request<Incoming>| {
                        let snapshot = Arc::clone(&snapshots.borrow());
                        async move {
                            Ok::<_, Infallible>(reply(request.method(), request.uri().path(), &snapshot))
                        }
                    });
                    let served = http.serve_connection(TokioIo::new(stream), service);
                    tokio::spawn(serve(connections.watch(served), self.patience, place, peer));
                }
                // Mostly that there are no more file descriptors: wait for connections to end.
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection for metrics");
                    sleep(Duration::from_millis(200)).await;
                }
            }
        }
    }
}

/// Serves one connection to its end, or to its time limit.
async fn serve(
    connection: impl Future<Output = Result<(), hyper::Error>>,
    patience: Duration,
    place: Option<OwnedSemaphorePermit>,
    peer: SocketAddr,
) {
    match timeout(patience, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%peer, %error, "a connection for metrics ended"),
        Err(_) => tracing::debug!(%peer, "a connection for metrics took too long"),
    }
    drop(place);
}
