//! The capabilities that the agent cannot do without.

use std::fs;

use crate::error::AgentError;

/// Bits of `CapEff` in `/proc/self/status` (`linux/capability.h`).
const NET_ADMIN: u32 = 12;
const SYS_ADMIN: u32 = 21;
const BPF: u32 = 39;

/// Fails with what is missing. Where `/proc` does not tell, the kernel will.
pub(crate) fn check() -> Result<(), AgentError> {
    let Ok(status) = fs::read_to_string("/proc/self/status") else { return Ok(()) };
    let Some(effective) = effective(&status) else { return Ok(()) };
    let missing = missing(effective);
    if missing.is_empty() { Ok(()) } else { Err(AgentError::Privileges(missing)) }
}

fn effective(status: &str) -> Option<u64> {
    let mask = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(mask.trim(), 16).ok()
}

fn missing(effective: u64) -> Vec<&'static str> {
    let has = |bit: u32| effective >> bit & 1 == 1;
    let mut missing = Vec::new();
    if !has(NET_ADMIN) {
        missing.push("CAP_NET_ADMIN");
    }
    if !has(BPF) && !has(SYS_ADMIN) {
        missing.push("CAP_BPF");
    }
    missing
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_capabilities_are_named() {
        assert_eq!(effective("Name:\tx\nCapEff:\t000001ffffffffff\n"), Some(0x1ff_ffff_ffff));
        assert_eq!(missing(0x1ff_ffff_ffff), Vec::<&str>::new());
        assert_eq!(missing(0), ["CAP_NET_ADMIN", "CAP_BPF"]);
        assert_eq!(missing(1 << NET_ADMIN), ["CAP_BPF"]);
        assert_eq!(missing(1 << NET_ADMIN | 1 << SYS_ADMIN), Vec::<&str>::new());
    }
}
