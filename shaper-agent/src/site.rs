//! Where a target's traffic can be limited, as it is now.

use std::{fs::File, io};

use crate::{error::AgentError, interface::Interface, record, spec::Hook, target::CgroupPlace};

/// A place that is there.
#[derive(Debug)]
pub(crate) enum Site {
    /// An interface of this network namespace.
    Interface(Interface),
    /// A cgroup, its directory open.
    Cgroup(CgroupPlace, File),
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

    /// A cgroup.
    ///
    /// # Errors
    ///
    /// It cannot be opened.
    pub(crate) fn cgroup(cgroup: CgroupPlace) -> Result<Self, AgentError> {
        let place = format!("the cgroup {}", cgroup.path().display());
        match File::open(cgroup.path()) {
            Ok(directory) => Ok(Self::Cgroup(cgroup, directory)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(AgentError::Vanished(place)),
            Err(error) => Err(AgentError::Attach { place, cause: error.to_string() }),
        }
    }

    /// A place that was noted, as it is now.
    ///
    /// # Errors
    ///
    /// It is gone.
    pub(crate) fn noted(record: &record::Record) -> Result<Self, AgentError> {
        let gone = || AgentError::Gone(record.title());
        match &record.place {
            record::Place::Interface { index, .. } => {
                let interface = Interface::numbered(*index).ok_or_else(gone)?;
                Self::interface_named(&interface.name)
            }
            record::Place::Cgroup { path, .. } => Self::cgroup(CgroupPlace::at(path).ok_or_else(gone)?),
        }
    }

    /// The interface, if it is one.
    pub(crate) fn interface(&self) -> Option<&Interface> {
        match self {
            Self::Interface(interface) => Some(interface),
            Self::Cgroup(..) => None,
        }
    }

    /// Whether it is still there.
    pub(crate) fn is_there(&self) -> bool {
        match self {
            Self::Interface(interface) => Interface::numbered(interface.index).is_some(),
            Self::Cgroup(cgroup, _) => cgroup.path().is_dir(),
        }
    }

    /// In words.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Interface(interface) => format!("interface `{}`", interface.name),
            Self::Cgroup(cgroup, _) => format!("the cgroup {}", cgroup.path().display()),
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
            Self::Cgroup(cgroup, _) => {
                record::Place::Cgroup { path: cgroup.path().to_owned(), own: cgroup.is_own() }
            }
        }
    }

    /// Whether a record is of this very place.
    pub(crate) fn is(&self, place: &record::Place) -> bool {
        match (self, place) {
            (Self::Interface(interface), record::Place::Interface { index, .. }) => interface.index == *index,
            (Self::Cgroup(cgroup, _), record::Place::Cgroup { path, .. }) => cgroup.path() == path,
            _ => false,
        }
    }
}
