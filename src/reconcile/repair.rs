//! Repair of drift, for `watch`.
//!
//! The desired state follows from the records, so a network that the administrator closed stays
//! closed.

use std::collections::BTreeSet;

use crate::{
    Drift, Outcome, Result, Warning,
    drift::{self, BridgeForwarding, Tolerance},
    gates::{GateSpec, Gates, ScanScope},
    host::HostState,
    inspect::is_libvirt_flushed,
    leftovers::leftovers,
    members::members,
    network_state::{Seen, network_drift},
    plan::{RepairStep, plan_repair},
    session::Session,
    sysctls,
};
use virt_forward_policy::{self as policy, network::Network};
use virt_forward_ruleset::{
    gates::Survey,
    sysctls::Setting,
    table::{self, Batch},
};
use virt_forward_system::{
    exec::nft,
    libvirt::status,
    links,
    netlink::{set_elements, table_fingerprint},
    state::{NetworkState, Record},
};

/// The result of a repair.
#[derive(Debug, Default)]
pub struct RepairReport {
    /// Networks that had no record, with their outcomes.
    pub started: Vec<(String, Outcome)>,
    /// The drift that was found and repaired.
    pub repaired: Vec<Drift>,
    /// The firewalls before the repair.
    pub survey: Survey,
    /// libvirt has networks that need rules of its own, and those rules are gone.
    pub is_libvirt_flushed: bool,
    /// Failures that kept nothing else from being repaired.
    pub warnings: Vec<Warning>,
    /// Some network is open.
    pub is_any_open: bool,
    /// A sysctl that is in use and whose changes the kernel does not announce, so it has to be polled.
    pub polled_sysctl: Option<Setting>,
    /// All IPv6 interfaces forward because of open networks: a new interface may need `accept_ra`.
    pub forwards_ipv6: bool,
}

