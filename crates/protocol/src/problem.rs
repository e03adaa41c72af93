//! Error bodies: problem details for HTTP APIs (RFC 9457).

use serde::{Deserialize, Serialize};

/// The media type of a problem body.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// A problem body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// A URI reference that names the kind of problem, for example `/problems/body-too-large`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind of problem in a few words, the same for every occurrence.
    pub title: String,
    /// The HTTP status code.
    pub status: u16,
    /// This occurrence: the object, the cause and the next step.
    pub detail: String,
    /// The request's identifier.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}
