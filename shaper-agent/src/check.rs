//! `check`: what this kernel and this machine can do, and why not.

use std::{io, path::Path};

use serde::Serialize;

use crate::{
    bpffs,
    cli::Check,
    error::{AgentError, chain},
    hook, kernel, pacing, privileges, queue, release,
    spec::Direction,
    target,
};

/// Where container engines are asked.
const ENGINES: [(&str, &str); 3] = [
    ("Docker", "/var/run/docker.sock"),
    ("Podman", "/run/podman/podman.sock"),
    ("containerd", "/run/containerd/containerd.sock"),
];

/// The whole report: `docs/schema/shaper-check.schema.json`.
#[derive(Debug, Serialize)]
struct Report {
    kernel: String,
    checks: Vec<Line>,
}

/// One ability.
#[derive(Debug, Serialize)]
struct Line {
    name: &'static str,
    ok: bool,
    /// Whether nothing works without it.
    required: bool,
    /// What was seen, or what is missing and what to do.
    reason: String,
}

/// Looks at everything that limits need, and prints it.
///
/// # Errors
///
/// [`AgentError::Unsupported`] if something that nothing works without is missing.
pub(crate) fn run(options: &Check, bpffs: &Path) -> Result<(), AgentError> {
    let kernel = release::running();
    let checks = vec![
        version(&kernel),
        capabilities(),
        file_system(bpffs),
        program(),
        tcx(),
        shape(&kernel),
        pacing(),
        cgroup(),
        engines(),
    ];
    let report = Report { kernel, checks };
    print(&report, options.json).map_err(|error| AgentError::System("write to standard output", error))?;
    match report.checks.into_iter().find(|line| line.required && !line.ok) {
        None => Ok(()),
        Some(line) => Err(AgentError::Unsupported {
            what: line.name.to_owned(),
            cause: line.reason,
            next: "no limit can be put in force here until that is mended",
        }),
    }
}

fn print(report: &Report, json: bool) -> io::Result<()> {
    use io::Write as _;
    let mut out = io::stdout().lock();
    if json {
        serde_json::to_writer(&mut out, report)?;
        return writeln!(out);
    }
    writeln!(out, "kernel {}", report.kernel)?;
    for line in &report.checks {
        let mark = match (line.ok, line.required) {
            (true, _) => "yes",
            (false, true) => "NO",
            (false, false) => "no",
        };
        writeln!(out, "{mark:>4}  {:24} {}", line.name, line.reason)?;
    }
    out.flush()
}

fn version(kernel: &str) -> Line {
    let ok = release::is_at_least(kernel, release::FLOOR);
    let reason =
        if ok { kernel.to_owned() } else { format!("{kernel}; Linux 5.12 is the oldest that will do") };
    Line { name: "kernel version", ok, required: true, reason }
}

fn capabilities() -> Line {
    let (ok, reason) = match privileges::check() {
        Ok(()) => (true, privileges::others()),
        Err(error) => (false, error.to_string()),
    };
    Line { name: "capabilities", ok, required: true, reason }
}

fn file_system(directory: &Path) -> Line {
    let (ok, reason) = if bpffs::is_mounted(directory) {
        (true, format!("mounted at {}", directory.display()))
    } else if privileges::may_mount() {
        (true, format!("not mounted at {}; the agent will mount it", directory.display()))
    } else {
        (false, format!("not mounted at {0}: `mount -t bpf bpffs {0}`", directory.display()))
    };
    Line { name: "BPF file system", ok, required: true, reason }
}

/// Loads the program: the verifier's word is the only one that counts.
fn program() -> Line {
    let (ok, reason) = match kernel::try_load(Direction::Upload) {
        Ok(instructions) => (true, format!("the verifier accepts it ({instructions} instructions)")),
        Err(error) => (false, error.to_string()),
    };
    Line { name: "limit program", ok, required: true, reason }
}

fn tcx() -> Line {
    // The loopback is in every network namespace.
    let (ok, reason) = match hook::tcx_chain("lo", Direction::Upload) {
        Ok(_) => (true, "limits are links, replaced without a gap".to_owned()),
        Err(error) => (false, format!("{}; limits are clsact filters (Linux 6.6 has TCX)", chain(&error))),
    };
    Line { name: "TCX", ok, required: false, reason }
}

fn shape(kernel: &str) -> Line {
    let (ok, reason) = match release::can_shape(kernel, Direction::Upload).and_then(|()| queue::try_ifb()) {
        Ok(()) => (true, "packets can wait: ifb and fq are there".to_owned()),
        Err(AgentError::Unsupported { what, cause, .. }) => {
            (false, format!("no {what}: {cause}; uploads are policed"))
        }
        Err(error) => (false, format!("{error}; uploads are policed")),
    };
    Line { name: "mode shape", ok, required: false, reason }
}

fn pacing() -> Line {
    let (ok, reason) = match pacing::try_start() {
        Ok(()) => (true, "senders can be told how fast they may go".to_owned()),
        Err(cause) => (false, cause),
    };
    Line { name: "sender pacing", ok, required: false, reason }
}

fn cgroup() -> Line {
    let (ok, reason) = match target::unified() {
        Ok(path) => (true, format!("version 2 is mounted at {}", path.display())),
        Err(cause) => {
            (false, format!("{cause}; until then containers on the host's network cannot be limited"))
        }
    };
    Line { name: "cgroup limits", ok, required: false, reason }
}

fn engines() -> Line {
    let there: Vec<&str> =
        ENGINES.iter().filter(|(_, socket)| Path::new(socket).exists()).map(|(name, _)| *name).collect();
    let ok = !there.is_empty();
    let reason = if ok {
        format!("{} can be asked for containers", there.join(", "))
    } else {
        let sockets: Vec<&str> = ENGINES.iter().map(|(_, socket)| *socket).collect();
        format!("none of {} is there; --container finds nothing", sockets.join(", "))
    };
    Line { name: "container engines", ok, required: false, reason }
}
