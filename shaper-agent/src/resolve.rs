//! From a target's name to the place where its traffic can be limited now.

use crate::{error::AgentError, site::Site, spec::Target};

/// Where a target's traffic passes now.
///
/// # Errors
///
/// It is not there (see [`AgentError::is_absence`]), or cannot be limited.
pub(crate) async fn site(target: &Target) -> Result<Site, AgentError> {
    match target {
        Target::Iface(name) => Site::interface_named(name),
        Target::Cgroup(path) => Site::cgroup(path.clone(), false),
        Target::Pid(_) | Target::Netns(_) | Target::Container(_) => {
            Err(AgentError::Usage(format!("{target}: not wired")))
        }
    }
}
