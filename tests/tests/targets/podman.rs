//! Podman, which has no engine to ask: names, restarts and the host's network.

use anyhow::{Result, bail, ensure};
use shaper_agent::target::{Engines, Place, Reason, Resolver, Storage, Watcher};
use sluice_tests::{net::Network, podman::Podman, skipped};

use crate::support::{container, elsewhere, interface, noticed, refusal, refused};

const SLEEP: [&str; 2] = ["sleep", "600"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn containers_are_found_and_followed() -> Result<()> {
    if let Some(why) = Podman::missing() {
        skipped(why);
        return Ok(());
    }
    let networks = [Network::new("pod0", 34)?, Network::new("pod1", 35)?];
    let inside = networks.each_ref().map(|network| format!("ns:/run/netns/{}", network.namespace()));
    let podman = Podman::new()?;
    let storage = Storage { graph: podman.graph(), run: podman.run_root(), exits: podman.exits() };
    let engines = Engines { podman: vec![storage], ..Engines::none() };
    let resolver = Resolver::new(engines.clone());
    let mut watcher = Watcher::new(&engines)?;
    let both = (&resolver, &mut watcher);
    let web = container("web");
    let say = |words: &'static [&'static str]| || podman.client(words).map(drop);

    refusal(&resolver, &web, Reason::NotFound).await?;
    let mut id = String::new();
    let start = || podman.run("web", &inside[0], &[], &SLEEP).map(|started| id = started);
    noticed(both, &web, start, elsewhere("")).await?;
    for name in ["web", &id, &id[..12]] {
        ensure!(interface(&resolver, &container(name)).await? == networks[0].port(), "{name}");
    }
    let words = refusal(&resolver, &container("nobody"), Reason::NotFound).await?;
    ensure!(words.contains("none of its 1 containers"), "{words}");

    let stopped = refused(Reason::NotRunning);
    noticed((&resolver, &mut watcher), &web, say(&["stop", "--time", "0", "web"]), stopped).await?;
    noticed((&resolver, &mut watcher), &web, say(&["start", "web"]), elsewhere("")).await?;
    let www = container("www");
    noticed((&resolver, &mut watcher), &www, say(&["rename", "web", "www"]), elsewhere("")).await?;
    refusal(&resolver, &web, Reason::NotFound).await?;

    // One that is gone when it ends is noted elsewhere.
    let start = || podman.run("web", &inside[1], &["--rm"], &SLEEP).map(drop);
    noticed((&resolver, &mut watcher), &web, start, elsewhere("")).await?;
    ensure!(interface(&resolver, &web).await? == networks[1].port());
    let gone = refused(Reason::NotFound);
    noticed((&resolver, &mut watcher), &web, say(&["rm", "--force", "--time", "0", "web"]), gone).await?;

    let id = podman.run("hosted", "host", &[], &SLEEP)?;
    let place = resolver.resolve(&container("hosted")).await?;
    let Place::Cgroup(cgroup) = place else { bail!("{place:?}") };
    ensure!(!cgroup.is_own() && cgroup.path().ends_with(format!("libpod-{id}")), "{cgroup:?}");
    Ok(())
}
