//! Where Debian's packages come from: the mirrors that the host's own apt uses, or one that the user names.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::tool;

/// The environment variable that names a Debian mirror, for hosts whose own apt has none.
const MIRROR: &str = "SLUICE_DEBIAN_MIRROR";
/// With what packages are verified.
pub(super) const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Where Debian's packages are.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mirrors {
    /// Of the releases themselves.
    pub(super) main: String,
    /// Of their security updates.
    pub(super) security: String,
}

impl Mirrors {
    /// The mirror that the environment names, or those of the host's own apt.
    ///
    /// # Errors
    ///
    /// If neither knows one, or packages could not be verified.
    pub(super) fn find() -> Result<Self> {
        if !Path::new(KEYRING).exists() {
            bail!(
                "{KEYRING} is not there, with which Debian's packages are verified: install debian-archive-keyring"
            );
        }
        if let Some(mirror) = std::env::var(MIRROR).ok().filter(|mirror| !mirror.is_empty()) {
            return Ok(Self::beside(mirror.trim_end_matches('/')));
        }
        let mut command = Command::new("apt-get");
        command.args(["indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"]);
        Self::among(&tool::read(command)?).with_context(|| {
            format!("this system's apt knows no mirror of Debian: set {MIRROR} to the address of one, up to `/debian`")
        })
    }

    /// Debian's mirror in the host's list of repositories.
    fn among(repositories: &str) -> Option<Self> {
        let ending = |end: &str| {
            repositories.lines().map(|line| line.trim_end_matches('/')).find(|line| line.ends_with(end))
        };
        let mut mirrors = Self::beside(ending("/debian")?);
        if let Some(security) = ending("/debian-security") {
            mirrors.security = security.into();
        }
        Some(mirrors)
    }

    /// Mirrors keep the security updates beside the rest.
    pub(super) fn beside(main: &str) -> Self {
        Self { main: main.into(), security: format!("{main}-security") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirrors_of_the_host() {
        let host = "http://other/node\nhttp://mirror/debian/\nhttp://mirror/debian/\nhttp://secure/debian-security\n";
        let expected =
            Mirrors { main: "http://mirror/debian".into(), security: "http://secure/debian-security".into() };
        assert_eq!(Mirrors::among(host), Some(expected));
        assert_eq!(Mirrors::among("http://mirror/debian/\n"), Some(Mirrors::beside("http://mirror/debian")));
        assert_eq!(Mirrors::among("http://mirror/ubuntu/\n"), None);
    }
}
