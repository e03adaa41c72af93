//! The shaper's own kernel tests under every kernel that it is made for: user-mode Linux 6.12, and 6.1, 6.12 and the newest
//! that Debian has in QEMU.

use std::{
    fs,
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

use anyhow::{Context, Result, ensure};
use sluice_tests::{skipped, vm};

/// One guest at a time: an emulated machine has a hard time keeping real time as it is.
static TURN: Mutex<()> = Mutex::new(());

/// The tests, built by `cargo test -p shaper-agent`: the newest, where several builds lie about.
fn kernel_tests() -> Result<PathBuf> {
    let this = std::env::current_exe().context("the path of the running test")?;
    let folder = this.parent().context("the test lies in no folder")?;
    fs::read_dir(folder)?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            name.starts_with("kernel-") && path.extension().is_none()
        })
        .max_by_key(|path| fs::metadata(path).and_then(|facts| facts.modified()).ok())
        .with_context(|| {
            format!("no kernel-* in {}: run `cargo test --no-run -p shaper-agent` first", folder.display())
        })
}

/// Tests whose bounds are tight in real time, which an emulated machine does not keep.
const TIGHT: [&str; 3] = [
    "upload::a_tcp_upload_gets_the_rate",
    "upload::a_flood_from_several_threads_keeps_the_bound",
    "upload::what_waits_is_not_lost",
];

fn pass_under(kernel: &str, left_out: &[&str]) -> Result<()> {
    if let Some(why) = vm::missing() {
        skipped(why);
        return Ok(());
    }
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let tests = kernel_tests()?;
    let tests = tests.to_str().context("the target directory's path is not UTF-8")?;
    let mut command = vec![tests, "--test-threads=1", "--show-output"];
    command.extend(left_out.iter().flat_map(|test| ["--skip", test]));
    let output = vm::run(&["--kernel", kernel, "--timeout", "8m"], &command)?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(
        output.status.success(),
        "{kernel}: {}\n{said}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    ensure!(!said.contains("SKIPPED"), "{kernel}: a test was skipped:\n{said}");
    ensure!(said.contains("test result: ok"), "{kernel}: no tests were run:\n{said}");
    Ok(())
}

#[test]
fn the_shaper_works_in_user_mode_linux() -> Result<()> {
    pass_under("uml612", &[])
}

#[test]
fn the_shaper_works_on_linux_6_1() -> Result<()> {
    pass_under("tcg61", &TIGHT)
}

#[test]
fn the_shaper_works_on_linux_6_12() -> Result<()> {
    pass_under("tcg612", &TIGHT)
}

#[test]
fn the_shaper_works_on_the_newest_linux() -> Result<()> {
    pass_under("tcg-latest", &TIGHT)
}
