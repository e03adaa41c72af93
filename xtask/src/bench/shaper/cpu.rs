//! How long the machine's processors have been busy.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::unistd::{SysconfVar, sysconf};

/// The time that all processors together have worked since boot: in programs, in the kernel, and for interrupts.
///
/// # Errors
///
/// If `/proc/stat` is not as proc(5) says.
pub fn busy() -> Result<Duration> {
    let text = fs::read_to_string("/proc/stat").context("cannot read /proc/stat")?;
    let ticks = ticks(&text).context("/proc/stat does not begin with the processors' times")?;
    let a_second = sysconf(SysconfVar::CLK_TCK).ok().flatten().context("the kernel has no clock tick")?;
    Ok(Duration::from_secs_f64(ticks as f64 / a_second as f64))
}

/// user + nice + system + irq + softirq of the first line; idle, iowait and what a hypervisor took are no work.
fn ticks(stat: &str) -> Option<u64> {
    let numbers: Vec<u64> = stat
        .lines()
        .next()?
        .strip_prefix("cpu ")?
        .split_whitespace()
        .map_while(|word| word.parse().ok())
        .collect();
    [0, 1, 2, 5, 6].iter().map(|&field| numbers.get(field)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_without_waiting() {
        assert_eq!(ticks("cpu  1 2 4 100 100 8 16 100 0 0\ncpu0 1"), Some(31));
        assert_eq!(ticks("intr 1"), None);
        busy().unwrap();
    }
}
