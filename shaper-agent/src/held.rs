//! A target that the agent holds: what is wanted of it, and what of that is in force.

use crate::{
    error::AgentError,
    interface::Interface,
    limit::Limit,
    past::Past,
    record::Place,
    site::Site,
    spec::{Settings, Target},
    target::CgroupPlace,
};

/// What is wanted of a target, and what of it is in force.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) settings: Settings,
    /// Empty while the target is not there.
    pub(crate) limits: Vec<Limit>,
    /// What its earlier limits leave to be paid.
    pub(crate) past: Past,
    /// The cgroup, if it is one that the agent has to keep filled.
    pub(crate) cgroup: Option<CgroupPlace>,
    /// Whether it is, or was at last, at a cgroup; none if it has not been there yet.
    pub(crate) at_cgroup: Option<bool>,
    /// Why it is not there, if that has been said.
    pub(crate) missing: Option<String>,
}

impl Held {
    /// Nothing is in force yet.
    pub(crate) fn new(settings: Settings) -> Self {
        let (limits, past) = (Vec::new(), Past::default());
        Self { settings, limits, past, cgroup: None, at_cgroup: None, missing: None }
    }

    /// Whether all that is in force is at a site.
    pub(crate) fn is_at(&self, site: &Site) -> bool {
        !self.limits.is_empty() && self.limits.iter().all(|limit| site.is(&limit.record.place))
    }

    /// Whether its next place may be a cgroup: that of a container on the host's network, or one that was named.
    pub(crate) fn may_come_to_a_cgroup(&self, target: &Target) -> bool {
        let kind = matches!(target, Target::Container(_) | Target::Cgroup(_));
        kind && self.at_cgroup.unwrap_or(self.missing.is_some())
    }

    /// Whether nothing has changed since it was said to be missing.
    pub(crate) fn is_missing_as(&self, site: &Result<Site, AgentError>) -> bool {
        self.limits.is_empty()
            && matches!(site, Err(error) if error.is_absence() && self.missing == Some(error.to_string()))
    }

    /// Whether what is in force is where it was put.
    pub(crate) fn is_in_place(&self, target: &Target) -> bool {
        let there = |limit: &Limit| match &limit.record.place {
            Place::Interface { index, .. } => Interface::numbered(*index).is_some_and(|now| match target {
                Target::Iface(name) => now.name == *name,
                _ => true,
            }),
            Place::Cgroup { path, .. } => path.is_dir(),
        };
        !self.limits.is_empty() && self.limits.iter().all(there)
    }
}
