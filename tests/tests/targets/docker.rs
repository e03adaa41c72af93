//! Docker: names, restarts, the host's network, and an engine that goes and comes.

use std::fs;

use anyhow::{Context, Result, bail, ensure};
use shaper_agent::target::{CgroupPlace, Engines, Place, Reason, Resolver, Watcher};
use sluice_tests::{
    docker::{Docker, IMAGE, NETWORK, Unified},
    skipped,
};

use crate::support::{container, elsewhere, interface, noticed, ports, refusal, refused};

const SLEEP: [&str; 2] = ["sleep", "600"];

pub(crate) fn engines(docker: &Docker) -> Engines {
    Engines { docker: vec![docker.socket()], containerd: vec![docker.tasks()], ..Engines::none() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn containers_are_found_and_followed() -> Result<()> {
    if let Some(why) = Docker::missing() {
        skipped(why);
        return Ok(());
    }
    let mut docker = Docker::start("targets", 1, Unified::AsIs)?;
    let resolver = Resolver::new(engines(&docker));
    let mut watcher = Watcher::new(&engines(&docker))?;

    let id = docker.run("web", NETWORK, &[], &SLEEP)?;
    names(&docker, &resolver, &id).await?;
    host_network(&docker, &resolver).await?;
    life(&docker, &resolver, &mut watcher).await?;
    ambiguity(&docker, &resolver).await?;
    early(&docker, &resolver, &mut watcher).await?;
    engine(&mut docker, &resolver, &mut watcher).await
}

/// A container on a bridge is at the bridge's port, whatever it is called.
async fn names(docker: &Docker, resolver: &Resolver, id: &str) -> Result<()> {
    let ports = ports(&docker.bridge())?;
    let [port] = ports.as_slice() else { bail!("{ports:?}") };
    let moby = format!("moby/{id}");
    for name in ["web", id, &id[..12], &moby] {
        ensure!(interface(resolver, &container(name)).await? == *port, "{name}");
    }
    // One that shares its network is behind the same port.
    docker.run("guest", "container:web", &[], &SLEEP)?;
    ensure!(interface(resolver, &container("guest")).await? == *port);
    docker.client(&["rm", "--force", "guest"])?;

    docker.run("lonely", "none", &[], &SLEEP)?;
    let words = refusal(resolver, &container("lonely"), Reason::WrongKind).await?;
    ensure!(words.contains("no interface"), "{words}");
    let words = refusal(resolver, &container("nobody"), Reason::NotFound).await?;
    ensure!(words.contains("no such container") && words.contains("docker ps -a"), "{words}");
    refusal(resolver, &container("web/../web"), Reason::NotFound).await?;
    Ok(())
}

/// A container on the host's network is limited at its own cgroup, where all its processes are.
async fn host_network(docker: &Docker, resolver: &Resolver) -> Result<()> {
    let id = docker.run("hosted", "host", &[], &SLEEP)?;
    let place = resolver.resolve(&container("hosted")).await?;
    let Place::Cgroup(cgroup) = place else { bail!("{place:?}") };
    ensure!(!cgroup.is_own() && cgroup.path().ends_with(&id), "{cgroup:?}");
    let inside = fs::read_to_string(cgroup.path().join("cgroup.procs"))?;
    ensure!(
        inside.lines().any(|line| line == docker.pid("hosted").unwrap_or_default().to_string()),
        "{inside}"
    );
    // What is not the agent's own stays as it is.
    ensure!(cgroup.refill()? == 0);
    cgroup.remove()?;
    ensure!(CgroupPlace::left_behind(cgroup.path()).is_none());
    ensure!(cgroup.path().exists());
    Ok(())
}

/// Stops, starts, restarts and other names are noticed, and lead to the right interface.
async fn life(docker: &Docker, resolver: &Resolver, watcher: &mut Watcher) -> Result<()> {
    let web = container("web");
    let say = |words: &'static [&'static str]| || docker.client(words).map(drop);

    let first = interface(resolver, &web).await?;
    noticed((resolver, watcher), &web, say(&["restart", "-t", "0", "web"]), elsewhere(&first)).await?;
    let second = interface(resolver, &web).await?;
    ensure!(ports(&docker.bridge())? == std::slice::from_ref(&second));

    let stopped = refused(Reason::NotRunning);
    noticed((resolver, watcher), &web, say(&["stop", "-t", "0", "web"]), stopped).await?;
    noticed((resolver, watcher), &web, say(&["start", "web"]), elsewhere(&second)).await?;

    let www = container("www");
    noticed((resolver, watcher), &www, say(&["rename", "web", "www"]), elsewhere("")).await?;
    refusal(resolver, &web, Reason::NotFound).await?;
    noticed((resolver, watcher), &web, say(&["rename", "www", "web"]), elsewhere("")).await?;

    // Another container under the same name.
    let gone = refused(Reason::NotFound);
    noticed((resolver, watcher), &web, say(&["rm", "--force", "web"]), gone).await?;
    let again = || docker.run("web", NETWORK, &[], &SLEEP).map(drop);
    noticed((resolver, watcher), &web, again, elsewhere("")).await
}

/// A container is found as soon as it has its network, before its program runs and while its engine says nothing of it.
async fn early(docker: &Docker, resolver: &Resolver, watcher: &mut Watcher) -> Result<()> {
    let late = container("late");
    docker.client(&[
        "create",
        "--runtime=late",
        "--name=late",
        "--network",
        NETWORK,
        IMAGE,
        "sleep",
        "600",
    ])?;
    refusal(resolver, &late, Reason::NotRunning).await?;
    let mut starting = docker.begin(&["start", "late"])?;
    let found = noticed((resolver, watcher), &late, || Ok(()), elsewhere("")).await;
    let running = docker.client(&["ps", "--quiet", "--filter", "name=late"]);
    docker.open_gate()?;
    ensure!(starting.wait()?.success(), "docker start fails");
    found?;
    ensure!(running?.trim().is_empty(), "it ran before it was found");
    // The same when it runs.
    interface(resolver, &late).await.map(drop)
}

/// The beginning of two ids means neither.
async fn ambiguity(docker: &Docker, resolver: &Resolver) -> Result<()> {
    // Of seventeen hexadecimal numbers two begin alike.
    let mut ids: Vec<String> = Vec::new();
    let twins = loop {
        ensure!(ids.len() < 17, "{ids:?}");
        let id = docker.client(&["create", IMAGE, "true"])?.trim().to_owned();
        if let Some(twin) = ids.iter().find(|other| other[..1] == id[..1]) {
            break [twin.clone(), id];
        }
        ids.push(id);
    };
    let words = refusal(resolver, &container(&twins[0][..1]), Reason::Ambiguous).await?;
    ensure!(twins.iter().all(|twin| words.contains(&twin[..12])), "{words}");
    let one = &twins[0];
    refusal(resolver, &container(one), Reason::NotRunning).await?;
    Ok(())
}

/// An engine that goes and comes again is followed.
async fn engine(docker: &mut Docker, resolver: &Resolver, watcher: &mut Watcher) -> Result<()> {
    let web = container("web");
    let gone = refused(Reason::NotFound);
    noticed((resolver, watcher), &web, || docker.stop_engine(), gone).await?;
    let words = refusal(resolver, &web, Reason::NotFound).await?;
    ensure!(words.contains("not running"), "{words}");
    noticed((resolver, watcher), &web, || docker.start_engine(), refused(Reason::NotRunning)).await?;
    noticed((resolver, watcher), &web, || docker.client(&["start", "web"]).map(drop), elsewhere("")).await?;
    ports(&docker.bridge())?.first().context("the port").map(drop)
}
