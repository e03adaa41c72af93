//! The place of a target as it is now.

use crate::{
    error::AgentError,
    site::Site,
    spec::Target,
    target::{Engines, Place, Resolver},
};

/// Finds sites. Keep it: it remembers what it has read of containers.
#[derive(Debug, Default)]
pub(crate) struct Sites {
    resolver: Resolver,
}

impl Sites {
    /// With container engines at these places.
    pub(crate) fn new(engines: &Engines) -> Self {
        Self { resolver: Resolver::new(engines.clone()) }
    }

    /// Where a target's traffic passes now.
    ///
    /// # Errors
    ///
    /// It is not there (see [`AgentError::is_absence`]), or cannot be limited.
    pub(crate) async fn find(&self, target: &Target) -> Result<Site, AgentError> {
        match self.resolver.resolve(target).await? {
            Place::Interface(name) => Site::interface_named(&name),
            Place::Cgroup(cgroup) => Site::cgroup(cgroup),
        }
    }
}
