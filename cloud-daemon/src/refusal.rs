//! Why a request is not answered with detections, and the RFC 9457 problem that tells the caller.

use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use detector::picture::PictureError;
use protocol::problem::{MEDIA_TYPE, Problem};

/// Why a request is refused or has failed.
///
/// As a handler's response it carries itself as an extension: [`Refusal::problem`] needs the request's
/// identifier, which the router adds on the way out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No body.
    #[error("the body is empty; send the picture's bytes: curl --data-binary @photo.jpg URL")]
    EmptyBody,
    /// A body over the limit.
    #[error(
        "the body is larger than {limit} bytes; send a smaller picture, or start the server with a larger --max-body"
    )]
    BodyTooLarge {
        /// The limit.
        limit: usize,
    },
    /// A body that comes too slowly.
    #[error("the body stopped or took too long: {received} bytes had arrived; send it again")]
    BodyTimeout {
        /// How many bytes had come.
        received: usize,
    },
    /// A body that broke off or breaks HTTP's rules.
    #[error("the body could not be received: {reason}")]
    BodyBroken {
        /// What the connection said.
        reason: String,
    },
    /// All uploads together hold as much memory as they may.
    #[error("too many bytes are being uploaded at once; try again later")]
    Uploads,
    /// Content that is none of the formats.
    #[error(
        "the body is {found}, not a JPEG, PNG or WebP picture; send the file itself as the body: curl --data-binary @photo.jpg URL"
    )]
    UnsupportedFormat {
        /// What it seems to be.
        found: String,
    },
    /// Content that begins as one of the formats and is broken.
    #[error("the {format} picture cannot be decoded: {reason}")]
    Undecodable {
        /// The format.
        format: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// A picture with more pixels than allowed.
    #[error(
        "the picture has {width}x{height} pixels, more than {limit}; send a smaller one, or start the server with a larger --max-pixels"
    )]
    TooManyPixels {
        /// Its width.
        width: u32,
        /// Its height.
        height: u32,
        /// The limit.
        limit: u64,
    },
    /// A request header that makes no sense.
    #[error("the header {name} must be {expected}")]
    BadHeader {
        /// Its name.
        name: &'static str,
        /// What it must be.
        expected: &'static str,
    },
    /// No such path.
    #[error("there is nothing at {path}; pictures go to POST /infer")]
    UnknownPath {
        /// The path.
        path: String,
    },
    /// A path that is there, with another method.
    #[error("{path} does not take {method}")]
    WrongMethod {
        /// The method.
        method: String,
        /// The path.
        path: String,
    },
    /// The model is still being loaded.
    #[error("the model is still being loaded; GET /readyz is 200 when it is ready")]
    NotReady,
    /// As many requests are waiting as may.
    #[error("{waiting} requests are waiting already; try again in {}", seconds(*retry_after))]
    QueueFull {
        /// How many wait.
        waiting: usize,
        /// When there may be room.
        retry_after: Duration,
    },
    /// The deadline cannot be met.
    #[error("an answer would take about {} ms, more than the {left_ms} ms left; allow more time or try again in {}", estimate.as_millis(), seconds(*retry_after))]
    DeadlineUnreachable {
        /// How long an answer would take.
        estimate: Duration,
        /// What the caller's deadline leaves, in milliseconds.
        left_ms: u64,
        /// When the queue may be empty.
        retry_after: Duration,
    },
    /// The deadline passed while the request waited.
    #[error("the deadline passed before the model took the picture; allow more time")]
    DeadlinePassed,
    /// The model failed.
    #[error("the model failed: {reason}; the server's log has more")]
    ModelFailed {
        /// What it said.
        reason: String,
    },
    /// The server is about to end.
    #[error("the server is stopping")]
    Stopping,
}

