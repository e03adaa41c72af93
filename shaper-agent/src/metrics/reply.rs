//! From a request to a reply.

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Method, Response, StatusCode,
    header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue},
};

use super::{health, snapshot::Snapshot, text};

const PLAIN: &str = "text/plain; charset=utf-8";

/// The reply to a request for `path`.
pub(super) fn reply(method: &Method, path: &str, snapshot: &Snapshot) -> Response<Full<Bytes>> {
    if !matches!(path, "/metrics" | "/healthz") {
        return answer(
            StatusCode::NOT_FOUND,
            PLAIN,
            "not here; there are /metrics and /healthz\n".to_owned(),
        );
    }
    if !matches!(*method, Method::GET | Method::HEAD) {
        let mut refusal = answer(StatusCode::METHOD_NOT_ALLOWED, PLAIN, "only GET and HEAD\n".to_owned());
        refusal.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refusal;
    }
    if path == "/metrics" {
        return answer(StatusCode::OK, text::MEDIA_TYPE, text::render(snapshot));
    }
    match health::render(snapshot) {
        Ok((true, json)) => answer(StatusCode::OK, "application/json", json),
        Ok((false, json)) => answer(StatusCode::SERVICE_UNAVAILABLE, "application/json", json),
        Err(error) => answer(StatusCode::INTERNAL_SERVER_ERROR, PLAIN, format!("{error}\n")),
    }
}

fn answer(status: StatusCode, media_type: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
