//! Everything that can go wrong, and the exit codes.

use std::{io, path::PathBuf, process::ExitCode};

use shaper_common::parameters::ParameterError;
use thiserror::Error;

use crate::{
    config::ConfigError,
    metrics::ListenError,
    spec::SpecError,
    target::{Reason, TargetError},
};

/// Why something could not be done. Every message names the object, the cause and, where there is one, the next step.
#[derive(Debug, Error)]
pub enum AgentError {
    /// No interface has this name.
    #[error("there is no interface `{0}` in this network namespace; `ip -brief link` lists them")]
    NoInterface(String),
    /// No limit of this target is in force.
    #[error("no limit of {0} is in force; `shaper-agent status` lists those that are")]
    NoLimit(String),
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
    /// The limit cannot be computed.
    #[error(transparent)]
    Parameters(#[from] ParameterError),
    /// The target's name cannot be one.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// The target leads nowhere.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The configuration file cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The agent that was asked does not say that all is well.
    #[error(transparent)]
    Unwell(#[from] health::Unwell),
    /// The command line asks for what cannot be.
    #[error("{0}")]
    Usage(String),
    /// The kernel did not take the program.
    #[error(
        "the kernel does not accept the limit's program: {0}\n(it needs Linux 5.12 with CONFIG_BPF_SYSCALL and \
         CONFIG_NET_CLS_BPF or CONFIG_NET_XGRESS; `shaper-agent check` says what this one has)"
    )]
    Load(String),
    /// The kernel lacks a feature that was asked for.
    #[error("this kernel does not offer {what}: {cause}; {next}")]
    Unsupported {
        /// The feature.
        what: String,
        /// What it said.
        cause: String,
        /// What to do.
        next: &'static str,
    },
    /// The BPF file system cannot be used.
    #[error(
        "cannot use the BPF file system at {}: {cause}; mount it (`mount -t bpf bpffs /sys/fs/bpf`) or name another \
         place with --bpffs", .directory.display()
    )]
    Bpffs {
        /// Where it should be.
        directory: PathBuf,
        /// Why not.
        cause: io::Error,
    },
    /// What is pinned was made by an agent with other maps.
    #[error(
        "limits made by another version of shaper-agent are in force here; `shaper-agent clear --all` removes them (until \
         then they hold)"
    )]
    OtherVersion,
    /// The program is loaded, but the hook refused it.
    #[error("cannot attach the limit to {place}: {cause}")]
    Attach {
        /// The hook's owner.
        place: String,
        /// Why.
        cause: String,
    },
    /// Another agent holds the limit.
    #[error(
        "{title} is limited already, by {holder}; end that one first, or change its limit with `shaper-agent set`"
    )]
    AlreadyLimited {
        /// The limit.
        title: String,
        /// Whose it is.
        holder: String,
    },
    /// Two wanted limits come to one place.
    #[error("{title} and {other} are the same place; leave one of them out")]
    SamePlace {
        /// The one.
        title: String,
        /// The other.
        other: String,
    },
    /// All slots are taken.
    #[error(
        "all {0} places for limits are taken; `shaper-agent status` lists them, `shaper-agent clear` frees them"
    )]
    Full(u32),
    /// A name does not fit in the agent's notes.
    #[error("the name {0} is too long to be noted")]
    TooLong(String),
    /// The program is not on its hook although attaching succeeded.
    #[error("the limit of {0} was attached but the kernel does not list it there")]
    NotInForce(String),
    /// The agent's own maps cannot be read or written.
    #[error("cannot reach the limits' map {name}: {cause}")]
    Map {
        /// The map.
        name: &'static str,
        /// Why.
        cause: String,
    },
    /// The target went away.
    #[error("{0} is gone, and the limit with it")]
    Gone(String),
    /// The target went away before its limit was in force.
    #[error("{0} went away while its limit was being put in force; nothing is left of it")]
    Vanished(String),
    /// Something else took the limit out of force.
    #[error("the limit of {0} was removed by something else; its traffic is not limited now")]
    Removed(String),
    /// Detaching failed.
    #[error("cannot remove the limit from {place}: {cause}")]
    Detach {
        /// Where it is.
        place: String,
        /// Why.
        cause: String,
    },
    /// `status` has found limits that are not in force as they should be.
    #[error("{0} of the limits are not in force as they should be")]
    Unhealthy(usize),
    /// Metrics cannot be served.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The runtime, a signal handler or a part of `/proc` could not be used.
    #[error("cannot {0}: {1}")]
    System(&'static str, io::Error),
}

impl AgentError {
    /// Whether the target is just not there: it may come (back).
    #[must_use]
    pub fn is_absence(&self) -> bool {
        match self {
            Self::NoInterface(_) | Self::Gone(_) | Self::Vanished(_) => true,
            Self::Target(error) => matches!(error.reason(), Reason::NotFound | Reason::NotRunning),
            _ => false,
        }
    }

    /// The process's exit code; `--help` lists them.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.code())
    }

    /// The same as a number.
    #[must_use]
    pub fn code(&self) -> u8 {
        match self {
            Self::Usage(_)
            | Self::Config(_)
            | Self::Spec(_)
            | Self::Parameters(_)
            | Self::SamePlace { .. } => 2,
            Self::NoInterface(_) | Self::NoLimit(_) | Self::Vanished(_) => 3,
            Self::Privileges(_) => 4,
            Self::Load(_) | Self::Unsupported { .. } => 5,
            Self::Bpffs { .. } | Self::OtherVersion => 6,
            Self::AlreadyLimited { .. } | Self::Full(_) | Self::Listen(_) => 7,
            Self::Target(error) => match error.reason() {
                Reason::NotFound | Reason::NotRunning => 3,
                Reason::NotPermitted => 4,
                Reason::Ambiguous | Reason::WrongKind => 2,
                Reason::Failed => 1,
            },
            Self::Unhealthy(_) => 8,
            Self::Gone(_) => 64,
            Self::Removed(_) => 65,
            _ => 1,
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
