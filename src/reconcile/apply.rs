//! ElementChanges of the kernel's state: single elements, or everything from the records.
//!
//! Order, so that never more is open than the configuration allows: our table, which clears foreign
//! marks, is built before the gates, which trust marks, and removed after them. A record is written
//! before the kernel is changed, while the file `pending` exists: a run that is killed in between
//! leaves the old rules or the new ones, and the next run rebuilds.

use std::collections::{BTreeMap, BTreeSet};

use virt_forward_policy::{
    self as policy,
    network::{Network, XmlError},
};
use virt_forward_ruleset::table::{self, Batch, ElementChanges};
use virt_forward_system::{
    exec::nft,
    libvirt::status,
    netlink::{set_elements, table_fingerprint},
    state::{Layout, Record},
};

use crate::{
    Error, Report, Result, connections, firewalld,
    gates::{GateSpec, Gates, ScanScope},
    host::HostState,
    members::{is_any_open, members},
    plan::{BuiltTable, EventFacts, EventPlan, plan_event},
    report::Effects,
    session::Session,
    sysctls::{self, BridgeSysctls},
};

impl Session<'_> {
    /// Rebuilds everything with these networks added, or, without `others`, with no others.
    /// `others` are active, too: those without a record become unmanaged.
    /// `unread` are active as well, by which bridge is not known.
    pub fn apply(
        &self,
        networks: Vec<Network>,
        others: Option<Vec<Network>>,
        unread: Vec<(Vec<u8>, XmlError)>,
    ) -> Result<Report<()>> {
        self.store.begin()?;
        for (name, why) in unread {
            self.add_unread(&name, why)?;
        }
        let known = self.store.load_and_repair_records()?.into_iter();
        let known: BTreeMap<_, _> = known
            .filter_map(|record| Some((record.network.known_bridge()?, record)))
            .collect();
        // libvirt's status files, if there are any, say better what is active: they distinguish networks
        // that are just starting from stale records.
        let only = others.is_none() && status::active_networks().is_none();
        self.record_unmanaged(others.unwrap_or_default())?;
        let mut named = BTreeSet::new();
        let usable = self.usable();
        for network in networks {
            if let Some(bridge) = network.known_bridge() {
                let mut record = Record::new(&usable, network);
                let known = known.get(&bridge);
                if let Some(known) = known {
                    record.enabled.clone_from(&known.enabled);
                }
                if known != Some(&record) {
                    self.store.write_record(&bridge, &record)?;
                }
                named.insert(bridge);
            }
        }
        // After the records of the others: an interrupted run leaves a stale record, which the next run
        // removes, and loses none.
        for bridge in known.keys().filter(|one| only && !named.contains(*one)) {
            self.store.remove_record(bridge)?;
        }
        let mut effects = self.rebuild(&[])?;
        effects.then(self.set_firewalld_peers()?.effects);
        effects.warn(self.config_conflicts(&self.store.records()?)?);
        Ok(effects.report(()))
    }

    /// Sets the rules for peers in firewalld's policy object, if they differ. Last of all, as
    /// firewalld may be busy for a while.
    pub(super) fn set_firewalld_peers(&self) -> Result<FirewalldPeers> {
        let mut effects = Effects::default();
        let (usable, records) = (self.usable(), || Ok(self.store.records()?));
        let Some(rules) = firewalld::missing(self.store, &usable, records, self.deadline)? else {
            return Ok(FirewalldPeers {
                were_missing: false,
                effects,
            });
        };
        let built = self.store.layout();
        // firewalld accepts a peer by its address alone, so our table has to drop forged ones first.
        if !rules.rules.is_empty() && !built.is_some_and(|built| built.host().drops_forged_peers) {
            self.store.begin()?;
            effects.then(self.rebuild(&[])?);
        }
        firewalld::set(self.store, &rules, self.deadline)?;
        Ok(FirewalldPeers {
            were_missing: true,
            effects,
        })
    }

    /// Handles an event: changes elements of the table and the sysctls in `part`, and repairs gates, as
    /// an event is the only chance to do so while `watch` does not run. `elements` writes the records
    /// and returns the changes of elements. Rebuilds everything without a `part`, after an interrupted
    /// run, and where the change fails. `leaving` are the networks that the event closes.
    pub(super) fn change(
        &self,
        part: Option<BridgeSysctls>,
        leaving: &[Record],
        elements: impl FnOnce(&mut ElementChanges) -> Result<()>,
    ) -> Result<Effects> {
        let is_whole = || !self.store.is_pending() && self.is_table_as_built();
        let part = part.filter(|_| is_whole());
        self.store.begin()?;
        let mut changes = ElementChanges::default();
        elements(&mut changes)?;
        let built = self.store.layout();
        let spec = built.as_ref().and_then(spec_of_table);
        let facts = EventFacts {
            is_local: part.is_some(),
            is_any_open: self.store.is_any_open()?,
            table: match (&built, &spec) {
                (None, _) => BuiltTable::None,
                (Some(_), Some(_)) => BuiltTable::Known,
                (Some(_), None) => BuiltTable::Unknown,
            },
        };
        let (part, spec) = match (plan_event(facts), part, spec) {
            (EventPlan::ClearLeftovers, ..) => {
                self.clear_leftovers()?;
                return Ok(Effects::default());
            }
            (EventPlan::ChangeElements, Some(part), Some(spec)) => (part, spec),
            _ => return self.rebuild(leaving),
        };
        let (gates, mut effects) = self.gates(spec, false, ScanScope::KnownChains)?;
        let given_back = part.give_back();
        let remembered = part.remember(self.store);
        match self.carry_out(&changes, &gates) {
            Ok(()) => {
                let outcomes = [
                    gates.apply_iptables(self.deadline),
                    given_back,
                    remembered.and_then(|()| part.set()),
                ];
                effects.warn(gates.insert_shortcuts(self.deadline).err());
                Error::all(outcomes.into_iter().filter_map(Result::err).collect())?;
                Ok(effects)
            }
            // The table was flushed or replaced. If nft itself fails, the rebuild reports it.
            Err(_) => self.rebuild(leaving),
        }
    }

    /// Changes elements, and gates of nftables: by netlink messages, or, if such gates change, by nft in
    /// one transaction.
    fn carry_out(&self, changes: &ElementChanges, gates: &Gates) -> Result<()> {
        if !gates.need_nft() {
            return Ok(set_elements::apply(&changes.elements(), self.deadline)?);
        }
        let mut batch = Batch::default();
        changes.in_batch(&mut batch);
        gates.in_batch(&mut batch);
        Ok(nft::apply(&batch, self.deadline)?)
    }

    /// Finishes what an interrupted run left half done.
    pub(super) fn finish_interrupted(&self) -> Result<Effects> {
        match self.store.is_pending() {
            true => self.rebuild(&[]),
            false => Ok(Effects::default()),
        }
    }

    /// Rebuilds everything from the records of networks whose bridges exist. `leaving` are networks
    /// that may still run, and that this run closes.
    pub(super) fn rebuild(&self, leaving: &[Record]) -> Result<Effects> {
        let active = status::active_networks();
        if let Some(active) = &active {
            self.merge_unread(active)?;
            self.record_unmanaged(active.networks.clone())?;
        }
        let known = self.current(active.as_ref())?;
        let unused = self.conflicts(known.iter().map(|(_, record)| record))?;
        let usable = policy::without(self.config(), &unused);
        let mut records = self.renew_all(known, &usable)?;
        if !is_any_open(&records) {
            self.remove_everything(&[&records, leaving].concat())?;
            self.store.finish()?;
            return Ok(Effects::default());
        }
        let spec = GateSpec::of(self.config());
        let same_mark = self.store.layout().and_then(|built| built.mark()) == Some(spec.mark);
        let (gates, mut effects) = self.gates(spec, !same_mark, ScanScope::AllChains)?;
        let host_state = self.host_state(&usable, &records)?;
        self.note_enabled(&mut records, &host_state)?;
        let host = host_state.host;
        // Sysctls are restored while the present table still restricts forwarding.
        let given_back = sysctls::give_back(&host_state.plan);
        let remembered = sysctls::remember(self.store, &host_state.plan);
        let mut batch = Batch::default();
        let layout = table::Layout::of(&usable, &host);
        table::replace_table(&mut batch, &layout, &members(&records));
        gates.in_batch(&mut batch);
        nft::apply(&batch, self.deadline)?;
        self.store
            .set_layout(&Layout::of(self.config(), &unused, &host))?;
        self.store.set_basis(&host_state.basis)?;
        if let Some(built) = table_fingerprint::fingerprint(self.deadline)? {
            self.store.set_table_fingerprint(&built)?;
        }
        // Independent of each other: all are tried.
        let outcomes = [
            connections::end_disallowed(&usable, &records, self.deadline),
            gates.apply_iptables(self.deadline),
            given_back,
            remembered.and_then(|()| sysctls::set(&host_state.plan)),
        ];
        effects.warn(gates.insert_shortcuts(self.deadline).err());
        effects.warn(host_state.warnings);
        Error::all(outcomes.into_iter().filter_map(Result::err).collect())?;
        self.store.finish()?;
        Ok(effects)
    }

    /// Records which bridges forward because of virt-forward.
    fn note_enabled(&self, records: &mut [Record], host_state: &HostState) -> Result<()> {
        for record in records {
            let enabled = host_state.enabled_of(record);
            if record.enabled != enabled
                && let Some(bridge) = record.network.known_bridge()
            {
                record.enabled = enabled;
                self.store.write_record(&bridge, record)?;
            }
        }
        Ok(())
    }
}

/// The result of [`Session::set_firewalld_peers`].
pub(super) struct FirewalldPeers {
    /// Whether firewalld lacked rules.
    pub(super) were_missing: bool,
    pub(super) effects: Effects,
}

/// The gates of the table that was built. The configuration may be invalid when a network stops.
fn spec_of_table(built: &Layout) -> Option<GateSpec> {
    Some(GateSpec {
        mark: built.mark()?,
        extra: built.extra(),
    })
}
