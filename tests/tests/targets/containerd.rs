//! containerd without Docker: the names that its clients give, and containers that come again.

use anyhow::{Result, bail, ensure};
use shaper_agent::target::{Engines, Place, Reason, Resolver, Watcher};
use sluice_tests::{
    docker::{Docker, Unified},
    net::Network,
    skipped,
};

use crate::support::{container, elsewhere, interface, noticed, refusal, refused};

/// A task as Kubernetes makes one; removed when dropped.
struct Task<'a> {
    docker: &'a Docker,
    id: &'static str,
}

impl<'a> Task<'a> {
    /// `network` is the option that gives it one.
    fn start(docker: &'a Docker, id: &'static str, network: &[&str]) -> Result<Self> {
        let root = docker.root();
        let root = root.to_string_lossy();
        let named = [
            "--annotation",
            "io.kubernetes.cri.container-type=container",
            "--annotation",
            "io.kubernetes.cri.container-name=camera",
            "--annotation",
            "io.kubernetes.cri.sandbox-name=edge-7",
            "--annotation",
            "io.kubernetes.cri.sandbox-namespace=plant",
        ];
        let command = [&*root, id, "/bin/sleep", "600"];
        // Dropped when it fails half-way, too.
        let task = Self { docker, id };
        let run = ["run", "--detach", "--rootfs"];
        docker.ctr(&[&run[..], &named, network, &command].concat())?;
        Ok(task)
    }

    fn kill(&self) -> Result<()> {
        self.docker.ctr(&["tasks", "kill", "--signal", "SIGKILL", self.id])?;
        Ok(())
    }
}

impl Drop for Task<'_> {
    fn drop(&mut self) {
        // It may have gone already.
        let _ = self.docker.ctr(&["tasks", "rm", "--force", self.id]);
        let _ = self.docker.ctr(&["containers", "rm", self.id]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tasks_are_found_and_followed() -> Result<()> {
    if let Some(why) = Docker::missing() {
        skipped(why);
        return Ok(());
    }
    let networks = [Network::new("ctr0", 31)?, Network::new("ctr1", 32)?];
    let docker = Docker::start("ctr", 2, Unified::AsIs)?;
    let engines = Engines { containerd: vec![docker.tasks()], ..Engines::none() };
    let resolver = Resolver::new(engines.clone());
    let mut watcher = Watcher::new(&engines)?;
    let inside = networks.each_ref().map(|network| format!("network:/run/netns/{}", network.namespace()));
    let namespace = docker.parent_cgroup();
    let camera = container("plant/edge-7/camera");

    refusal(&resolver, &camera, Reason::NotFound).await?;
    let mut task = None;
    let start =
        || Task::start(&docker, "aa11", &["--with-ns", &inside[0]]).map(|started| task = Some(started));
    noticed((&resolver, &mut watcher), &camera, start, elsewhere("")).await?;
    for name in [
        "plant/edge-7/camera",
        "camera",
        "aa11",
        "aa",
        &format!("{namespace}/aa11"),
        &format!("{namespace}/aa"),
    ] {
        ensure!(interface(&resolver, &container(name)).await? == networks[0].port(), "{name}");
    }
    refusal(&resolver, &container("plant/edge-7"), Reason::NotFound).await?;
    refusal(&resolver, &container("default/aa11"), Reason::NotFound).await?;

    // It ends; its state stays until its client removes it.
    if let Some(task) = &task {
        task.kill()?;
    }
    let ended = sluice_tests::eventually(crate::support::LONG, || {
        docker.ctr(&["tasks", "ls"]).is_ok_and(|list| list.contains("STOPPED"))
    });
    ensure!(ended, "the task does not end");
    refusal(&resolver, &camera, Reason::NotRunning).await?;

    // Another container takes its place before it is removed, as Kubernetes does it.
    let mut second = None;
    let start =
        || Task::start(&docker, "bb22", &["--with-ns", &inside[1]]).map(|started| second = Some(started));
    noticed((&resolver, &mut watcher), &camera, start, elsewhere("")).await?;
    ensure!(interface(&resolver, &camera).await? == networks[1].port());
    drop(task);
    ensure!(interface(&resolver, &camera).await? == networks[1].port());

    // Two that run have to be told apart.
    let third = Task::start(&docker, "bb33", &["--net-host"])?;
    let words = refusal(&resolver, &camera, Reason::Ambiguous).await?;
    ensure!(words.contains("bb22") && words.contains("bb33"), "{words}");
    let place = resolver.resolve(&container("bb33")).await?;
    let Place::Cgroup(cgroup) = place else { bail!("{place:?}") };
    ensure!(cgroup.path().ends_with(format!("{namespace}/bb33")) && !cgroup.is_own(), "{cgroup:?}");
    let gone = || {
        drop((second, third));
        Ok(())
    };
    noticed((&resolver, &mut watcher), &camera, gone, refused(Reason::NotFound)).await
}
