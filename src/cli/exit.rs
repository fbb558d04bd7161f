//! Exit codes, which scripts rely on.

use std::process::ExitCode;

use virt_forward_reconcile::Error;

/// What the process ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done, or as wanted.
    Done = 0,
    /// It could not be done.
    Failed = 1,
    /// The command line or the config is wrong; clap ends with the same.
    Wrong = 2,
    /// Done, and what was asked about is not as wanted.
    Differs = 3,
}

impl Exit {
    /// The code for an error that ends the run.
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
