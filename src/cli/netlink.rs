//! Runs an rtnetlink request to completion.

use anyhow::Result;
use rtnetlink::Handle;

/// The result of `question`, in the network namespace of the calling thread.
pub(crate) fn with_rtnetlink<T>(question: impl AsyncFnOnce(Handle) -> Result<T>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let (connection, handle, _) = rtnetlink::new_connection()?;
        tokio::spawn(connection);
        question(handle).await
    })
}
