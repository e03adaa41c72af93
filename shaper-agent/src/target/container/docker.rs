//! Docker's engine, asked over its socket.
//!
//! While it starts a container, it does not answer questions about that one; but it goes on to list it, by its name and as it
//! was before. So the list is asked first, and the container itself only if it runs.

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
    state: String,
}

/// A candidate, and whether it is listed as running.
#[derive(Debug)]
struct Found(Candidate, bool);

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
    path_of(id)?;
    // {"id":["ID"]}, URL-encoded.
    let filter = format!("&filters=%7B%22id%22%3A%5B%22{id}%22%5D%7D");
    let listed = timeout(SOON, list(socket, &filter)).await.ok()?.ok()?.ok()?;
    let listed = listed.into_iter().find(|listed| listed.id == id)?;
    Some(listed.names.first()?.trim_start_matches('/').to_owned())
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
    // The engine's own filters do not tell that the beginning of an id fits several.
    let mut fitting: Vec<Found> = match list(socket, "").await? {
        Ok(listed) => listed.into_iter().filter_map(|listed| listed.candidate(name)).collect(),
        Err(refusal) => return Ok(Err(refusal)),
    };
    let best = fitting.iter().map(|found| found.0.fit).min();
    fitting.retain(|found| Some(found.0.fit) == best);
    if let [Found(one, true)] = fitting.as_mut_slice() {
        let (status, body) = http::get(socket, &path).await?;
        if status == StatusCode::OK {
            let found = match parse::<Inspected>(&body) {
                Ok(found) => found,
                Err(refusal) => return Ok(Err(refusal)),
            };
            one.pid = Some(found.state.pid).filter(|pid| found.state.running && *pid != 0);
        }
    }
    Ok(Ok(fitting.into_iter().map(|Found(candidate, _)| candidate).collect()))
}

/// All containers, running or not; or those that `filter` fits, which is the end of a query.
async fn list(socket: &Path, filter: &str) -> Result<Result<Vec<Listed>, String>, HttpError> {
    let (status, body) = http::get(socket, &format!("/containers/json?all=true{filter}")).await?;
    if status == StatusCode::OK {
        return Ok(parse(&body));
    }
    Ok(Err(parse::<Refusal>(&body).map_or_else(|_| status.to_string(), |refusal| refusal.message)))
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    serde_json::from_slice(body).map_err(|error| format!("its answer cannot be read: {error}"))
}

impl Listed {
    /// The container as a candidate, if `asked` fits it.
    fn candidate(self, asked: &str) -> Option<Found> {
        let names = || self.names.iter().map(|name| name.trim_start_matches('/'));
        let fit = Fit::of(asked, &self.id, names())?;
        let shown = shown(names().next().unwrap_or_default(), &self.id);
        let runs = matches!(self.state.as_str(), "running" | "paused");
        let candidate = Candidate { fit, shown, id: self.id, pid: None, scope: Scope::Container };
        Some(Found(candidate, runs))
    }
}
