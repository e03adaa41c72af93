//! Questions to an engine over its local socket.

use std::{io, path::Path, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::{
    Request, StatusCode,
    body::Incoming,
    client::conn::http1,
    header::{HOST, HeaderValue},
};
use hyper_util::rt::TokioIo;
use tokio::{net::UnixStream, time::timeout};

/// How long an engine may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest answer, in bytes: some thousand containers.
const LONGEST: usize = 16 << 20;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpError {
    /// The socket cannot be connected to.
    #[error("{0}")]
    Connect(io::Error),
    /// What came back is not HTTP.
    #[error("{0}")]
    Http(#[from] hyper::Error),
    /// It is too long, or broke off.
    #[error("the answer cannot be read: {0}")]
    Body(Box<dyn std::error::Error + Send + Sync>),
    /// Nothing came back.
    #[error("no answer within {} s", PATIENCE.as_secs())]
    Late,
}

/// Asks for `path` and reads the whole answer.
pub(crate) async fn get(socket: &Path, path: &str) -> Result<(StatusCode, Bytes), HttpError> {
    let whole = async {
        let (status, body) = open(socket, path).await?;
        let body = Limited::new(body, LONGEST).collect().await.map_err(HttpError::Body)?;
        Ok((status, body.to_bytes()))
    };
    timeout(PATIENCE, whole).await.map_err(|_| HttpError::Late)?
}

/// Asks for `path` and returns the answer as it comes, without end if the engine has it so.
pub(crate) async fn stream(socket: &Path, path: &str) -> Result<(StatusCode, Incoming), HttpError> {
    timeout(PATIENCE, open(socket, path)).await.map_err(|_| HttpError::Late)?
}

async fn open(socket: &Path, path: &str) -> Result<(StatusCode, Incoming), HttpError> {
    let connection = UnixStream::connect(socket).await.map_err(HttpError::Connect)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(connection)).await?;
    // It ends with the answer's body, or when that is dropped.
    tokio::spawn(connection);
    let mut request = Request::new(Empty::<Bytes>::new());
    *request.uri_mut() = path.parse().expect("the callers' paths are made of plain characters");
    request.headers_mut().insert(HOST, HeaderValue::from_static("localhost"));
    let answer = sender.send_request(request).await?;
    Ok((answer.status(), answer.into_body()))
}
