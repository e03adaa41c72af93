//! The kernel's release: what it can do and nothing else tells.

use std::fs;

use crate::{error::AgentError, spec::Direction};

/// The oldest kernel whose BPF has compare-and-swap.
pub(crate) const FLOOR: (u32, u32) = (5, 12);
/// The oldest kernel that takes a departure time from a program.
const DEPARTURE_TIMES: (u32, u32) = (5, 18);
/// The oldest kernel of which it is known that a program can read and set a socket's pace.
pub(crate) const PACING: (u32, u32) = (6, 1);
/// The oldest kernel of which it is known that an `ifb` takes what a program redirects to it: 6.1's drops it all, without
/// an error.
const IFB_REDIRECT: (u32, u32) = (6, 6);

/// The running kernel's, such as `6.12.113`.
pub(crate) fn running() -> String {
    fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned()
}

/// Whether a release is at least `floor`. One that cannot be read is taken for new.
pub(crate) fn is_at_least(release: &str, floor: (u32, u32)) -> bool {
    parse(release).is_none_or(|found| found >= floor)
}

/// Whether packets of a direction can wait under this kernel, its `fq` and `ifb` apart.
///
/// # Errors
///
/// [`AgentError::Unsupported`].
pub(crate) fn can_shape(release: &str, direction: Direction) -> Result<(), AgentError> {
    let (floor, what) = match direction {
        Direction::Upload => (IFB_REDIRECT, "an ifb that takes packets from a program"),
        Direction::Download => (DEPARTURE_TIMES, "departure times that a program sets"),
    };
    if is_at_least(release, floor) {
        return Ok(());
    }
    Err(AgentError::Unsupported {
        what: what.to_owned(),
        cause: format!("Linux {}.{} has it, this is {release}", floor.0, floor.1),
        next: "use --mode police",
    })
}

/// Major and minor number of a kernel release.
fn parse(release: &str) -> Option<(u32, u32)> {
    let mut parts = release.split(|c: char| !c.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        assert!(
            is_at_least("6.18.44-x", FLOOR) && is_at_least("5.12.0", FLOOR) && is_at_least("10.0", FLOOR)
        );
        assert!(!is_at_least("5.4.0-generic", FLOOR));
        assert!(is_at_least("", FLOOR));
    }

    #[test]
    fn directions_have_floors_of_their_own() {
        assert!(can_shape("6.1.0-56-amd64", Direction::Download).is_ok());
        assert!(can_shape("6.12.113", Direction::Upload).is_ok());
        let refused = can_shape("6.1.0-56-amd64", Direction::Upload).unwrap_err().to_string();
        assert!(refused.contains("Linux 6.6") && refused.contains("6.1.0-56-amd64"), "{refused}");
    }
}
