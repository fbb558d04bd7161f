//! The hook's program, tried.

use std::path::Path;

use super::{deadline::Deadline, program};
use crate::{Error, Result};

/// Runs it as libvirtd does, for an event that changes nothing. One that does not run (a power
/// cut left half of it, its file system is mounted `noexec`) stops every start of a network.
pub fn attempt(path: &Path, deadline: Deadline) -> Result<()> {
    let event = ["virt-forward-doctor", "port-created", "begin", "-"];
    let output = program::run(path, &event, "", deadline)?;
    match output.status.success() {
        true => Ok(()),
        false => Err(Error::Failed {
            what: path.display().to_string(),
            stderr: format!("{} {}", output.status, output.stderr.trim()),
        }),
    }
}
