//! Rules of ours that nothing is known of.
//!
//! An administrator who saves the rules of the running host (`iptables-save`, `nft list ruleset`)
//! saves ours with them, and loads them again at boot, before any network has started. A gate
//! without our table is an opening for whoever can set the mark: the table is what clears it.
//! A table that was saved opens bridges as of then.

use crate::{
    Drift, Result,
    gates::{Gates, Reach, Wish},
    session::Session,
};
use virt_forward_policy::config::Config;
use virt_forward_system::{deadline::Deadline, netlink::table_fingerprint};

/// The table and the gates that the kernel holds; drift only while no network is known.
pub fn leftovers(config: &Config, deadline: Deadline) -> Result<Vec<Drift>> {
    let table = table_fingerprint::fingerprint(deadline)?.map(|_| Drift::StaleTable);
    let gates = Gates::to_close(Wish::of(config), Reach::Near, deadline)?;
    let gates = gates
        .changed_chains()
        .map(|chain| Drift::StaleGate { chain });
    Ok(table.into_iter().chain(gates).collect())
}

impl Session<'_> {
    /// Takes away what an earlier boot left, with nothing open and no table built since.
    pub(super) fn clear_leftovers(&self) -> Result<()> {
        match leftovers(self.config(), self.deadline)?.is_empty() {
            true => Ok(()),
            false => self.tear_down(&[]),
        }
    }
}
