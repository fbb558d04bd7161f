//! A network namespace to try rules in.

use crate::Result;
use crate::{deadline::Deadline, exec::nft, netns::Namespace};
use virt_forward_policy::netfilter::TableName;
use virt_forward_ruleset::table::Batch;

/// What `table` looks like once `batch` is applied where nothing else is: nft's own text, and
/// the proof that the kernel takes it.
pub fn listed(batch: &Batch, table: TableName<'_>, deadline: Deadline) -> Result<Option<String>> {
    Namespace::new()?.run(|| {
        nft::apply(batch, deadline)?;
        nft::list(table, deadline)
    })?
}
