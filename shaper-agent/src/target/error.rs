//! Why nobody's traffic can be limited by a target's name.

use std::{fmt, io};

/// What kind of trouble a [`TargetError`] is: what a caller acts on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// There is no such process, namespace, container or cgroup (now).
    NotFound,
    /// The container is there, but does not run. It can be waited for with a [`Watcher`](super::Watcher).
    NotRunning,
    /// This process lacks a privilege.
    NotPermitted,
    /// The name fits several.
    Ambiguous,
    /// What is there cannot be limited this way.
    WrongKind,
    /// The kernel or an engine did not answer as it should.
    Failed,
}

/// A target that leads nowhere. Its message names the object, the cause and the next step.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{object}: {cause}{}", Next(next))]
pub struct TargetError {
    reason: Reason,
    object: String,
    cause: String,
    next: String,
}

struct Next<'a>(&'a str);

impl fmt::Display for Next<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, "; {}", self.0) }
    }
}

impl TargetError {
    /// What kind of trouble this is.
    #[must_use]
    pub fn reason(&self) -> Reason {
        self.reason
    }

    /// An error about `object`; what to do about it is added by [`TargetError::next`].
    pub(super) fn new(reason: Reason, object: impl Into<String>, cause: impl Into<String>) -> Self {
        Self { reason, object: object.into(), cause: cause.into(), next: String::new() }
    }

    /// What the user can do.
    pub(super) fn next(mut self, step: impl Into<String>) -> Self {
        self.next = step.into();
        self
    }

    /// An error of the system; `doing` is what failed, as in "cannot {doing}". `privilege` is what permits it.
    pub(super) fn system(object: impl Into<String>, doing: &str, error: &io::Error, privilege: &str) -> Self {
        let cause = format!("cannot {doing}: {error}");
        match error.kind() {
            io::ErrorKind::NotFound => Self::new(Reason::NotFound, object, cause),
            io::ErrorKind::PermissionDenied => Self::new(Reason::NotPermitted, object, cause)
                .next(format!("run shaper-agent as root or give it {privilege}")),
            _ => Self::new(Reason::Failed, object, cause),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_name_object_cause_and_next_step() {
        let error = TargetError::new(Reason::NotFound, "process 17", "there is none");
        assert_eq!(error.to_string(), "process 17: there is none");
        assert_eq!(error.next("see `ps`").to_string(), "process 17: there is none; see `ps`");
        let denied = io::Error::from(io::ErrorKind::PermissionDenied);
        let error = TargetError::system("process 17", "enter its namespace", &denied, "CAP_SYS_ADMIN");
        assert_eq!(error.reason(), Reason::NotPermitted);
        assert!(error.to_string().ends_with("give it CAP_SYS_ADMIN"), "{error}");
    }
}