impl Refusal {
    /// HTTP status, last segment of the problem's type, and title.
    fn class(&self) -> (StatusCode, &'static str, &'static str) {
        use StatusCode as Code;
        match self {
            Self::EmptyBody => (Code::BAD_REQUEST, "empty-body", "Empty body"),
            Self::BodyTooLarge { .. } => (Code::PAYLOAD_TOO_LARGE, "body-too-large", "Body too large"),
            Self::BodyTimeout { .. } => (Code::REQUEST_TIMEOUT, "body-timeout", "Body too slow"),
            Self::BodyBroken { .. } => (Code::BAD_REQUEST, "body-broken", "Body not received"),
            Self::Uploads => (Code::SERVICE_UNAVAILABLE, "too-many-uploads", "Too many uploads"),
            Self::UnsupportedFormat { .. } => {
                (Code::UNSUPPORTED_MEDIA_TYPE, "unsupported-format", "Not a picture in a known format")
            }
            Self::Undecodable { .. } => (Code::UNPROCESSABLE_ENTITY, "undecodable", "Broken picture"),
            Self::TooManyPixels { .. } => (Code::PAYLOAD_TOO_LARGE, "too-many-pixels", "Picture too large"),
            Self::BadHeader { .. } => (Code::BAD_REQUEST, "bad-header", "Bad header"),
            Self::UnknownPath { .. } => (Code::NOT_FOUND, "unknown-path", "Unknown path"),
            Self::WrongMethod { .. } => (Code::METHOD_NOT_ALLOWED, "wrong-method", "Wrong method"),
            Self::NotReady => (Code::SERVICE_UNAVAILABLE, "not-ready", "Model not ready"),
            Self::QueueFull { .. } => (Code::SERVICE_UNAVAILABLE, "queue-full", "Queue full"),
            Self::DeadlineUnreachable { .. } => {
                (Code::SERVICE_UNAVAILABLE, "deadline-unreachable", "Deadline cannot be met")
            }
            Self::DeadlinePassed => (Code::GATEWAY_TIMEOUT, "deadline-passed", "Deadline passed"),
            Self::ModelFailed { .. } => (Code::INTERNAL_SERVER_ERROR, "model-failed", "Model failed"),
            Self::Stopping => (Code::SERVICE_UNAVAILABLE, "stopping", "Server stopping"),
        }
    }

    /// Whole seconds after which to try again, for those that time cures.
    fn retry_after(&self) -> Option<u64> {
        match self {
            Self::QueueFull { retry_after, .. } | Self::DeadlineUnreachable { retry_after, .. } => {
                Some(whole_seconds(*retry_after))
            }
            Self::Uploads | Self::NotReady | Self::Stopping => Some(1),
            _ => None,
        }
    }

    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        self.class().0
    }

    /// The problem, as the reply to the request of that identifier.
    pub fn problem(&self, request_id: &str) -> Response {
        let (status, kind, title) = self.class();
        let problem = Problem {
            kind: format!("/problems/{kind}"),
            title: title.into(),
            status: status.as_u16(),
            detail: self.to_string(),
            request_id: Some(request_id.into()),
        };
        let mut response = (status, axum::Json(problem)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        if let Some(seconds) = self.retry_after() {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}

impl From<PictureError> for Refusal {
    fn from(error: PictureError) -> Self {
        match error {
            PictureError::UnsupportedFormat { found } => Self::UnsupportedFormat { found },
            PictureError::Undecodable { format, reason } => Self::Undecodable { format, reason },
            PictureError::TooManyPixels { width, height, limit } => {
                Self::TooManyPixels { width, height, limit }
            }
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = self.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// `duration` in whole seconds, upwards, at least one: the unit of `Retry-After`.
fn whole_seconds(duration: Duration) -> u64 {
    (duration.as_millis().div_ceil(1000) as u64).max(1)
}

fn seconds(duration: Duration) -> String {
    format!("{} s", whole_seconds(duration))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_in_whole_seconds_and_never_zero() {
        for (ms, seconds) in [(0, 1), (1, 1), (1000, 1), (1001, 2), (60_000, 60)] {
            let refusal = Refusal::QueueFull { waiting: 3, retry_after: Duration::from_millis(ms) };
            assert_eq!(refusal.problem("id").headers()[header::RETRY_AFTER], seconds.to_string());
        }
        assert!(!Refusal::EmptyBody.problem("id").headers().contains_key(header::RETRY_AFTER));
    }
}
