//! Short ways to ask and to wait.

use std::{
    fs,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use shaper_agent::{
    spec::Target,
    target::{Place, Reason, Resolver, TargetError, Watcher},
};
use tokio::time::timeout;

/// How long what takes time may take at all.
pub(crate) const LONG: Duration = Duration::from_secs(60);
/// How soon a container that starts has to be noticed.
const SOON: Duration = Duration::from_secs(1);

pub(crate) fn container(name: &str) -> Target {
    Target::Container(name.to_owned())
}

/// The interface that a target is limited at.
pub(crate) async fn interface(resolver: &Resolver, target: &Target) -> Result<String> {
    match resolver.resolve(target).await? {
        Place::Interface(name) => Ok(name),
        Place::Cgroup(cgroup) => bail!("{target}: {} is no interface", cgroup.path().display()),
    }
}

/// Why a container is not found, which it must not be.
pub(crate) async fn refusal(resolver: &Resolver, target: &Target, reason: Reason) -> Result<String> {
    match resolver.resolve(target).await {
        Ok(place) => bail!("{target} leads to {place:?}"),
        Err(error) => {
            ensure!(error.reason() == reason, "{error}: {:?}", error.reason());
            Ok(error.to_string())
        }
    }
}

/// The ports of a bridge.
pub(crate) fn ports(bridge: &str) -> Result<Vec<String>> {
    let path = format!("/sys/class/net/{bridge}/brif");
    let names = fs::read_dir(&path).context(path)?;
    names.map(|name| Ok(name?.file_name().to_string_lossy().into_owned())).collect()
}

/// Runs `act`, and resolves the target each time that the watcher says so until `wanted` is content, which has to be
/// within a second after `act` has returned.
pub(crate) async fn noticed(
    (resolver, watcher): (&Resolver, &mut Watcher),
    target: &Target,
    act: impl FnOnce() -> Result<()>,
    wanted: impl Fn(&Result<Place, TargetError>) -> bool,
) -> Result<()> {
    tokio::task::block_in_place(act)?;
    let start = Instant::now();
    let mut last = None;
    loop {
        match timeout(LONG, watcher.changed()).await {
            Ok(changes) if !changes.concerns(target) => continue,
            Ok(_) => {}
            Err(_) => bail!("{target}: nothing more is noticed; it was {last:?}"),
        }
        let found = resolver.resolve(target).await;
        if wanted(&found) {
            ensure!(start.elapsed() < SOON, "{target}: noticed {:?} late", start.elapsed());
            return Ok(());
        }
        last = Some(found);
    }
}

/// Whether a target is at an interface now, but not at `old`.
pub(crate) fn elsewhere(old: &str) -> impl Fn(&Result<Place, TargetError>) -> bool {
    move |found| matches!(found, Ok(Place::Interface(name)) if name != old)
}

/// Whether a target has no place for this reason.
pub(crate) fn refused(reason: Reason) -> impl Fn(&Result<Place, TargetError>) -> bool {
    move |found| matches!(found, Err(error) if error.reason() == reason)
}
