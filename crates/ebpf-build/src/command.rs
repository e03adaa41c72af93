//! Child processes with an environment of their own and a time limit.

use std::{
    ffi::OsStr,
    io::{BufRead, BufReader, Read},
    path::Path,
    process::{Command, ExitStatus, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

/// What a child keeps of the caller's environment. A build script runs with the outer cargo's variables
/// (`RUSTFLAGS`, `RUSTC_WORKSPACE_WRAPPER`, `CARGO_TARGET_DIR`, `MAKEFLAGS`, …); any of them would change or break
/// a build for another target, so only these pass.
const KEPT: &[&str] = &[
    "PATH",
    "HOME",
    "USER",
    "LANG",
    "LC_ALL",
    "TERM",
    "TMPDIR",
    "CARGO_HOME",
    "RUSTUP_HOME",
    "RUSTUP_DIST_SERVER",
    "RUSTUP_UPDATE_ROOT",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
];
/// As [`KEPT`], by the beginning of the name: how to reach the network and the registries.
const KEPT_PREFIXES: &[&str] = &["CARGO_HTTP_", "CARGO_NET_", "CARGO_REGISTRIES_", "CARGO_SOURCE_"];
/// As [`KEPT`], in either case.
const KEPT_PROXIES: &[&str] = &["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"];

fn is_kept(name: &str) -> bool {
    KEPT.contains(&name)
        || KEPT_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        || KEPT_PROXIES.contains(&name.to_ascii_uppercase().as_str())
}

/// A command that inherits only what [`KEPT`] and its companions name.
pub(crate) fn clean(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.env_clear();
    command.envs(std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(is_kept)));
    command.stdin(Stdio::null());
    command
}

/// Runs to the end and returns standard output; an error holds the last lines of standard error.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let name = describe(command);
    let output = command.output().with_context(|| format!("cannot run `{name}`"))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        bail!("`{name}` failed ({}): {}", output.status, last_lines(&stderr, 3));
    }
    String::from_utf8(output.stdout).with_context(|| format!("`{name}` printed something that is not UTF-8"))
}

/// Runs to the end or to the limit, handing every line of both outputs to `report` as it comes.
///
/// # Errors
///
/// The program cannot be started, fails (with its last lines), or runs past `limit` and is killed.
pub(crate) fn watched(command: &mut Command, limit: Duration, report: &mut dyn FnMut(&str)) -> Result<()> {
    let name = describe(command);
    let deadline = Instant::now() + limit;
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run `{name}`"))?;
    let (sender, lines) = mpsc::channel();
    forward(child.stdout.take(), sender.clone());
    forward(child.stderr.take(), sender);

    let mut tail = Vec::new();
    loop {
        match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => {
                report(&line);
                tail.push(line);
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
            Err(mpsc::RecvTimeoutError::Timeout) => {
                child.kill().with_context(|| format!("cannot stop `{name}`"))?;
                child.wait().with_context(|| format!("cannot wait for `{name}`"))?;
                bail!("`{name}` was not done after {} s and was stopped", limit.as_secs());
            }
        }
    }
    let status: ExitStatus = child.wait().with_context(|| format!("cannot wait for `{name}`"))?;
    if !status.success() {
        bail!("`{name}` failed ({status}):\n{}", last_lines(&tail.join("\n"), 30));
    }
    Ok(())
}

fn forward(stream: Option<impl Read + Send + 'static>, lines: mpsc::Sender<String>) {
    let Some(stream) = stream else { return };
    thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            if lines.send(line).is_err() {
                return;
            }
        }
    });
}

/// The command line, for messages.
pub(crate) fn describe(command: &Command) -> String {
    let program = Path::new(command.get_program()).display().to_string();
    let mut words = vec![program];
    words.extend(command.get_args().map(|argument| argument.to_string_lossy().into_owned()));
    words.join(" ")
}

fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.trim_end().lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outer_cargo_does_not_leak() {
        for name in [
            "RUSTFLAGS",
            "CARGO_ENCODED_RUSTFLAGS",
            "RUSTC",
            "RUSTC_WRAPPER",
            "RUSTC_WORKSPACE_WRAPPER",
            "CARGO_TARGET_DIR",
            "CARGO_BUILD_TARGET",
            "RUSTUP_TOOLCHAIN",
            "MAKEFLAGS",
            "CARGO_MAKEFLAGS",
            "LD_LIBRARY_PATH",
            "CLIPPY_ARGS",
            "TARGET",
            "CARGO",
        ] {
            assert!(!is_kept(name), "{name}");
        }
        for name in ["PATH", "HOME", "CARGO_HOME", "https_proxy", "CARGO_REGISTRIES_MIRROR_INDEX"] {
            assert!(is_kept(name), "{name}");
        }
    }

    #[test]
    fn a_command_past_its_limit_is_stopped() {
        let started = Instant::now();
        let error = watched(clean("sleep").arg("60"), Duration::from_millis(100), &mut |_| ()).unwrap_err();
        assert!(error.to_string().contains("was stopped"), "{error}");
        assert!(started.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn a_failure_shows_the_last_lines() {
        let mut seen = Vec::new();
        let mut command = clean("sh");
        command.args(["-c", "echo one; echo two >&2; exit 3"]);
        let error = watched(&mut command, Duration::from_secs(30), &mut |line| seen.push(line.to_owned()));
        let error = error.unwrap_err().to_string();
        seen.sort();
        assert_eq!(seen, ["one", "two"]);
        assert!(error.contains("exit status: 3") && error.contains("two"), "{error}");
    }

    #[test]
    fn a_missing_program_is_named() {
        let error = output(&mut clean("no-such-program-here")).unwrap_err();
        assert!(error.to_string().contains("no-such-program-here"), "{error}");
    }
}
