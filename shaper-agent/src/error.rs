//! Everything that can go wrong, and the exit codes.

use std::{io, process::ExitCode};

use shaper_common::bucket::BucketError;
use thiserror::Error;

/// Why the limit is not in force. Every message names the object, the cause and, where there is one, the next step.
#[derive(Debug, Error)]
pub enum AgentError {
    /// No interface has this name.
    #[error("there is no interface `{0}` in this network namespace; `ip -brief link` lists them")]
    NoInterface(String),
    /// Asking the kernel about an interface failed.
    #[error("cannot {action}: {source}")]
    Netlink {
        /// What was asked for.
        action: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The process lacks capabilities.
    #[error("not permitted: missing {}; run shaper-agent as root or give it these capabilities", .0.join(" and "))]
    Privileges(Vec<&'static str>),
    /// The bucket cannot be computed.
    #[error(transparent)]
    Bucket(#[from] BucketError),
    /// The kernel did not take the program.
    #[error(
        "the kernel does not accept the upload limit's program: {0}\n(it needs Linux 5.12 with CONFIG_BPF_SYSCALL and \
         CONFIG_NET_CLS_BPF or CONFIG_NET_XGRESS; `uname -r` says what this is)"
    )]
    Load(String),
    /// The program is loaded, but the hook refused it.
    #[error("cannot attach the upload limit to `{iface}`: {cause}")]
    Attach {
        /// The interface.
        iface: String,
        /// Why.
        cause: String,
    },
    /// Another agent limits the interface already.
    #[error("`{iface}` is limited already, by {holder}; end that one first")]
    AlreadyLimited {
        /// The interface.
        iface: String,
        /// Process and program, as far as known.
        holder: String,
    },
    /// The program is not on its hook although attaching succeeded.
    #[error("the upload limit was attached to `{0}` but the kernel does not list it there")]
    NotInForce(String),
    /// The agent's own maps cannot be read or written.
    #[error("cannot reach the upload limit's map {name}: {cause}")]
    Map {
        /// The map.
        name: &'static str,
        /// Why.
        cause: String,
    },
    /// The interface vanished.
    #[error("interface `{0}` is gone, and the limit with it")]
    InterfaceGone(String),
    /// Something else detached the program.
    #[error("the limit on `{0}` was removed by something else; its container can send at full speed now")]
    Removed(String),
    /// Detaching failed.
    #[error("cannot remove the limit from `{iface}`: {cause}")]
    Detach {
        /// The interface.
        iface: String,
        /// Why.
        cause: String,
    },
    /// The runtime or a signal handler could not be set up.
    #[error("cannot {0}: {1}")]
    System(&'static str, io::Error),
}

impl AgentError {
    /// The process's exit code; `--help` lists them.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::InterfaceGone(_) => ExitCode::from(64),
            Self::Removed(_) => ExitCode::from(65),
            _ => ExitCode::FAILURE,
        }
    }
}

/// An error with all its causes on one line; libraries leave the causes out of their own message.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}
