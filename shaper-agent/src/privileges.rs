//! The capabilities that the agent cannot do without.

use std::fs;

use crate::error::AgentError;

/// Bits of `CapEff` in `/proc/self/status` (`linux/capability.h`).
const NET_ADMIN: u32 = 12;
const SYS_ADMIN: u32 = 21;
const PERFMON: u32 = 38;
const BPF: u32 = 39;

/// Fails with what is missing. Where `/proc` does not tell, the kernel will.
pub(crate) fn check() -> Result<(), AgentError> {
    let Ok(status) = fs::read_to_string("/proc/self/status") else { return Ok(()) };
    let Some(effective) = effective(&status) else { return Ok(()) };
    let missing = missing(effective);
    if missing.is_empty() { Ok(()) } else { Err(AgentError::Privileges(missing)) }
}

/// What cannot be done for want of other capabilities, in words.
pub(crate) fn others() -> String {
    let effective = fs::read_to_string("/proc/self/status").ok().and_then(|status| effective(&status));
    match effective {
        Some(mask) if !has(mask, SYS_ADMIN) => {
            "enough for --iface; without CAP_SYS_ADMIN containers cannot be entered (--container, --pid, --netns) nor their              GSO packets capped"
                .to_owned()
        }
        Some(_) => "all that any target needs".to_owned(),
        None => "/proc does not tell".to_owned(),
    }
}

/// Whether the process may mount file systems.
pub(crate) fn may_mount() -> bool {
    let status = fs::read_to_string("/proc/self/status").ok();
    status.and_then(|status| effective(&status)).is_none_or(|mask| has(mask, SYS_ADMIN))
}

fn effective(status: &str) -> Option<u64> {
    let mask = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(mask.trim(), 16).ok()
}

fn missing(effective: u64) -> Vec<&'static str> {
    let mut missing = Vec::new();
    if !has(effective, NET_ADMIN) {
        missing.push("CAP_NET_ADMIN");
    }
    if !has(effective, BPF) && !has(effective, SYS_ADMIN) {
        missing.push("CAP_BPF");
    }
    // The verifier lets only those who have it compute pointers into a packet.
    if !has(effective, PERFMON) && !has(effective, SYS_ADMIN) {
        missing.push("CAP_PERFMON");
    }
    missing
}

fn has(mask: u64, bit: u32) -> bool {
    mask >> bit & 1 == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_capabilities_are_named() {
        assert_eq!(effective("Name:\tx\nCapEff:\t000001ffffffffff\n"), Some(0x1ff_ffff_ffff));
        assert_eq!(missing(0x1ff_ffff_ffff), Vec::<&str>::new());
        assert_eq!(missing(0), ["CAP_NET_ADMIN", "CAP_BPF", "CAP_PERFMON"]);
        assert_eq!(missing(1 << NET_ADMIN), ["CAP_BPF", "CAP_PERFMON"]);
        assert_eq!(missing(1 << NET_ADMIN | 1 << BPF), ["CAP_PERFMON"]);
        assert_eq!(missing(1 << NET_ADMIN | 1 << SYS_ADMIN), Vec::<&str>::new());
    }
}
