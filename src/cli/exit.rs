//! Exit statuses. Scripts rely on them.

use std::process::ExitCode;

use virt_forward_reconcile::Error;

/// The exit status of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Success.
    Done = 0,
    /// Failure.
    Failed = 1,
    /// Usage or config error; clap uses the same status.
    Wrong = 2,
    /// Drift, blocked, or problems found.
    Differs = 3,
}

impl Exit {
    /// The exit status for an error.
    pub(crate) fn of(error: &anyhow::Error) -> Self {
        match error.downcast_ref::<Error>() {
            Some(error) if error.is_config_error() => Self::Wrong,
            _ => Self::Failed,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}
