//! Networks that are closed: that have stopped, that the administrator closed by hand, that are not
//! to be opened. What runs and is closed stays known: its guests are not outside.

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
    gates::{Gates, Reach, Wish},
    members::{member, members},
    report::Effects,
    session::Session,
    settings,
};

/// What is known of a network that is closed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Afterwards {
    /// Nothing: it has stopped.
    Forgotten,
    /// That the administrator closed it.
    AdminClosed,
}

impl Session<'_> {
    /// Closes the networks of these names; the names that are not known.
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
            false => self.close(&meant, Afterwards::AdminClosed)?,
        };
        let unknown = names.iter().filter(|name| !found.contains(*name));
        Ok(effects.report(unknown.cloned().collect()))
    }

    /// Takes everything of ours out of the kernel and off the disk, known or not.
    pub fn remove_all(&self) -> Result<()> {
        self.store.begin()?;
        // What cannot be read is no reason to keep anything.
        self.tear_down(&self.store.records().unwrap_or_default())?;
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
                self.store.put(&bridge, &record)?;
            }
        }
        Ok(())
    }

    /// Some networks less; what their bridges' settings were comes back, where the bridges
    /// are still there.
    pub(super) fn close(&self, records: &[Record], afterwards: Afterwards) -> Result<Effects> {
        // One of them may have been what kept a peer out, or networks out of a rule; or may have
        // needed a setting that the table knows of.
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
                    Afterwards::Forgotten => self.store.forget(&bridge)?,
                    Afterwards::AdminClosed => {
                        let state = match record.state {
                            // Its `started` hook opens it.
                            NetworkState::Starting => NetworkState::Starting,
                            _ => NetworkState::AdminClosed,
                        };
                        let closed = Record::closed(record.network.clone(), state);
                        self.store.put(&bridge, &closed)?;
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

    /// Ends the connections of networks that are closed now. Their packets are dropped already.
    fn end_connections_of(&self, records: &[Record]) -> Result<()> {
        let open = records.iter().filter(|record| !record.access.is_none());
        let networks: Vec<_> = open.map(|record| &record.network).collect();
        connections::end_of(&networks, self.deadline)
    }

    /// The gates, then the table, then the settings; each as far as it goes. `records` are
    /// networks that may still run, closed.
    pub(super) fn tear_down(&self, records: &[Record]) -> Result<()> {
        let mut errors = Vec::new();
        let gates = Gates::to_close(Wish::of(self.config()), Reach::Everywhere, self.deadline);
        let mut batch = Batch::default();
        match gates {
            Ok(mut gates) => {
                errors.extend(gates.take_trouble());
                errors.extend(gates.by_program(self.deadline).err());
                gates.in_batch(&mut batch);
            }
            Err(error) => errors.push(error),
        }
        // While the table still drops forged peers, which the rules of firewalld let in.
        errors.extend(firewalld::clear(self.store, self.deadline).err());
        // The last table. Without one, libvirt would accept the rest of the connections that were
        // open until the kernel has forgotten them, and what was switched on would let others pass
        // until the settings are back.
        let built = self.store.layout();
        let host = built.map(|built| built.host()).unwrap_or_default();
        table::closing(&mut batch, &host, &members(records));
        errors.extend(nft::apply(&batch, self.deadline).err().map(Error::from));
        errors.extend(connections::end_all(self.deadline).err());
        errors.extend(settings::restore_all(self.store, records).err());
        let mut batch = Batch::default();
        table::none(&mut batch);
        errors.extend(nft::apply(&batch, self.deadline).err().map(Error::from));
        if errors.is_empty() {
            self.store.forget_kernel()?;
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
