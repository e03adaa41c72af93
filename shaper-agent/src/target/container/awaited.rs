//! Containers that are known by name and do not run yet.
//!
//! An engine that starts a container is slow to answer, and there is no time to ask it again: the container's program may
//! run, and send, some 50 ms after its network is there.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use super::{super::cgroup::Scope, Running, early};
use crate::target::Engines;

/// By the name that was asked for: the id of the container, and what of its pod is meant.
#[derive(Debug, Default)]
pub(in super::super) struct Awaited(Mutex<HashMap<String, (String, Scope)>>);

impl Awaited {
    /// The container `name` was found, and does not run.
    pub(in super::super) fn put(&self, name: &str, id: String, scope: Scope) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), (id, scope));
    }

    /// The container `name`, if it has been started since it was found not to run. It is forgotten here whether it has or
    /// not: names change, so that the engines are to be asked next.
    pub(in super::super) fn take_started(&self, name: &str, engines: &Engines) -> Option<Running> {
        let (id, scope) = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(name)?;
        let pid = early(&id, engines)?;
        Some(Running { id, pid, scope, starting: true })
    }
}
