//! Rules of ours that nothing is known of.
//!
//! An administrator who saves the rules of the running host (`iptables-save`, `nft list ruleset`)
//! saves ours with them, and loads them again at boot, before any network has started. A gate
//! without our table is an opening for whoever can set the mark: the table is what clears it.
//! A table that was saved opens bridges as of then.

use super::{
    Run,
    gates::{Gates, Reach, Wish},
};
use crate::Result;
use virt_forward_policy::{config::Config, netfilter::TABLE};
use virt_forward_system::{deadline::Deadline, netlink::table_fingerprint};

/// What stands in the kernel, each as a fault, where no network is known: our table, and gates
/// in the chains that we put them into.
pub fn leftovers(config: &Config, deadline: Deadline) -> Result<Vec<String>> {
    let table = table_fingerprint::fingerprint(deadline)?.map(|_| {
        let (family, name) = (TABLE.family.word(), TABLE.name);
        format!("the table {family} {name} was there, and no network is known")
    });
    let gates = Gates::to_close(Wish::of(config), Reach::Near, deadline)?;
    let gate = |place| format!("a gate stood in {place}, and no network is known");
    Ok(table.into_iter().chain(gates.places().map(gate)).collect())
}

impl Run<'_> {
    /// Takes away what an earlier boot left, with nothing open and no table built since.
    pub(super) fn clear_leftovers(&self) -> Result<()> {
        match leftovers(self.config(), self.deadline)?.is_empty() {
            true => Ok(()),
            false => self.tear_down(&[]),
        }
    }
}
