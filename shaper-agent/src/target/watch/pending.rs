//! What has changed and has not been told yet.

use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

use crate::spec::Target;

/// More changes than this at once are one: that of everything.
const MANY: usize = 64;

/// Which containers may have changed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Changes {
    everything: bool,
    containers: Vec<Changed>,
}

/// A container that has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Changed {
    pub(super) id: String,
    /// All that it may be called.
    pub(super) names: Vec<String>,
}

impl Changes {
    /// Whether the target has to be resolved again. Only containers change by themselves here: what becomes of
    /// interfaces, processes and namespaces the kernel tells.
    #[must_use]
    pub fn concerns(&self, target: &Target) -> bool {
        let Target::Container(name) = target else { return false };
        let beginning = name.rsplit('/').next().unwrap_or(name);
        let is_meant = |one: &Changed| one.id.starts_with(beginning) || one.names.contains(name);
        self.everything || self.containers.iter().any(is_meant)
    }

    fn is_empty(&self) -> bool {
        !self.everything && self.containers.is_empty()
    }
}

/// Collects changes until they are taken.
#[derive(Debug, Default)]
pub(super) struct Pending {
    changes: Mutex<Changes>,
    more: Notify,
}

impl Pending {
    /// Anything may have changed.
    pub(super) fn everything(&self) {
        self.add(|changes| *changes = Changes { everything: true, containers: Vec::new() });
    }

    /// A container has changed.
    pub(super) fn container(&self, changed: Changed) {
        self.add(|changes| {
            if changes.everything || changes.containers.contains(&changed) {
                return;
            }
            changes.containers.push(changed);
            if changes.containers.len() > MANY {
                *changes = Changes { everything: true, containers: Vec::new() };
            }
        });
    }

    fn add(&self, add: impl FnOnce(&mut Changes)) {
        add(&mut self.changes.lock().unwrap_or_else(PoisonError::into_inner));
        self.more.notify_one();
    }

    /// Waits for changes and takes them.
    pub(super) async fn take(&self) -> Changes {
        loop {
            let changes = std::mem::take(&mut *self.changes.lock().unwrap_or_else(PoisonError::into_inner));
            if !changes.is_empty() {
                return changes;
            }
            self.more.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn web() -> Changed {
        Changed { id: "1f2e3d".to_owned(), names: vec!["web".to_owned(), "plant/edge-7/web".to_owned()] }
    }

    fn container(name: &str) -> Target {
        Target::Container(name.to_owned())
    }

    #[tokio::test]
    async fn changes_concern_those_who_may_be_meant() {
        let pending = Pending::default();
        pending.container(web());
        pending.container(web());
        let changes = pending.take().await;
        assert_eq!(changes.containers.len(), 1);
        for name in ["web", "1f2e", "1f2e3d", "plant/edge-7/web", "default/1f"] {
            assert!(changes.concerns(&container(name)), "{name}");
        }
        for name in ["we", "db", "1f2e3d4c", "plant/edge-7"] {
            assert!(!changes.concerns(&container(name)), "{name}");
        }
        assert!(!changes.concerns(&Target::Pid(1)));
        pending.everything();
        pending.container(web());
        assert!(pending.take().await.concerns(&container("db")));
    }

    #[tokio::test]
    async fn many_changes_are_one() {
        let pending = Pending::default();
        for id in 0..=MANY {
            pending.container(Changed { id: format!("x{id}"), names: Vec::new() });
        }
        assert!(pending.take().await.everything);
    }
}
