//! A network namespace to try rules in.

use super::{deadline::Deadline, namespace::Namespace, nft};
use crate::{Result, names::TableName, table::Batch};

/// What `table` looks like once `batch` is applied where nothing else is: nft's own text, and
/// the proof that the kernel takes it.
pub fn listed(batch: &Batch, table: TableName<'_>, deadline: Deadline) -> Result<Option<String>> {
    Namespace::new()?.run(|| {
        nft::apply(batch, deadline)?;
        nft::list(table, deadline)
    })?
}
