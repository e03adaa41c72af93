//! The kernels that a guest can have.

use std::fmt;

use clap::ValueEnum;

/// One kernel, by how it runs and which series it is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, ValueEnum)]
pub enum Kernel {
    /// User-mode Linux 6.12: programs run at full speed, one processor, no BTF, JIT, kprobes or tracepoints
    #[value(name = "uml612")]
    Uml612,
    /// Debian's 6.1 in an emulated machine
    #[value(name = "tcg61")]
    Tcg61,
    /// Debian's 6.12 in an emulated machine
    #[value(name = "tcg612")]
    Tcg612,
    /// The newest kernel that Debian offers for its stable release, in an emulated machine
    #[value(name = "tcg-latest", alias = "tcg73")]
    TcgLatest,
}

/// How a kernel runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Machine {
    /// As an ordinary process of the host: user-mode Linux.
    UserMode,
    /// On a PC that QEMU emulates instruction by instruction (TCG), which needs no help from the processor.
    Emulated,
}

impl Kernel {
    /// Every kernel.
    pub const ALL: [Self; 4] = [Self::Uml612, Self::Tcg61, Self::Tcg612, Self::TcgLatest];

    /// Its name on the command line, which is also its folder's.
    pub fn name(self) -> &'static str {
        match self {
            Self::Uml612 => "uml612",
            Self::Tcg61 => "tcg61",
            Self::Tcg612 => "tcg612",
            Self::TcgLatest => "tcg-latest",
        }
    }

    /// How it runs.
    pub fn machine(self) -> Machine {
        match self {
            Self::Uml612 => Machine::UserMode,
            Self::Tcg61 | Self::Tcg612 | Self::TcgLatest => Machine::Emulated,
        }
    }

    /// The Debian package that brings it, and how the version begins; the newest such version is taken.
    pub(super) fn package(self) -> (&'static str, &'static str) {
        match self {
            Self::Uml612 => ("user-mode-linux", "6.12"),
            Self::Tcg61 => ("linux-image-amd64", "6.1."),
            Self::Tcg612 => ("linux-image-amd64", "6.12."),
            Self::TcgLatest => ("linux-image-amd64", ""),
        }
    }
}

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_command_line() {
        for kernel in Kernel::ALL {
            assert_eq!(Kernel::from_str(kernel.name(), false), Ok(kernel));
        }
        assert_eq!(Kernel::value_variants(), Kernel::ALL);
        assert_eq!(Kernel::from_str("tcg73", false), Ok(Kernel::TcgLatest));
    }
}
