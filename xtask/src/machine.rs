//! What this machine is and whether it can hold a run.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};
use nix::unistd::Uid;
use serde::{Deserialize, Serialize};

/// The first kernel on which Sluice is tried.
const OLDEST_KERNEL: (u32, u32) = (6, 1);

/// The machine of a run, for its summary.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// The kernel's release, as `uname -r` prints it.
    pub kernel: String,
    /// The processor's name.
    pub cpu: String,
    /// Processors that a program may use.
    pub cpus: usize,
}

impl Machine {
    /// Reads the facts from `/proc`.
    pub fn read() -> Self {
        let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let cpu = info
            .lines()
            .find_map(|line| line.strip_prefix("model name")?.split_once(':').map(|(_, name)| name.trim()))
            .unwrap_or("unknown");
        Self {
            kernel: release.trim().to_owned(),
            cpu: cpu.to_owned(),
            cpus: std::thread::available_parallelism().map_or(1, usize::from),
        }
    }
}

/// Refuses to go on without root, naming the command to use.
///
/// # Errors
///
/// If the effective user is not root.
pub fn require_root() -> Result<()> {
    if Uid::effective().is_root() {
        return Ok(());
    }
    let arguments: Vec<String> = std::env::args().skip(1).map(|argument| quoted(&argument)).collect();
    bail!(
        "this makes network namespaces and loads eBPF programs, which needs root. Nothing was done. Use:\n    \
         sudo env \"PATH=$PATH\" \"HOME=$HOME\" cargo xtask {}",
        arguments.join(" ")
    );
}

/// `argument` as a shell reads it.
fn quoted(argument: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    if !argument.is_empty() && argument.chars().all(plain) {
        argument.to_owned()
    } else {
        format!("'{}'", argument.replace('\'', r"'\''"))
    }
}

/// Checks the kernel: its version (an older one is only noted) and its network namespaces and BPF.
///
/// # Errors
///
/// Names what the kernel lacks.
pub fn check_kernel(machine: &Machine) -> Result<()> {
    match version(&machine.kernel) {
        Some(found) if found < OLDEST_KERNEL => {
            let (major, minor) = OLDEST_KERNEL;
            eprintln!(
                "note: kernel {} is older than {major}.{minor}, the oldest that Sluice is tried on",
                machine.kernel
            );
        }
        _ => {}
    }
    for (path, feature) in [
        ("/proc/self/ns/net", "network namespaces (CONFIG_NET_NS)"),
        ("/sys/fs/bpf", "BPF (CONFIG_BPF_SYSCALL)"),
    ] {
        if !Path::new(path).exists() {
            bail!("this kernel ({}) has no {feature}: {path} is missing", machine.kernel);
        }
    }
    Ok(())
}

/// Major and minor number of a kernel release.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut parts = release.split(|c: char| !c.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// Checks that nobody listens on the TCP `port`.
///
/// # Errors
///
/// Names the process that holds the port, where `/proc` tells.
pub fn check_port(port: u16) -> Result<()> {
    match TcpListener::bind(("0.0.0.0", port)) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
            let holder = port_holder(port).unwrap_or_else(|| "another process".into());
            bail!("TCP port {port} is in use by {holder}: the cloud daemon needs it; stop that process first")
        }
        Err(error) => bail!("cannot listen on TCP port {port}: {error}"),
    }
}

/// `name (pid N)` of the process that listens on `port`.
fn port_holder(port: u16) -> Option<String> {
    let inodes: Vec<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .flat_map(|table| listening_inodes(&table, port))
        .collect();
    let is_number = |name: &str| name.bytes().all(|byte| byte.is_ascii_digit());
    for process in fs::read_dir("/proc").ok()?.flatten() {
        if !process.file_name().to_str().is_some_and(is_number) {
            continue;
        }
        let Ok(descriptors) = fs::read_dir(process.path().join("fd")) else { continue };
        for descriptor in descriptors.flatten() {
            let Ok(link) = fs::read_link(descriptor.path()) else { continue };
            if inodes.iter().any(|inode| link.as_os_str() == format!("socket:[{inode}]").as_str()) {
                let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
                return Some(format!("{} (pid {})", name.trim(), process.file_name().to_string_lossy()));
            }
        }
    }
    None
}

/// Inodes of the sockets in a `/proc/net/tcp` table that listen (state 0A) on `port`.
fn listening_inodes(table: &str, port: u16) -> Vec<String> {
    let local_port = format!(":{port:04X}");
    table
        .lines()
        .skip(1)
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .filter(|fields| fields.len() > 9 && fields[1].ends_with(&local_port) && fields[3] == "0A")
        .map(|fields| fields[9].to_owned())
        .collect()
}

/// Free space of the file system that holds `path`, in bytes.
pub fn free_space(path: &Path) -> Option<u64> {
    let facts = nix::sys::statvfs::statvfs(path).ok()?;
    Some(facts.blocks_available() * facts.fragment_size())
}

/// Whether a program of this name is on the `PATH`.
pub fn has_program(name: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(name).is_file()))
}

/// The commit of the checkout at `root`, with `-dirty` if files differ from it; `None` outside a checkout.
pub fn commit(root: &Path) -> Option<String> {
    let output = Command::new("git")
        .args(["describe", "--always", "--abbrev=12", "--dirty", "--exclude=*"])
        .current_dir(root)
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_versions() {
        assert_eq!(version("6.18.44-fc-v669"), Some((6, 18)));
        assert_eq!(version("6.1.0-28-amd64"), Some((6, 1)));
        assert_eq!(version("unknown"), None);
    }

    #[test]
    fn a_taken_port_names_its_holder() {
        let listener = TcpListener::bind("0.0.0.0:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let error = check_port(port).unwrap_err().to_string();
        assert!(error.contains(&format!("(pid {})", std::process::id())), "{error}");
        drop(listener);
        // A test beside this one may be starting a program, which has the port, too, until it runs.
        let is_free = || {
            std::thread::sleep(std::time::Duration::from_millis(10));
            check_port(port).is_ok()
        };
        assert!((0..200).any(|_| is_free()), "the port is never free again");
    }

    #[test]
    fn arguments_survive_a_shell() {
        assert_eq!(quoted("--rate=64kbit"), "--rate=64kbit");
        assert_eq!(quoted("a b's"), r"'a b'\''s'");
    }
}
