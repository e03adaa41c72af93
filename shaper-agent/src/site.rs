//! Where a target's traffic can be limited, as it is now.

use std::{fs::File, path::PathBuf};

use crate::{error::AgentError, interface::Interface, record, spec::Hook};

/// A place that is there.
#[derive(Debug)]
pub(crate) enum Site {
    /// An interface of this network namespace.
    Interface(Interface),
    /// A cgroup.
    Cgroup {
        path: PathBuf,
        directory: File,
        /// The agent has made it.
        own: bool,
    },
}

impl Site {
    /// An interface by its name.
    ///
    /// # Errors
    ///
    /// There is none.
    pub(crate) fn interface_named(name: &str) -> Result<Self, AgentError> {
        Interface::find(name).map(Self::Interface)
    }

    /// A cgroup by its directory.
    ///
    /// # Errors
    ///
    /// It cannot be opened.
    pub(crate) fn cgroup(path: PathBuf, own: bool) -> Result<Self, AgentError> {
        let directory = File::open(&path).map_err(|error| AgentError::Attach {
            place: format!("the cgroup {}", path.display()),
            cause: error.to_string(),
        })?;
        Ok(Self::Cgroup { path, directory, own })
    }

    /// The interface, if it is one.
    pub(crate) fn interface(&self) -> Option<&Interface> {
        match self {
            Self::Interface(interface) => Some(interface),
            Self::Cgroup { .. } => None,
        }
    }

    /// In words.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Interface(interface) => format!("interface `{}`", interface.name),
            Self::Cgroup { path, .. } => format!("the cgroup {}", path.display()),
        }
    }

    /// As it is noted. Which hook of an interface it will be is known once a program is on it.
    pub(crate) fn place(&self, hook: Hook) -> record::Place {
        match self {
            Self::Interface(interface) => record::Place::Interface {
                name: interface.name.clone(),
                index: interface.index,
                hook,
                own_qdisc: false,
            },
            Self::Cgroup { path, own, .. } => record::Place::Cgroup { path: path.clone(), own: *own },
        }
    }

    /// Whether a record is of this very place.
    pub(crate) fn is(&self, place: &record::Place) -> bool {
        match (self, place) {
            (Self::Interface(interface), record::Place::Interface { index, .. }) => interface.index == *index,
            (Self::Cgroup { path, .. }, record::Place::Cgroup { path: noted, .. }) => path == noted,
            _ => false,
        }
    }
}
