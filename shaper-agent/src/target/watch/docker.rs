//! Docker's own account of what happens to its containers.

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use http_body_util::BodyExt as _;
use hyper::{StatusCode, body::Incoming};
use serde::Deserialize;
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

use super::{
    super::container::{docker, http},
    pending::{Changed, Pending},
};

/// What to tell of, URL-encoded:
/// `{"type":["container","network"],"event":["create","start","die","destroy","rename","connect","disconnect"]}`.
const EVENTS: &str = "/events?filters=%7B%22type%22%3A%5B%22container%22%2C%22network%22%5D%2C%22event%22%3A%5B\
                      %22create%22%2C%22start%22%2C%22die%22%2C%22destroy%22%2C%22rename%22%2C\
                      %22connect%22%2C%22disconnect%22%5D%7D";
/// Before the first new try to connect; each further one waits twice as long.
const SOON: Duration = Duration::from_millis(50);
/// The longest wait between two tries.
const LATE: Duration = Duration::from_secs(5);
/// The longest line, in bytes. Labels are part of events.
const LONGEST: usize = 1 << 20;

/// Follows the engine's events for ever. `appeared` tells when a file appears beside the socket.
pub(super) async fn follow(socket: PathBuf, pending: Arc<Pending>, mut appeared: watch::Receiver<()>) {
    let mut wait = SOON;
    loop {
        appeared.mark_unchanged();
        let longest = match http::stream(&socket, EVENTS).await {
            Ok((StatusCode::OK, body)) => {
                // What happened before.
                pending.everything();
                let stream = Stream { socket: &socket, pending: &pending, rest: Vec::new() };
                stream.read(body).await;
                // The engine has gone, and perhaps its containers.
                pending.everything();
                wait = SOON;
                wait
            }
            Err(http::HttpError::Connect(error))
                if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied) =>
            {
                wait = SOON;
                Duration::MAX
            }
            other => {
                let why = other.map_or_else(|error| error.to_string(), |(status, _)| status.to_string());
                tracing::debug!("{} tells no events: {why}", socket.display());
                wait = (wait * 2).min(LATE);
                wait
            }
        };
        let something = async {
            if appeared.changed().await.is_err() {
                // Directories cannot be watched any more.
                sleep(LATE).await;
            }
        };
        // Whether it was long or short, it is tried again.
        let _ = timeout(longest, something).await;
    }
}

/// The events of one connection.
struct Stream<'a> {
    socket: &'a std::path::Path,
    pending: &'a Pending,
    /// The beginning of a line whose end has not come yet.
    rest: Vec<u8>,
}

/// One event.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Event {
    #[serde(rename = "Type")]
    kind: String,
    actor: Actor,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Actor {
    #[serde(rename = "ID")]
    id: String,
    #[serde(default)]
    attributes: Attributes,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Attributes {
    /// Of the container, or of the network.
    name: Option<String>,
    /// With `rename`.
    old_name: Option<String>,
    /// With events of networks: the container's id.
    container: Option<String>,
}

impl Stream<'_> {
    async fn read(mut self, mut body: Incoming) {
        while let Some(Ok(frame)) = body.frame().await {
            let Ok(data) = frame.into_data() else { continue };
            self.rest.extend_from_slice(&data);
            while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=end).collect();
                self.line(&line).await;
            }
            if self.rest.len() > LONGEST {
                return;
            }
        }
    }

    async fn line(&self, line: &[u8]) {
        let Ok(event) = serde_json::from_slice::<Event>(line) else { return self.pending.everything() };
        let Actor { id, attributes } = event.actor;
        if event.kind != "network" {
            let names = attributes.name.into_iter().chain(attributes.old_name);
            let names = names.map(|name| name.trim_start_matches('/').to_owned()).collect();
            return self.pending.container(Changed { id, names });
        }
        let Some(id) = attributes.container else { return };
        match docker::name(self.socket, &id).await {
            Some(name) => self.pending.container(Changed { id, names: vec![name] }),
            None => self.pending.everything(),
        }
    }
}
