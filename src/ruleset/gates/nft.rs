//! The edits of gates, as commands for nft.

use virt_forward_policy::{config::MarkBit, netfilter::TableName};

use super::{ChainEdit, GateVerdict, Insert};
use crate::{
    COMMENT,
    table::{Batch, accept, counter, mark_bit_set, return_},
};

/// Adds the commands of `change` to `batch`; the gate accepts packets with `mark`.
pub fn edit(batch: &mut Batch, change: &ChainEdit, mark: MarkBit) {
    let name = &change.chain;
    let table = TableName {
        family: name.family,
        name: &name.table,
    };
    for handle in &change.remove {
        batch.delete_rule(table, &name.chain, *handle);
    }
    if let Some(Insert {
        before, verdict, ..
    }) = change.insert
    {
        // insert rule ip libvirt_network forward
        //     meta mark & 0x10000000 != 0 counter accept comment "virt-forward"
        let verdict = match verdict {
            GateVerdict::Accept => accept(),
            GateVerdict::Return => return_(),
        };
        let statements = [mark_bit_set(mark.bit()), counter(), verdict];
        batch.insert_rule(table, &name.chain, before, statements, COMMENT);
    }
}
