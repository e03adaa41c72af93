//! The health in JSON.

use serde::Serialize;

use super::snapshot::Snapshot;
use crate::spec::Direction;

#[derive(Serialize)]
struct Health {
    status: &'static str,
    limits: usize,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    not_in_force: Vec<Missing>,
}

#[derive(Serialize)]
struct Missing {
    target: String,
    direction: Direction,
}

/// Whether every wanted limit is in force, and the same as JSON, with those that are not.
///
/// # Errors
///
/// It cannot be written as JSON, which would be a fault of this program.
pub(super) fn render(snapshot: &Snapshot) -> serde_json::Result<(bool, String)> {
    let missing = snapshot.limits.iter().filter(|limit| !limit.in_force);
    let not_in_force: Vec<Missing> = missing
        .map(|limit| Missing { target: limit.target.to_string(), direction: limit.direction })
        .collect();
    let healthy = not_in_force.is_empty();
    let status = if healthy { "ok" } else { "not in force" };
    let health = Health { status, limits: snapshot.limits.len(), not_in_force };
    Ok((healthy, serde_json::to_string(&health)? + "\n"))
}
