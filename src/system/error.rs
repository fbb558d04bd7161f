//! The errors of this crate. `Display` is for the administrator.

use std::{io, path::PathBuf};

/// This crate's result.
pub type Result<T> = std::result::Result<T, Error>;

/// An operation that failed, the object it was about, and the cause.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A program that is not installed.
    #[error("{program} is not installed (looked in {}): install the package {package}", crate::paths::PROGRAMS.join(", "))]
    ProgramNotFound {
        /// `nft`, `iptables`.
        program: &'static str,
        /// The package of that name in most distributions.
        package: &'static str,
    },
    /// A program that cannot be started.
    #[error("cannot run {program}: {why}")]
    Run {
        /// Its path.
        program: PathBuf,
        /// The system's error.
        why: io::Error,
    },
    /// A program that was killed at the deadline.
    #[error("{what} timed out and was killed")]
    TimedOut {
        /// The command.
        what: String,
    },
    /// A program that ended with a non-zero exit status.
    #[error("{what} failed: {stderr}")]
    Failed {
        /// The command.
        what: String,
        /// Its stderr.
        stderr: String,
    },
    /// Kernel objects that cannot be read.
    #[error("cannot read the rules of {what} from the kernel: {why}")]
    Rules {
        /// The chain, or the kind of objects.
        what: String,
        /// The system's error.
        why: io::Error,
    },
    /// The host's addresses and routes cannot be read.
    #[error("cannot read the addresses and routes of this host: {0}")]
    Subnets(io::Error),
    /// firewalld does not know the policy object that accepts peers.
    #[error(
        "firewalld keeps the peers out, as it does not know the policy virt-forward: it belongs \
         in /usr/lib/firewalld/policies/virt-forward.xml, and is known after firewall-cmd --reload"
    )]
    NoFirewalldPolicy,
    /// A sysctl that cannot be written.
    #[error("cannot set {key} to {value}: {why}")]
    Sysctl {
        /// In the syntax of sysctl(8).
        key: String,
        /// The desired value.
        value: String,
        /// The system's error.
        why: io::Error,
    },
    /// A file that cannot be accessed.
    #[error("cannot {doing} {}: {why}", .path.display())]
    State {
        /// `read`, `write`, `remove`.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's error.
        why: io::Error,
    },
    /// Another run held the lock of the state directory until the deadline.
    #[error("cannot lock {}: another run of virt-forward holds it", .0.display())]
    LockTimeout(PathBuf),
}
