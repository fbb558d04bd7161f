//! The errors of this crate. Their text is for the administrator.

use std::io;

use virt_forward_policy::{config::ConfigError, netfilter::ChainName};
use virt_forward_system::Error as SystemError;

/// This crate's result.
pub type Result<T> = std::result::Result<T, Error>;

/// A failure that left something undone.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration is invalid.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The host refused an operation.
    #[error(transparent)]
    System(#[from] SystemError),
    /// A gate that was inserted is not where it belongs.
    #[error("the gate in {chain} keeps being displaced by another program")]
    GateDisplaced {
        /// The chain.
        chain: ChainName,
    },
    /// Several failures of independent operations.
    #[error("{}", join(.0))]
    Multiple(Vec<Error>),
}

impl Error {
    /// Whether an invalid configuration is the only cause.
    pub fn is_config_error(&self) -> bool {
        match self {
            Self::Config(_) => true,
            Self::Multiple(errors) => errors.iter().all(Self::is_config_error),
            Self::System(_) | Self::GateDisplaced { .. } => false,
        }
    }

    /// Whether both are the same failure of the same operation.
    pub fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Config(one), Self::Config(other)) => is_same_config_error(one, other),
            (Self::System(one), Self::System(other)) => is_same_system_error(one, other),
            (Self::GateDisplaced { chain }, Self::GateDisplaced { chain: other }) => chain == other,
            (Self::Multiple(errors), Self::Multiple(others)) => {
                errors.len() == others.len()
                    && errors
                        .iter()
                        .zip(others)
                        .all(|(one, other)| one.is_same(other))
            }
            _ => false,
        }
    }

    /// The outcome of independent operations: the first error alone, or all of them together.
    pub fn all(mut errors: Vec<Error>) -> Result<()> {
        match errors.len() {
            0 => Ok(()),
            1 => Err(errors.remove(0)),
            _ => Err(Error::Multiple(errors)),
        }
    }
}

fn is_same_config_error(one: &ConfigError, other: &ConfigError) -> bool {
    use ConfigError::{Unreadable, Wrong};
    match (one, other) {
        (Unreadable { path, why }, Unreadable { path: p, why: w }) => {
            path == p && is_same_io_error(why, w)
        }
        (
            Wrong {
                path, line, fault, ..
            },
            Wrong {
                path: p,
                line: l,
                fault: f,
                ..
            },
        ) => (path, line, fault) == (p, l, f),
        _ => false,
    }
}

fn is_same_system_error(one: &SystemError, other: &SystemError) -> bool {
    use SystemError::{
        Failed, LockTimeout, NoFirewalldPolicy, ProgramNotFound, Rules, Run, State, Subnets,
        Sysctl, TimedOut,
    };
    match (one, other) {
        (ProgramNotFound { program, .. }, ProgramNotFound { program: p, .. }) => program == p,
        (Run { program, why }, Run { program: p, why: w }) => {
            program == p && is_same_io_error(why, w)
        }
        (TimedOut { what }, TimedOut { what: w }) => what == w,
        (Failed { what, stderr }, Failed { what: w, stderr: s }) => (what, stderr) == (w, s),
        (Rules { what, why }, Rules { what: w, why: y }) => what == w && is_same_io_error(why, y),
        (Subnets(why), Subnets(w)) => is_same_io_error(why, w),
        (NoFirewalldPolicy, NoFirewalldPolicy) => true,
        (
            Sysctl { key, value, why },
            Sysctl {
                key: k,
                value: v,
                why: w,
            },
        ) => (key, value) == (k, v) && is_same_io_error(why, w),
        (
            State { doing, path, why },
            State {
                doing: d,
                path: p,
                why: w,
            },
        ) => (doing, path) == (d, p) && is_same_io_error(why, w),
        (LockTimeout(path), LockTimeout(p)) => path == p,
        _ => false,
    }
}

fn is_same_io_error(one: &io::Error, other: &io::Error) -> bool {
    (one.kind(), one.raw_os_error()) == (other.kind(), other.raw_os_error())
}

fn join(errors: &[Error]) -> String {
    let texts: Vec<_> = errors.iter().map(ToString::to_string).collect();
    texts.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(path: &str, kind: io::ErrorKind) -> Error {
        Error::System(SystemError::State {
            doing: "write",
            path: path.into(),
            why: kind.into(),
        })
    }

    #[test]
    fn a_failure_is_the_same_where_operation_and_cause_are() {
        let full = || state("a", io::ErrorKind::StorageFull);
        assert!(full().is_same(&full()));
        assert!(!full().is_same(&state("b", io::ErrorKind::StorageFull)));
        assert!(!full().is_same(&state("a", io::ErrorKind::PermissionDenied)));
        let several = || Error::Multiple(vec![full(), state("b", io::ErrorKind::NotFound)]);
        assert!(several().is_same(&several()));
        assert!(!several().is_same(&full()));
    }
}
