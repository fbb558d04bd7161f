//! A network namespace for one thread, to try rules in.

use rustix::thread::UnshareFlags;

use super::{deadline::Deadline, nft};
use crate::{Error, Result, names::TableName, table::Batch};

/// What `table` looks like once `batch` is applied where nothing else is: nft's own text, and
/// the proof that the kernel takes it. The namespace ends with the thread.
pub fn listed(batch: &Batch, table: TableName<'_>, deadline: Deadline) -> Result<Option<String>> {
    let in_namespace = || {
        // Only the calling thread moves, and the children it starts.
        unshare().map_err(|why| Error::Failed {
            what: "making a network namespace".to_owned(),
            stderr: why.to_string(),
        })?;
        nft::apply(batch, deadline)?;
        nft::list(table, deadline)
    };
    std::thread::scope(|scope| {
        let thread = scope.spawn(in_namespace);
        thread.join().unwrap_or_else(|_| {
            Err(Error::Failed {
                what: "trying the rules".to_owned(),
                stderr: "the thread ended".to_owned(),
            })
        })
    })
}

#[allow(unsafe_code)]
fn unshare() -> rustix::io::Result<()> {
    // SAFETY: CLONE_NEWNET concerns no memory and no file descriptor of this process.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET) }
}
