//! Closing of networks that have stopped or that the administrator closes, and removal of everything.
//! A closed network that runs stays recorded, so that its guests do not count as external.

use std::collections::BTreeSet;

use virt_forward_policy::network::Network;
use virt_forward_ruleset::table::{self, Batch};
use virt_forward_system::{
    exec::nft,
    links,
    state::{NetworkState, Record, Store},
};

use crate::{
    Error, Report, Result, connections, firewalld,
    gates::{GateSpec, Gates, ScanScope},
    members::{member, members},
    report::Effects,
    session::Session,
    sysctls,
};

/// The record of a network after it was closed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum RecordAfterClose {
    /// None: the network has stopped.
    Forgotten,
    /// The administrator closed it.
    AdminClosed,
}

impl Session<'_> {
    /// Closes the networks of these names. The outcome is the names without a record.
    pub fn remove(&self, names: &[String]) -> Result<Report<Vec<String>>> {
        let known = self.store.records()?;
        let is_meant = |record: &Record| names.contains(&record.network.name);
        let (meant, _): (Vec<_>, Vec<_>) = known.into_iter().partition(is_meant);
        let found: BTreeSet<_> = meant
            .iter()
            .map(|record| record.network.name.clone())
            .collect();
        let effects = match meant.is_empty() {
            true => Effects::default(),
            false => self.close(&meant, RecordAfterClose::AdminClosed)?,
        };
        let unknown = names.iter().filter(|name| !found.contains(*name));
        Ok(effects.report(unknown.cloned().collect()))
    }

    /// Removes everything from the kernel and the state folder, recorded or not.
    pub fn remove_all(&self) -> Result<()> {
        self.store.begin()?;
        // Records that cannot be read do not prevent the removal.
        self.remove_everything(&self.store.records().unwrap_or_default())?;
        Ok(self.store.destroy()?)
    }

    /// Whether the administrator closed the network, and it has not started since.
    pub fn is_admin_closed(&self, network: &Network) -> Result<bool> {
        is_admin_closed(self.store, network)
    }

    /// Records active networks that have no record as unmanaged, so that their guests do not count as
    /// external.
    pub(super) fn record_unmanaged(&self, networks: Vec<Network>) -> Result<()> {
        for network in networks {
            if let Some(bridge) = network.known_bridge()
                && links::has_bridge(&bridge)
                && self.store.record(&bridge)?.is_none()
            {
                let record = Record::closed(network, NetworkState::Unmanaged);
                self.store.write_record(&bridge, &record)?;
            }
        }
        Ok(())
    }

    /// Closes networks, and restores the sysctls of those bridges that still exist.
    pub(super) fn close(
        &self,
        records: &[Record],
        afterwards: RecordAfterClose,
    ) -> Result<Effects> {
        // A peer or a rule may be in use without these networks that conflicted with them, and a sysctl
        // that the table depends on may be restored. Both need a rebuild.
        let unused = self.unused();
        let mut networks = records.iter().map(|record| &record.network);
        let part = match networks.any(|network| unused.concern(network)) {
            true => None,
            false => self.part_of_close(records)?,
        };
        let mut effects = self.change(part, records, |changes| {
            for record in records {
                let Some(bridge) = record.network.known_bridge() else {
                    continue;
                };
                if let Some(member) = member(record) {
                    changes.remove(member);
                }
                match afterwards {
                    RecordAfterClose::Forgotten => self.store.remove_record(&bridge)?,
                    RecordAfterClose::AdminClosed => {
                        let state = match record.state {
                            // Its `started` hook opens it.
                            NetworkState::Starting => NetworkState::Starting,
                            _ => NetworkState::AdminClosed,
                        };
                        let closed = Record::closed(record.network.clone(), state);
                        self.store.write_record(&bridge, &closed)?;
                        changes.extend(member(&closed));
                    }
                }
            }
            Ok(())
        })?;
        effects.warn(self.end_connections_of(records).err());
        self.store.finish()?;
        effects.then(self.set_firewalld_peers()?.effects);
        Ok(effects)
    }

    /// Deletes the connections of networks that are closed now. Their packets are dropped already.
    fn end_connections_of(&self, records: &[Record]) -> Result<()> {
        let open = records.iter().filter(|record| !record.access.is_empty());
        let networks: Vec<_> = open.map(|record| &record.network).collect();
        connections::end_of(&networks, self.deadline)
    }

    /// Removes the gates, then the table, then the changes of sysctls; a failure stops none of the
    /// others. `records` are networks that may still run, closed.
    pub(super) fn remove_everything(&self, records: &[Record]) -> Result<()> {
        let mut errors = Vec::new();
        let gates = Gates::to_close(
            GateSpec::of(self.config()),
            ScanScope::AllChains,
            self.deadline,
        );
        let mut batch = Batch::default();
        match gates {
            Ok(mut gates) => {
                errors.extend(gates.take_failure());
                errors.extend(gates.apply_iptables(self.deadline).err());
                gates.in_batch(&mut batch);
            }
            Err(error) => errors.push(error),
        }
        // Before the table, which drops forged peers that the rules of firewalld accept.
        errors.extend(firewalld::clear(self.store, self.deadline).err());
        // A table that drops everything. Without it, libvirt would accept packets of open connections
        // until conntrack entries are deleted, and other packets would be forwarded until sysctls are
        // restored.
        let built = self.store.layout();
        let host = built.map(|built| built.host()).unwrap_or_default();
        table::closing(&mut batch, &host, &members(records));
        errors.extend(nft::apply(&batch, self.deadline).err().map(Error::from));
        errors.extend(connections::end_all(self.deadline).err());
        errors.extend(sysctls::restore_all(self.store, records).err());
        let mut batch = Batch::default();
        table::delete_table(&mut batch);
        errors.extend(nft::apply(&batch, self.deadline).err().map(Error::from));
        if errors.is_empty() {
            self.store.reset_kernel_state()?;
        }
        Error::all(errors)
    }
}

/// Whether the administrator closed the network, and it has not started since.
pub(super) fn is_admin_closed(store: &Store, network: &Network) -> Result<bool> {
    let Some(bridge) = network.known_bridge() else {
        return Ok(false);
    };
    let record = store.record(&bridge)?;
    Ok(
        record
            .is_some_and(|record| record.is_admin_closed() && record.network.name == network.name),
    )
}
