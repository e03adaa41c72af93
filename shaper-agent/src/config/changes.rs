//! What a reload has to do.

use std::collections::HashMap;

use crate::spec::{Settings, Spec, Target};

/// The difference between two configurations. The new one's order is kept.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Changes<'a> {
    /// Limits of targets that had none.
    pub added: Vec<&'a Spec>,
    /// Targets that have none any more.
    pub removed: Vec<&'a Target>,
    /// Limits, as they are to be, whose target had another one.
    pub changed: Vec<&'a Spec>,
}

impl<'a> Changes<'a> {
    pub(super) fn between(old: &'a [Spec], new: &'a [Spec]) -> Self {
        let mut left: HashMap<&Target, &Settings> =
            old.iter().map(|spec| (&spec.target, &spec.settings)).collect();
        let mut changes = Self::default();
        for spec in new {
            match left.remove(&spec.target) {
                None => changes.added.push(spec),
                Some(settings) if *settings != spec.settings => changes.changed.push(spec),
                Some(_) => {}
            }
        }
        changes.removed =
            old.iter().map(|spec| &spec.target).filter(|target| left.contains_key(target)).collect();
        changes
    }

    /// Whether both are the same.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty()
    }
}
