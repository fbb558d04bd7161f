//! Rules of virt-forward's without a record.
//!
//! An administrator who saves the rules of the running host (`iptables-save`, `nft list ruleset`)
//! saves ours with them, and loads them at boot, before any network has started. A gate without our
//! table accepts every packet with the mark, which the table would clear. A saved table opens bridges
//! of the time when it was saved.

use crate::{
    Drift, Result,
    gates::{GateSpec, Gates, ScanScope},
    session::Session,
};
use virt_forward_policy::config::Config;
use virt_forward_system::{deadline::Deadline, netlink::table_fingerprint};

/// The table and the gates that the kernel holds; drift only while no network is known.
pub fn leftovers(config: &Config, deadline: Deadline) -> Result<Vec<Drift>> {
    let table = table_fingerprint::fingerprint(deadline)?.map(|_| Drift::StaleTable);
    let gates = Gates::to_close(GateSpec::of(config), ScanScope::KnownChains, deadline)?;
    let gates = gates
        .changed_chains()
        .map(|chain| Drift::StaleGate { chain });
    Ok(table.into_iter().chain(gates).collect())
}

impl Session<'_> {
    /// Removes what an earlier boot left, while nothing is open and no table was built.
    pub(super) fn clear_leftovers(&self) -> Result<()> {
        match leftovers(self.config(), self.deadline)?.is_empty() {
            true => Ok(()),
            false => self.remove_everything(&[]),
        }
    }
}
