//! Exit statuses. Scripts rely on them.

use std::process::ExitCode;

use virt_forward_reconcile::Error;

/// The exit status of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Success.
    Success = 0,
    /// Failure.
    Failed = 1,
    /// Usage or config error; clap uses the same status.
    Usage = 2,
    /// Drift, blocked, or problems found.
    Drift = 3,
}

impl Exit {
    /// The exit status for an error.
    pub(crate) fn of(error: &anyhow::Error) -> Self {
        match error.downcast_ref::<Error>() {
            Some(error) if error.is_config_error() => Self::Usage,
            _ => Self::Failed,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}
