//! The HTTP interface: which path does what, and what every reply has.
//!
//! Only what breaks the rules of HTTP itself is answered without a problem body: by a bare 400, or a 431 for a
//! head of more than 64 KiB.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use protocol::infer::{DEADLINE_MS, ImageSize, InferResponse, ModelInfo, REQUEST_ID, Timing};
use tracing::Instrument;

use crate::admission::Admission;
use crate::decoding::Decoding;
use crate::metrics::{self, Metrics};
use crate::refusal::Refusal;
use crate::upload::{self, Uploads};
use crate::worker::Worker;

const ABOUT: &str = concat!(
    "Sluice cloud-daemon ",
    env!("CARGO_PKG_VERSION"),
    "\n\n",
    "POST /infer    a JPEG, PNG or WebP picture as the body; the reply is JSON with the objects in it:\n",
    "               curl --data-binary @photo.jpg http://HOST:PORT/infer\n",
    "GET  /healthz  200 while the process lives\n",
    "GET  /readyz   200 when the model answers\n",
    "GET  /metrics  counters for Prometheus\n"
);

/// The longest request identifier that is taken over from a caller.
const MAX_REQUEST_ID: usize = 128;

/// What the handlers share.
#[derive(Debug)]
pub struct Service {
    /// Reads bodies.
    pub uploads: Uploads,
    /// Says who may wait.
    pub admission: Arc<Admission>,
    /// Decodes pictures.
    pub decoding: Decoding,
    /// Runs the model.
    pub worker: Worker,
    /// Counts.
    pub metrics: Arc<Metrics>,
}

/// The router of `service`.
pub fn router(service: Arc<Service>) -> Router {
    Router::new()
        .route("/", get(ABOUT))
        .route("/infer", post(infer))
        .route("/healthz", get("alive\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .fallback(async |request: Request| Refusal::UnknownPath { path: request.uri().path().into() })
        .method_not_allowed_fallback(async |request: Request| Refusal::WrongMethod {
            method: request.method().to_string(),
            path: request.uri().path().into(),
        })
        .layer(from_fn_with_state(Arc::clone(&service), finish))
        .with_state(service)
}

/// `POST /infer`.
async fn infer(
    State(service): State<Arc<Service>>,
    Extension(request_id): Extension<RequestId>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<InferResponse>, Refusal> {
    let deadline = match before_the_body(&service, &headers) {
        Ok(deadline) => deadline,
        Err(refusal) => return Err(upload::refuse(&headers, body, refusal)),
    };
    let upload = service.uploads.read(&headers, body, deadline).await?;
    let received = Instant::now();
    service.worker.model().ok_or(Refusal::NotReady)?;
    let ticket = service.admission.admit(deadline)?;
    let bytes = upload.bytes.len();
    let decoded = service.decoding.decode(upload).await?;
    let decode = received.elapsed();
    let image = ImageSize { width: decoded.picture.width(), height: decoded.picture.height() };
    let answer = service.worker.detect(decoded, deadline, ticket).await?;
    let total = received.elapsed();
    service.metrics.answered(total, answer.queue, answer.infer);
    tracing::info!(
        bytes,
        width = image.width,
        height = image.height,
        detections = answer.detections.len(),
        model = answer.model.name,
        queue_ms = millis(answer.queue),
        infer_ms = millis(answer.infer),
        total_ms = millis(total),
        "answered"
    );
    Ok(Json(InferResponse {
        request_id: request_id.0,
        model: ModelInfo::clone(&answer.model),
        image,
        detections: answer.detections,
        timing: Timing {
            decode_ms: millis(decode),
            queue_ms: millis(answer.queue),
            infer_ms: millis(answer.infer),
            total_ms: millis(total),
        },
    }))
}

/// What can be refused by the request's head alone: a picture takes long on a narrow uplink, and must not be
/// sent for nothing. Returns the deadline.
fn before_the_body(service: &Service, headers: &HeaderMap) -> Result<Option<Instant>, Refusal> {
    let deadline = deadline(headers, Instant::now())?;
    service.worker.model().ok_or(Refusal::NotReady)?;
    service.admission.reach(deadline)?;
    Ok(deadline)
}

/// `GET /readyz`.
async fn readyz(State(service): State<Arc<Service>>) -> Result<&'static str, Refusal> {
    service.worker.model().map(|_| "ready\n").ok_or(Refusal::NotReady)
}

/// `GET /metrics`.
async fn metrics(State(service): State<Arc<Service>>) -> Response {
    match service.metrics.text(service.admission.waiting()) {
        Ok(text) => ([(header::CONTENT_TYPE, metrics::MEDIA_TYPE)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// When the caller of a request that arrived at `now` no longer wants its answer.
fn deadline(headers: &HeaderMap, now: Instant) -> Result<Option<Instant>, Refusal> {
    let Some(value) = headers.get(DEADLINE_MS) else {
        return Ok(None);
    };
    let ms = value.to_str().ok().and_then(|text| text.trim().parse::<u64>().ok());
    let ms =
        ms.ok_or(Refusal::BadHeader { name: DEADLINE_MS, expected: "a whole number of milliseconds" })?;
    // One too far away to be expressed is none.
    Ok(now.checked_add(Duration::from_millis(ms)))
}

/// A request's identifier.
#[derive(Debug, Clone)]
struct RequestId(String);

impl RequestId {
    /// The caller's, if it is one that can be repeated safely, or a new one.
    fn of(headers: &HeaderMap) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let given = headers.get(REQUEST_ID).and_then(|id| id.to_str().ok());
        let usable = |id: &&str| (1..=MAX_REQUEST_ID).contains(&id.len());
        Self(given.filter(usable).map_or_else(
            || {
                let micros =
                    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros());
                format!("{micros:x}-{:x}", COUNT.fetch_add(1, Ordering::Relaxed))
            },
            ToOwned::to_owned,
        ))
    }
}

/// Around every request: gives it its identifier, makes problems of refusals, counts.
async fn finish(State(service): State<Arc<Service>>, mut request: Request, next: Next) -> Response {
    let id = RequestId::of(request.headers());
    request.extensions_mut().insert(id.clone());
    let path = request.extensions().get::<MatchedPath>().cloned();
    let span =
        tracing::info_span!("request", id = id.0, method = %request.method(), path = request.uri().path());
    let mut response = next.run(request).instrument(span.clone()).await;
    if let Some(refusal) = response.extensions_mut().remove::<Refusal>() {
        let status = refusal.status().as_u16();
        // Whoever waits for the model asks again and again.
        span.in_scope(|| match refusal {
            Refusal::NotReady => tracing::debug!(status, %refusal, "refused"),
            _ => tracing::info!(status, %refusal, "refused"),
        });
        let allow = response.headers_mut().remove(header::ALLOW);
        response = refusal.problem(&id.0);
        if let Some(allow) = allow {
            response.headers_mut().insert(header::ALLOW, allow);
        }
    }
    if let Ok(id) = HeaderValue::from_str(&id.0) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    service.metrics.reply(path.as_ref().map_or("other", MatchedPath::as_str), response.status());
    response
}

/// Milliseconds, to the microsecond.
fn millis(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1000.0
}
