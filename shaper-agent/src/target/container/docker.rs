//! Docker's engine, asked over its socket.

use std::{io, path::Path, time::Duration};

use hyper::StatusCode;
use serde::{Deserialize, de::DeserializeOwned};
use tokio::time::timeout;

use super::{
    super::cgroup::Scope,
    Answer, Candidate, Fit,
    http::{self, HttpError},
    shown,
};

/// How long a name may take that is good to know, but can be done without.
const SOON: Duration = Duration::from_secs(1);

/// What `/containers/NAME/json` says of a container.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Inspected {
    id: String,
    name: String,
    state: State,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct State {
    running: bool,
    pid: u32,
}

/// What `/containers/json` says of each container.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    id: String,
    names: Vec<String>,
}

/// What an engine says when it refuses.
#[derive(Debug, Deserialize)]
struct Refusal {
    message: String,
}

pub(super) async fn ask(socket: &Path, name: &str) -> Answer {
    let (result, denied) = match candidates(socket, name).await {
        Ok(candidates) => (Ok(candidates), false),
        Err(HttpError::Connect(error)) => {
            (Err(absence(&error)), error.kind() == io::ErrorKind::PermissionDenied)
        }
        Err(error) => (Err(error.to_string()), false),
    };
    let engine = format!("Docker at {}", socket.display());
    match result {
        Ok(Ok(candidates)) => Answer { engine, candidates, words: "no such container".to_owned(), denied },
        Ok(Err(words)) | Err(words) => Answer { engine, candidates: Vec::new(), words, denied },
    }
}

/// The name of the container `id`; none if the engine does not say, or not soon.
pub(in super::super) async fn name(socket: &Path, id: &str) -> Option<String> {
    let asked = timeout(SOON, http::get(socket, &path_of(id)?)).await;
    let (StatusCode::OK, body) = asked.ok()?.ok()? else { return None };
    Some(parse::<Inspected>(&body).ok()?.name.trim_start_matches('/').to_owned())
}

/// Where the engine describes a container; none if no container of Docker's can have this name.
///
/// Names of other engines have slashes, and nothing else must be mistaken for a part of a path.
fn path_of(name: &str) -> Option<String> {
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte));
    (plain && name.starts_with(|first: char| first.is_ascii_alphanumeric()))
        .then(|| format!("/containers/{name}/json"))
}

fn absence(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "not installed, or not running".to_owned(),
        io::ErrorKind::ConnectionRefused => "not running".to_owned(),
        _ => format!("cannot connect: {error}"),
    }
}

/// The containers that the name fits, or the engine's words.
async fn candidates(socket: &Path, name: &str) -> Result<Result<Vec<Candidate>, String>, HttpError> {
    let Some(path) = path_of(name) else { return Ok(Ok(Vec::new())) };
    let (status, body) = http::get(socket, &path).await?;
    match status {
        StatusCode::OK => Ok(parse::<Inspected>(&body).map(|found| vec![found.candidate(name)])),
        StatusCode::NOT_FOUND => Ok(Ok(Vec::new())),
        _ => {
            // The beginning of several ids is answered with an error that does not say which.
            let refusal =
                parse::<Refusal>(&body).map_or_else(|_| status.to_string(), |refusal| refusal.message);
            let (status, body) = http::get(socket, "/containers/json?all=true").await?;
            if status != StatusCode::OK {
                return Ok(Err(refusal));
            }
            Ok(parse::<Vec<Listed>>(&body).and_then(|listed| {
                let fitting: Vec<_> = listed
                    .into_iter()
                    .filter(|one| one.id.starts_with(name))
                    .map(Listed::candidate)
                    .collect();
                if fitting.len() > 1 { Ok(fitting) } else { Err(refusal) }
            }))
        }
    }
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    serde_json::from_slice(body).map_err(|error| format!("its answer cannot be read: {error}"))
}

impl Inspected {
    fn candidate(self, asked: &str) -> Candidate {
        let name = self.name.trim_start_matches('/');
        Candidate {
            // Docker has looked; it may know names that it does not show.
            fit: Fit::of(asked, &self.id, [name].into_iter()).unwrap_or(Fit::Name),
            shown: shown(name, &self.id),
            pid: Some(self.state.pid).filter(|pid| self.state.running && *pid != 0),
            id: self.id,
            scope: Scope::Container,
        }
    }
}

impl Listed {
    fn candidate(self) -> Candidate {
        let name = self.names.first().map_or("", |name| name.trim_start_matches('/'));
        let shown = shown(name, &self.id);
        Candidate { fit: Fit::Prefix, shown, id: self.id, pid: None, scope: Scope::Container }
    }
}
