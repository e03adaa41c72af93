//! How a guest's command ended.

/// How a guest's command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// By itself, with this exit code (128 + N if signal N killed it).
    Exited(u8),
    /// It took too long and was killed with its guest.
    TimedOut,
    /// The guest did not boot, or died while the command ran.
    Died {
        /// Whether the command had been started.
        started: bool,
        /// The end of what the guest's console showed.
        console: String,
    },
}

/// What a guest's command printed, and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Captured {
    /// How it ended.
    pub end: End,
    /// Its standard output.
    pub stdout: Vec<u8>,
    /// Its standard error.
    pub stderr: Vec<u8>,
}

impl End {
    /// The exit code that stands for it: the command's own, 124 for a time-out, 125 for a guest that died.
    pub fn code(&self) -> u8 {
        match self {
            Self::Exited(code) => *code,
            Self::TimedOut => 124,
            Self::Died { .. } => 125,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_have_exit_codes() {
        let died = End::Died { started: false, console: String::new() };
        assert_eq!([End::Exited(3).code(), End::TimedOut.code(), died.code()], [3, 124, 125]);
    }
}
