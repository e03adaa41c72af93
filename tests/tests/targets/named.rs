//! Processes, namespaces and cgroups that are named without an engine.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use shaper_agent::{
    spec::Target,
    target::{Place, Reason, Resolver},
};
use sluice_tests::{eventually, net::Network, skipped};

use crate::support::{LONG, interface, refusal};

/// A process in a namespace, killed when dropped.
struct Sleeper(Child);

impl Sleeper {
    fn start(namespace: &str) -> Result<Self> {
        let child = Command::new("ip")
            .args(["netns", "exec", namespace, "sleep", "600"])
            .stdin(Stdio::null())
            .spawn()?;
        let sleeper = Self(child);
        // `ip` becomes the program after it has entered the namespace.
        let path = format!("/proc/{}/comm", sleeper.0.id());
        ensure!(eventually(LONG, || fs::read_to_string(&path).is_ok_and(|name| name.trim() == "sleep")));
        Ok(sleeper)
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A namespace without interfaces but `lo`; removed when dropped.
struct Empty(&'static str);

impl Empty {
    fn new(name: &'static str) -> Result<Self> {
        let _ = Command::new("ip").args(["netns", "del", name]).stderr(Stdio::null()).status();
        ensure!(Command::new("ip").args(["netns", "add", name]).status()?.success());
        Ok(Self(name))
    }
}

impl Drop for Empty {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", self.0]).status();
    }
}

/// A cgroup without processes; removed when dropped.
struct Cgroup(PathBuf);

impl Drop for Cgroup {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

#[tokio::test]
async fn namespaces_and_processes_lead_to_their_veth() -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        skipped("needs root");
        return Ok(());
    }
    let network = Network::new("named", 33)?;
    let (namespace, port) = (network.namespace(), network.port());
    let resolver = Resolver::default();
    ensure!(interface(&resolver, &Target::Netns(namespace.clone())).await? == port);
    ensure!(interface(&resolver, &Target::Netns(format!("/run/netns/{namespace}"))).await? == port);
    let sleeper = Sleeper::start(&namespace)?;
    let pid = sleeper.0.id();
    ensure!(interface(&resolver, &Target::Pid(pid)).await? == port);
    drop(sleeper);
    refusal(&resolver, &Target::Pid(pid), Reason::NotFound).await?;

    let words = refusal(&resolver, &Target::Pid(std::process::id()), Reason::WrongKind).await?;
    ensure!(words.contains("--cgroup") && words.contains("--container"), "{words}");
    refusal(&resolver, &Target::Netns("/proc/self/ns/net".to_owned()), Reason::WrongKind).await?;
    refusal(&resolver, &Target::Netns("/proc/self/ns/mnt".to_owned()), Reason::WrongKind).await?;
    refusal(&resolver, &Target::Netns("t-no-such".to_owned()), Reason::NotFound).await?;

    let empty = Empty::new("t-empty")?;
    let words = refusal(&resolver, &Target::Netns(empty.0.to_owned()), Reason::WrongKind).await?;
    ensure!(words.contains("no interface"), "{words}");
    Ok(())
}

#[tokio::test]
async fn an_uplink_whose_other_end_is_elsewhere_is_refused() -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        skipped("needs root");
        return Ok(());
    }
    // A pair between two namespaces, as of a container in a container.
    let (inner, outer) = (Empty::new("t-inner")?, Empty::new("t-outer")?);
    let words = format!("-n {} link add eth0 type veth peer name port netns {}", inner.0, outer.0);
    ensure!(Command::new("ip").args(words.split(' ')).status()?.success());
    let target = Target::Netns(inner.0.to_owned());
    let words = refusal(&Resolver::default(), &target, Reason::WrongKind).await?;
    ensure!(words.contains("not in this network namespace"), "{words}");
    Ok(())
}

#[tokio::test]
async fn only_cgroups_of_version_2_but_not_the_root_are_taken() -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        skipped("needs root");
        return Ok(());
    }
    let resolver = Resolver::default();
    let cgroup = |path: &Path| Target::Cgroup(path.to_owned());
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    let Some(root) = mounts.lines().map(|line| line.split(' ')).find_map(|mut fields| {
        let point = fields.nth(1)?;
        (fields.next()? == "cgroup2").then_some(point)
    }) else {
        skipped("needs a cgroup2 mount");
        return Ok(());
    };
    let made = Cgroup(Path::new(root).join("sluice-t-named"));
    fs::create_dir(&made.0).context("make a cgroup")?;
    let Place::Cgroup(place) = resolver.resolve(&cgroup(&made.0)).await? else { anyhow::bail!("no cgroup") };
    ensure!(place.path() == made.0 && !place.is_own());

    // Through a symbolic link to the same place.
    let directory = tempfile::tempdir()?;
    let link = directory.path().join("link");
    std::os::unix::fs::symlink(&made.0, &link)?;
    ensure!(resolver.resolve(&cgroup(&link)).await? == Place::Cgroup(place));

    let words = refusal(&resolver, &cgroup(Path::new(root)), Reason::WrongKind).await?;
    ensure!(words.contains("root of all cgroups"), "{words}");
    refusal(&resolver, &cgroup(directory.path()), Reason::WrongKind).await?;
    refusal(&resolver, &cgroup(&made.0.join("cgroup.procs")), Reason::WrongKind).await?;
    refusal(&resolver, &cgroup(&made.0.join("none")), Reason::NotFound).await?;
    Ok(())
}
