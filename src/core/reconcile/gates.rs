//! Gates, carried out: those of nft's in the transaction of our table, the others by the
//! iptables programs.

use crate::{
    COMMENT, Error, Result,
    config::MarkBit,
    gates::{self, Change, Place, Tool},
    kernel::{deadline::Deadline, iptables, rules},
    table::{Batch, TableName, accept, counter, marked},
};

/// How often a gate is put in again that another program's change has pushed away.
const TRIES: usize = 3;

/// What is to be done, place by place.
pub(super) struct Gates {
    changes: Vec<(&'static Place, Change)>,
    mark: MarkBit,
}

impl Gates {
    /// What lets marked packets pass wherever a firewall is in use; with `anew`, gates for
    /// another mark are replaced.
    pub(super) fn to_open(mark: MarkBit, anew: bool, deadline: Deadline) -> Result<Self> {
        Self::plan(mark, deadline, |place, rules| {
            gates::to_open(place, rules, anew)
        })
    }

    /// What takes every gate of ours away.
    pub(super) fn to_close(mark: MarkBit, deadline: Deadline) -> Result<Self> {
        Self::plan(mark, deadline, |_, rules| gates::to_close(rules))
    }

    fn plan(
        mark: MarkBit,
        deadline: Deadline,
        decide: impl Fn(&Place, &[gates::Rule]) -> Change,
    ) -> Result<Self> {
        let mut changes = Vec::new();
        for place in gates::places() {
            let change = decide(place, &rules::rules(place, deadline)?);
            if !change.is_nothing() {
                changes.push((place, change));
            }
        }
        Ok(Self { changes, mark })
    }

    fn of(&self, tool: Tool) -> impl Iterator<Item = (&'static Place, &Change)> {
        let all = self.changes.iter().map(|(place, change)| (*place, change));
        all.filter(move |(place, _)| place.tool == tool)
    }

    /// Adds what nft does to `batch`.
    pub(super) fn in_batch(&self, batch: &mut Batch) {
        for (place, change) in self.of(Tool::Nft) {
            let table = TableName {
                family: place.family,
                name: place.table,
            };
            for handle in &change.remove {
                batch.delete_rule(table, place.chain, *handle);
            }
            // insert rule ip libvirt_network forward
            //     meta mark & 0x10000000 != 0 counter accept comment "virt-forward"
            if change.insert_at.is_some() {
                let words = [marked(self.mark.bit()), counter(), accept()];
                batch.insert_rule(table, place.chain, words, COMMENT);
            }
        }
    }

    /// Does what the iptables programs do, every place even where one fails.
    pub(super) fn by_program(&self, deadline: Deadline) -> Result<()> {
        let changes = self.of(Tool::Iptables);
        let outcomes = changes.map(|(place, change)| self.change(place, change.clone(), deadline));
        Error::all(outcomes.filter_map(Result::err).collect())
    }

    /// A rule's number is only good until somebody else changes the chain, so the outcome is
    /// looked at.
    fn change(&self, place: &Place, mut change: Change, deadline: Deadline) -> Result<()> {
        for _ in 0..TRIES {
            if !change.remove.is_empty() {
                iptables::delete_gates(place.family, place.chain, deadline)?;
            }
            let Some(index) = change.insert_at else {
                return Ok(());
            };
            iptables::insert_gate(place.family, place.chain, index, self.mark, deadline)?;
            change = gates::to_open(place, &rules::rules(place, deadline)?, false);
            if change.is_nothing() {
                return Ok(());
            }
        }
        Err(Error::GateLost {
            place: place.path(),
        })
    }
}
