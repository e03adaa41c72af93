//! What is called a shell in an image without one.
//!
//! Sedna's users start the container with `--entrypoint /bin/bash` and the worker by hand inside. The edge's image has the
//! daemon under that name, so that the same command line starts it; but whoever wants a shell in a running container must
//! not get a second daemon.

use std::{ffi::OsStr, path::Path};

/// Why the program called `name` may not run as a daemon: it was started as a shell, and not as a container's (or any
/// system's) first process.
pub fn refusal(name: Option<&OsStr>, pid: u32) -> Option<&'static str> {
    let name = name.map(Path::new).and_then(Path::file_name);
    (name == Some(OsStr::new("bash")) && pid != 1).then_some(
        "this image has no shell; `docker logs` shows what the daemon says, `docker exec … /usr/bin/edge-daemon --health` \
         whether it is well, and `nsenter` on the host looks inside with the host's programs",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_first_process_is_a_daemon_by_that_name() {
        let refused = |name: &str, pid| refusal(Some(OsStr::new(name)), pid).is_some();
        assert!(!refused("/bin/bash", 1));
        assert!(refused("/bin/bash", 7) && refused("bash", 7));
        assert!(!refused("/usr/bin/edge-daemon", 7));
        assert!(refusal(None, 7).is_none());
    }
}
