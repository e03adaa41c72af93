//! `POST /infer` over one kept connection.

use std::{
    error::Error,
    time::{Duration, Instant},
};

use bytes::Bytes;
use protocol::{
    infer::{DEADLINE_MS, InferResponse, REQUEST_ID},
    problem::Problem,
};
use reqwest::{Response, StatusCode, header};

use crate::http_url::HttpUrl;

/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest answer that is read: some ten thousand detections.
const LONGEST_ANSWER: usize = 4 << 20;
/// How long to wait after a `503` that does not say.
const DEFAULT_RETRY_AFTER: Duration = Duration::from_secs(1);

/// What came of one attempt.
#[derive(Debug)]
pub(super) enum Reply {
    /// An answer.
    Answered(Box<InferResponse>),
    /// Not now: try again after a while.
    Busy {
        /// How long to wait.
        retry_after: Duration,
        /// What the cloud said.
        error: String,
    },
    /// Never for this frame.
    Refused {
        /// What the cloud said.
        error: String,
    },
    /// No connection, or it broke.
    Unreachable {
        /// Why.
        error: String,
        /// Whether there was a connection, so that part of the picture may have been sent.
        connected: bool,
    },
}

/// A client of one cloud.
#[derive(Debug)]
pub(super) struct CloudClient {
    http: reqwest::Client,
    url: String,
}

impl CloudClient {
    pub(super) fn new(cloud: &HttpUrl, connections: usize) -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder()
            .user_agent(concat!("sluice-edge-daemon/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_max_idle_per_host(connections)
            .redirect(reqwest::redirect::Policy::none())
            // The link to be measured is the one to the cloud, not to a proxy that the environment names.
            .no_proxy()
            .build()?;
        Ok(Self { http, url: format!("{cloud}/infer") })
    }

    /// Uploads one JPEG picture.
    pub(super) async fn infer(&self, jpeg: Bytes, frame: u64, deadline: Instant) -> Reply {
        let left = deadline.saturating_duration_since(Instant::now());
        let request = self
            .http
            .post(&self.url)
            .header(header::CONTENT_TYPE, "image/jpeg")
            .header(REQUEST_ID, format!("frame-{frame}"))
            .header(DEADLINE_MS, left.as_millis() as u64)
            .body(jpeg);
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) => return unreachable(&error),
        };
        let status = response.status();
        let retry_after = retry_after(&response);
        let body = match body(response).await {
            Ok(Some(body)) => body,
            Ok(None) => {
                return Reply::Refused { error: format!("answer longer than {LONGEST_ANSWER} bytes") };
            }
            Err(error) => return unreachable(&error),
        };
        match status {
            StatusCode::OK => match serde_json::from_slice(&body) {
                Ok(response) => Reply::Answered(Box::new(response)),
                Err(error) => Reply::Refused { error: format!("answer cannot be read: {error}") },
            },
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => Reply::Busy {
                retry_after: retry_after.unwrap_or(DEFAULT_RETRY_AFTER),
                error: problem(status, &body),
            },
            _ => Reply::Refused { error: problem(status, &body) },
        }
    }
}

/// The whole body; `None` if it is too long.
async fn body(mut response: Response) -> Result<Option<Vec<u8>>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        body.extend_from_slice(&chunk);
        if body.len() > LONGEST_ANSWER {
            return Ok(None);
        }
    }
    Ok(Some(body))
}

/// `Retry-After` in seconds; its other form, a date, is not used by our cloud.
fn retry_after(response: &Response) -> Option<Duration> {
    let seconds = response.headers().get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// The status and, if the body is a problem (RFC 9457), its detail.
fn problem(status: StatusCode, body: &[u8]) -> String {
    match serde_json::from_slice::<Problem>(body) {
        Ok(problem) => format!("{status}: {}", problem.detail),
        Err(_) => status.to_string(),
    }
}

/// The innermost cause says what happened; the outer ones only repeat the URL.
fn unreachable(error: &reqwest::Error) -> Reply {
    let mut cause: &dyn Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    Reply::Unreachable { error: cause.to_string(), connected: !error.is_connect() }
}
