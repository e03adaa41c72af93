//! Containers on the host's network that have no version 2 cgroup: the agent makes one.

use std::{collections::HashSet, fs, path::Path};

use anyhow::{Result, bail, ensure};
use shaper_agent::target::{CgroupPlace, Place, Reason, Resolver};
use sluice_tests::{
    docker::{Docker, Unified},
    eventually, skipped,
};

use crate::{
    docker::engines,
    support::{LONG, container, refusal},
};

/// The version 2 hierarchy beside version 1, where systems and runtimes expect it.
const UNIFIED: &str = "/sys/fs/cgroup/unified";

fn processes(cgroup: &Path) -> Result<HashSet<u32>> {
    let text = fs::read_to_string(cgroup.join("cgroup.procs"))?;
    text.lines().map(|line| Ok(line.parse()?)).collect()
}

/// Removes what the agent made even when the test fails.
struct Made(CgroupPlace);

impl Drop for Made {
    fn drop(&mut self) {
        let _ = self.0.remove();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cgroup_is_made_filled_and_removed() -> Result<()> {
    if let Some(why) = Docker::missing() {
        skipped(why);
        return Ok(());
    }
    if !Path::new(UNIFIED).join("cgroup.procs").exists() {
        skipped("needs version 1 cgroups with version 2 beside them");
        return Ok(());
    }
    let docker = Docker::start("cgroup", 3, Unified::Hidden)?;
    let resolver = Resolver::new(engines(&docker));
    let id = docker.run("hosted", "host", &[], &["sh", "-c", "sleep 600 & sleep 601"])?;
    let first = docker.pid("hosted")?;
    let hosted = container("hosted");

    let Place::Cgroup(cgroup) = resolver.resolve(&hosted).await? else { bail!("no cgroup") };
    let _made = Made(cgroup.clone());
    ensure!(cgroup.is_own() && cgroup.path() == Path::new(UNIFIED).join("sluice").join(&id), "{cgroup:?}");
    // The shell makes a second process, then or later: it is there as well.
    let both = || processes(cgroup.path()).is_ok_and(|inside| inside.len() == 2 && inside.contains(&first));
    ensure!(eventually(LONG, both), "{:?}", processes(cgroup.path()));

    // Found again as it is, and as what an agent before has made.
    let Place::Cgroup(again) = resolver.resolve(&hosted).await? else { bail!("no cgroup") };
    ensure!(again == cgroup);
    let left = CgroupPlace::left_behind(cgroup.path());
    ensure!(left.as_ref().is_some_and(CgroupPlace::is_own), "{left:?}");

    // What comes in from outside has to be fetched; once.
    docker.client(&["exec", "--detach", "hosted", "sleep", "602"])?;
    ensure!(eventually(LONG, || cgroup.refill().is_ok_and(|moved| moved == 1)), "no process came");
    ensure!(cgroup.refill()? == 0);
    let inside = processes(cgroup.path())?;
    ensure!(inside.len() == 3, "{inside:?}");

    // Its processes go on where they were before.
    cgroup.remove()?;
    ensure!(!cgroup.path().exists() && !Path::new(UNIFIED).join("sluice").exists());
    ensure!(inside.is_subset(&processes(Path::new(UNIFIED))?));
    cgroup.remove()?;

    // A container that has ended leaves an empty cgroup.
    let Place::Cgroup(cgroup) = resolver.resolve(&hosted).await? else { bail!("no cgroup") };
    docker.client(&["rm", "--force", "hosted"])?;
    refusal(&resolver, &hosted, Reason::NotFound).await?;
    ensure!(cgroup.refill()? == 0);
    left.map_or(Ok(()), |left| left.remove())?;
    ensure!(!cgroup.path().exists());
    Ok(())
}
