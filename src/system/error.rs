//! The errors of this crate, in words for the administrator.

use std::{io, path::PathBuf};

/// This crate's result.
pub type Result<T> = std::result::Result<T, Error>;

/// An operation that failed, the object it was about, and the cause.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A program that is not installed.
    #[error("{program} is not installed (looked in {}): install the package {package}", crate::paths::PROGRAMS.join(", "))]
    NoProgram {
        /// `nft`, `iptables`.
        program: &'static str,
        /// The package of that name in most distributions.
        package: &'static str,
    },
    /// A program that could not be run.
    #[error("cannot run {program}: {why}")]
    Run {
        /// Its path.
        program: PathBuf,
        /// What the system said.
        why: io::Error,
    },
    /// A program that took too long, and was ended.
    #[error("{what} had no answer in time, and was ended")]
    TooSlow {
        /// The command.
        what: String,
    },
    /// A program that failed.
    #[error("{what} failed: {stderr}")]
    Failed {
        /// The command.
        what: String,
        /// All it had to say.
        stderr: String,
    },
    /// The kernel's own answer about rules.
    #[error("cannot read the rules of {what} from the kernel: {why}")]
    Rules {
        /// The chain.
        what: String,
        /// What the system said.
        why: io::Error,
    },
    /// The host's addresses and routes.
    #[error("cannot list the addresses and routes of this host: {0}")]
    Subnets(io::Error),
    /// firewalld lacks what lets peers through it.
    #[error(
        "firewalld keeps the peers out, as it does not know the policy virt-forward: it belongs \
         in /usr/lib/firewalld/policies/virt-forward.xml, and is known after firewall-cmd --reload"
    )]
    NoFirewalldPolicy,
    /// A kernel setting.
    #[error("cannot set {key} to {value}: {why}")]
    Sysctl {
        /// As sysctl(8) writes it.
        key: String,
        /// The value wanted.
        value: String,
        /// What the system said.
        why: io::Error,
    },
    /// A file of the state folder.
    #[error("cannot {doing} {}: {why}", .path.display())]
    State {
        /// `read`, `write`, `remove`.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        why: io::Error,
    },
    /// The lock of the state folder.
    #[error("another run of virt-forward holds {} and did not end in time", .0.display())]
    Locked(PathBuf),
}
