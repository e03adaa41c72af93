//! The same measurements under another kernel: this program runs itself again inside a guest.

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::options::Options;
use super::results::{OnKernel, Results};
use super::settings::Settings;
use crate::interrupt::Interrupt;
use crate::vm::end::End;
use crate::vm::guest::Guest;
use crate::vm::kernel::Kernel;

/// The guest's memory: some hundred megabytes of trace at the highest rates.
const MEMORY_MIB: u32 = 2048;
/// How much longer than planned a guest may take before it is given up.
const PATIENCE: u32 = 3;
/// The name of the results in the folder that guest and host share.
const RESULTS: &str = "results.json";

/// Measures what `settings` say in a guest with `kernel`, which takes about `takes`, with the programs in `programs`.
///
/// # Errors
///
/// If the guest cannot be had or dies, or the measurement fails in it.
pub fn measure(
    kernel: Kernel,
    settings: &Settings,
    options: &Options,
    programs: &Path,
    takes: Duration,
    interrupt: &Interrupt,
) -> Result<OnKernel> {
    let shared = tempfile::tempdir().context("cannot make a temporary directory")?;
    let results = shared.path().join(RESULTS);
    let whole = |path: &Path| path.canonicalize().with_context(|| format!("cannot find {}", path.display()));
    let mut command: Vec<OsString> = vec![std::env::current_exe()?.into(), "bench".into(), "shaper".into()];
    command.extend(["--kernel", "host", "--programs"].map(OsString::from));
    command.push(whole(programs)?.into());
    command.push("--json".into());
    command.push(results.clone().into());
    command.extend(settings.arguments().into_iter().map(OsString::from));
    if let Some(script) = &options.wondershaper {
        command.extend(["--wondershaper".into(), whole(script)?.into()]);
    }
    let guest = Guest::new(kernel)?
        .memory_mib(MEMORY_MIB)
        .timeout(takes * PATIENCE + Duration::from_secs(60))
        .write(shared.path());
    match guest.run(&command, interrupt)? {
        End::Exited(0) => {}
        End::Exited(code) => {
            bail!("the measurement in the guest {kernel} failed (exit code {code}), as said above")
        }
        End::TimedOut => bail!("the guest {kernel} was not done in time"),
        End::Died { console, .. } => bail!("the guest {kernel} died:\n{console}"),
    }
    let mut results = Results::read(&results)?;
    let mut on_kernel = results.kernels.pop().context("the guest measured nothing")?;
    on_kernel.place = kernel.to_string();
    Ok(on_kernel)
}