impl Session<'_> {
    /// Compares everything with the records and repairs what differs. `started` are networks that
    /// may have no record yet; `unread` are the names of active networks without a known bridge;
    /// `is_active` says whether libvirt has a network active, as far as the caller knows.
    pub fn repair(
        &mut self,
        started: Vec<Network>,
        unread: &BTreeSet<Vec<u8>>,
        is_active: impl Fn(&Network) -> bool,
    ) -> Result<RepairReport> {
        let mut report = RepairReport::default();
        let was_built = self.store.layout().is_some();
        let mut drift = std::mem::take(&mut self.unconfirmed);
        if self.store.is_pending() && drift.is_empty() {
            drift.push(Drift::InterruptedRun);
        }
        if !unread.is_empty() && self.lacks_unread(unread)? {
            drift.push(Drift::UnreadableNetworksChanged);
        }
        for network in started {
            report.started.extend(self.take_in(network)?);
        }
        let records = self.store.records()?;
        let is_none_known = self.store.layout().is_none() && !self.store.is_any_open()?;
        let stale = if is_none_known {
            leftovers(self.config(), self.deadline)?
        } else {
            Vec::new()
        };
        if !stale.is_empty() {
            self.remove_everything(&records)?;
        }
        let is_idle = records.is_empty() && self.store.unread()?.is_empty();
        if is_idle && self.store.layout().is_none() && drift.is_empty() {
            report.repaired = stale;
            // Without networks not even the folder remains.
            self.store.destroy()?;
            return Ok(report);
        }
        for found in self.record_drift(&records, is_active)? {
            if !drift.contains(&found) {
                drift.push(found);
            }
        }
        let is_open = self.store.is_any_open()?;
        if drift.is_empty() && is_open {
            drift.extend(self.table_drift(&records)?);
        }
        let mut host_state = if is_open {
            Some(self.host_state(&self.usable(), &records)?)
        } else {
            None
        };
        if let Some(host_state) = &mut host_state {
            report.warnings.append(&mut host_state.warnings);
            if drift.is_empty() {
                drift.extend(self.host_drift(host_state, &records));
            }
        }
        let (gates, effects) =
            self.gates(GateSpec::of(self.config()), false, ScanScope::KnownChains)?;
        let of_gates = effects.warnings;
        report.is_libvirt_flushed = is_libvirt_flushed(gates.survey(), &records);
        self.repair_all(&mut report, drift, &gates, &records, host_state.as_ref())?;
        self.renew_outcomes(&mut report.started)?;
        if !was_built {
            // A table that was never built is no drift.
            report.repaired.clear();
        }
        report.repaired.extend(stale);
        report.is_any_open = self.store.is_any_open()?;
        report.survey = gates.into_survey();
        report.warnings.extend(of_gates);
        Ok(report)
    }

    /// Repairs `drift` of our table and of its inputs, and any drift of gates, sysctls and firewalld.
    fn repair_all(
        &self,
        report: &mut RepairReport,
        drift: Vec<Drift>,
        gates: &Gates,
        records: &[Record],
        host_state: Option<&HostState>,
    ) -> Result<()> {
        report.repaired = drift;
        let is_any_open = self.store.is_any_open()?;
        if is_any_open {
            let missing = gates
                .changed_chains()
                .map(|chain| Drift::GateMissing { chain });
            report.repaired.extend(missing);
        }
        if let Some(host_state) = host_state {
            report.repaired.extend(sysctls::drift(&host_state.plan)?);
            report.polled_sysctl = host_state.untold().cloned();
            report.forwards_ipv6 = host_state.host.enabled_all_ipv6;
        }
        let has_new_networks = !report.started.is_empty();
        for step in plan_repair(&report.repaired, has_new_networks, is_any_open) {
            match step {
                RepairStep::Rebuild => {
                    self.store.begin()?;
                    report.warnings.extend(self.rebuild(&[])?.warnings);
                }
                RepairStep::RepairGatesAndSysctls => {
                    self.repair_gates_and_sysctls(gates, host_state)?
                }
                RepairStep::InsertShortcuts => {
                    let failed = gates.insert_shortcuts(self.deadline).err();
                    report.warnings.extend(failed.map(Warning::from));
                }
            }
        }
        let conflicts = self.config_conflicts(records)?;
        report
            .warnings
            .extend(conflicts.into_iter().map(Warning::from));
        match self.set_firewalld_peers() {
            Ok(peers) => {
                if peers.were_missing {
                    report.repaired.push(Drift::FirewalldLacksPeers);
                }
                report.warnings.extend(peers.effects.warnings);
            }
            Err(error) => report.warnings.push(error.into()),
        }
        Ok(())
    }

    /// Records a network that has no record, or another one.
    fn take_in(&self, network: Network) -> Result<Option<(String, Outcome)>> {
        let Some(bridge) = network.known_bridge() else {
            return Ok(None);
        };
        // Only `apply` or its next start opens it.
        if self.is_admin_closed(&network)? {
            return Ok(None);
        }
        let mut record = Record::new(&self.usable(), network);
        let known = self.store.record(&bridge)?;
        if let Some(known) = &known {
            record.enabled.clone_from(&known.enabled);
        }
        if !links::has_bridge(&bridge) || known.as_ref() == Some(&record) {
            return Ok(None);
        }
        // libvirt may have stopped it meanwhile.
        if status::is_active(&record.network.name, &bridge) == Some(false) {
            return Ok(None);
        }
        self.store.begin()?;
        self.store.write_record(&bridge, &record)?;
        self.store.mark_confirmed(&bridge)?;
        Ok(Some((
            record.network.name.clone(),
            Outcome::of_record(&record),
        )))
    }

    /// Updates the outcomes of new networks after the rebuild, which compares all networks and may grant
    /// less.
    fn renew_outcomes(&self, started: &mut [(String, Outcome)]) -> Result<()> {
        if started.is_empty() {
            return Ok(());
        }
        let records = self.store.records()?;
        for (name, done) in started {
            if let Some(record) = records.iter().find(|one| one.network.name == *name) {
                *done = Outcome::of_record(record);
            }
        }
        Ok(())
    }

    /// The drift of the records, and of the configuration that they were made from.
    fn record_drift(
        &self,
        records: &[Record],
        is_active: impl Fn(&Network) -> bool,
    ) -> Result<Vec<Drift>> {
        let mut drift = Vec::new();
        for record in records {
            let Some(bridge) = record.network.known_bridge() else {
                continue;
            };
            if self.stopping.contains(bridge.as_str()) {
                continue;
            }
            // Whether libvirt has any other network active is not in question here.
            let may_be_open =
                matches!(record.state, NetworkState::Active | NetworkState::Unmanaged);
            let seen = if !links::exists(&bridge) {
                Seen::NoBridge
            } else if may_be_open
                && !is_active(&record.network)
                && status::is_active(&record.network.name, &bridge) == Some(false)
            {
                Seen::Inactive
            } else {
                Seen::NoStatus
            };
            let marker = match seen {
                Seen::NoBridge | Seen::Inactive => {
                    self.store.unconfirmed_of(&bridge).ok().flatten()
                }
                Seen::Active | Seen::NoStatus => None,
            };
            let age = marker.map(|marker| marker.age());
            drift.extend(network_drift(record, &bridge, seen, age));
        }
        let unused = self.unused();
        let usable = policy::without(self.config(), &unused);
        let is_other = |record: &Record| record.renewed(&usable).access != record.access;
        if self.is_built_for_other_config() || records.iter().any(is_other) {
            drift.push(Drift::ConfigChanged);
        } else if self.store.layout().is_some()
            && !self.conflicts(records.iter())?.are_about_the_same(&unused)
        {
            drift.push(Drift::HostConflictsChanged);
        }
        Ok(drift)
    }

    fn host_drift(&self, host_state: &HostState, records: &[Record]) -> Vec<Drift> {
        let built = self.store.layout();
        let built = built.map(|built| built.host()).unwrap_or_default();
        let mut bridges = records.iter().filter_map(|one| one.network.known_bridge());
        let tolerance = if bridges.any(|bridge| self.is_ending(&bridge)) {
            Tolerance::MayShrink
        } else {
            Tolerance::Exact
        };
        let forwarding: Vec<_> = records
            .iter()
            .map(|record| BridgeForwarding {
                recorded: record.enabled.clone(),
                observed: host_state.enabled_of(record),
            })
            .collect();
        drift::host_drift(&built, &host_state.host, &forwarding, tolerance)
    }

    /// The drift of our table and its sets.
    fn table_drift(&self, records: &[Record]) -> Result<Option<Drift>> {
        let built = self.store.table_fingerprint();
        let observed = table_fingerprint::fingerprint(self.deadline)?;
        match drift::table_drift(built.as_deref(), observed.as_deref()) {
            None => self.set_drift(records),
            drift => Ok(drift),
        }
    }

    /// The first set whose elements are not those of `records`.
    pub(super) fn set_drift(&self, records: &[Record]) -> Result<Option<Drift>> {
        let built = self.store.layout();
        let host = built.map(|built| built.host()).unwrap_or_default();
        let layout = table::Layout::of(&self.usable(), &host);
        let desired = table::keys(&layout, &members(records));
        let observed = set_elements::read(desired.keys().map(String::as_str), self.deadline)?;
        Ok(drift::set_drift(&desired, &observed))
    }

    /// Repairs gates and sysctls, and leaves the table as it is.
    fn repair_gates_and_sysctls(
        &self,
        gates: &Gates,
        host_state: Option<&HostState>,
    ) -> Result<()> {
        let mut batch = Batch::default();
        gates.in_batch(&mut batch);
        nft::apply(&batch, self.deadline)?;
        gates.apply_iptables(self.deadline)?;
        let Some(host_state) = host_state else {
            return Ok(());
        };
        sysctls::give_back(&host_state.plan)?;
        sysctls::remember(self.store, &host_state.plan)?;
        sysctls::set(&host_state.plan)
    }
}
