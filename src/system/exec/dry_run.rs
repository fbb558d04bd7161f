//! Applies rules in a temporary network namespace.

use crate::Result;
use crate::{deadline::Deadline, exec::nft, netns::Namespace};
use virt_forward_policy::netfilter::TableName;
use virt_forward_ruleset::table::Batch;

/// nft's listing of `table` after `batch` was applied in an empty network namespace, which also
/// proves that the kernel accepts it.
pub fn list_table(
    batch: &Batch,
    table: TableName<'_>,
    deadline: Deadline,
) -> Result<Option<String>> {
    Namespace::new()?.run(|| {
        nft::apply(batch, deadline)?;
        nft::list(table, deadline)
    })?
}
