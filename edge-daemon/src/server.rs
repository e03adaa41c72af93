//! What `--listen` serves: `/healthz`, `/readyz` and `/metrics`.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use tokio::net::TcpListener;

use crate::{metrics, status::Counters};

/// How old the last judged frame may be while the daemon is ready: longer than a camera takes to be opened again.
const FRESH: Duration = Duration::from_secs(10);

const ABOUT: &str = concat!(
    "Sluice edge-daemon ",
    env!("CARGO_PKG_VERSION"),
    "\n\n",
    "GET /healthz  200 while the process lives\n",
    "GET /readyz   200 while frames are judged\n",
    "GET /metrics  counters for Prometheus\n"
);

/// Why nobody can listen.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Somebody listens there already.
    #[error("port {port} on {ip} is in use; `ss -ltnp 'sport = :{port}'` tells by whom; stop it or give another --listen", ip = .0.ip(), port = .0.port())]
    InUse(SocketAddr),
    /// Anything else that the system said.
    #[error("cannot listen on {0}: {1}; give another address with --listen")]
    Other(SocketAddr, io::Error),
}

/// A server that listens.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    counters: Arc<Counters>,
}

impl Server {
    /// Listens (port 0: on any free port). Nobody is answered before [`Server::run`].
    ///
    /// # Errors
    ///
    /// The address cannot be had.
    pub async fn listen(address: SocketAddr, counters: Arc<Counters>) -> Result<Self, ListenError> {
        let listener = TcpListener::bind(address).await.map_err(|error| match error.kind() {
            io::ErrorKind::AddrInUse => ListenError::InUse(address),
            _ => ListenError::Other(address, error),
        })?;
        Ok(Self { listener, counters })
    }

    /// Where it listens.
    ///
    /// # Errors
    ///
    /// The system does not tell.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Answers requests until it is dropped.
    pub async fn run(self) {
        let router = Router::new()
            .route("/", get(ABOUT))
            .route("/healthz", get("alive\n"))
            .route("/readyz", get(readyz))
            .route("/metrics", get(show_metrics))
            .with_state(self.counters);
        if let Err(error) = axum::serve(self.listener, router).await {
            tracing::error!(%error, "health and metrics are no longer served");
        }
    }
}

async fn readyz(State(counters): State<Arc<Counters>>) -> Response {
    match counters.since_judged() {
        Some(age) if age <= FRESH => "ready\n".into_response(),
        age => {
            let why = age.map_or_else(
                || "no frame has been judged yet\n".to_owned(),
                |age| format!("no frame has been judged for {} s\n", age.as_secs()),
            );
            (StatusCode::SERVICE_UNAVAILABLE, why).into_response()
        }
    }
}

async fn show_metrics(State(counters): State<Arc<Counters>>) -> Response {
    match metrics::text(&counters) {
        Ok(text) => ([(header::CONTENT_TYPE, metrics::MEDIA_TYPE)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn ready_is_who_judges_frames() {
        let counters = Arc::new(Counters::default());
        let server = Server::listen(([127, 0, 0, 1], 0).into(), Arc::clone(&counters)).await.unwrap();
        let address = server.address().unwrap();
        let taken = Server::listen(address, Arc::clone(&counters)).await.unwrap_err();
        assert!(taken.to_string().contains(&address.port().to_string()), "{taken}");
        tokio::spawn(server.run());
        let get = |path: &str| {
            let url = format!("http://{address}{path}");
            async move {
                let reply = reqwest::get(url).await.unwrap();
                (reply.status().as_u16(), reply.text().await.unwrap())
            }
        };
        assert_eq!(get("/healthz").await, (200, "alive\n".to_owned()));
        assert_eq!(get("/readyz").await, (503, "no frame has been judged yet\n".to_owned()));
        counters.judged(false, 1.0);
        assert_eq!(get("/readyz").await, (200, "ready\n".to_owned()));
        assert!(get("/metrics").await.1.contains("sluice_edge_frames_judged_total 1"));
        assert_eq!(get("/elsewhere").await.0, 404);
    }
}
