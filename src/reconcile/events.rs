//! Events of networks, as libvirt's hook reports them.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use virt_forward_policy::{
    self as policy,
    network::{KernelName, Network, XmlError},
};
use virt_forward_ruleset::table::ElementChanges;
use virt_forward_system::{
    libvirt::status,
    links,
    netlink::set_elements,
    state::{NetworkState, Record},
};

use crate::{
    Outcome, Report, Result, config_conflicts,
    members::{is_less_of, member},
    remove::RecordAfterClose,
    report::Effects,
    session::Session,
    sysctls::BridgeSysctls,
};

/// A run that took longer has used up much of [`virt_forward_system::state::STARTED_GRACE`].
const SLOW_RUN: Duration = Duration::from_millis(250);

impl Session<'_> {
    /// Handles `start`: records the network, closed, before its bridge exists. If the bridge exists
    /// already, libvirt refuses to start the network, and the bridge may be another network's.
    pub fn starting(&self, network: Network) -> Result<Report<()>> {
        let bridge = network
            .known_bridge()
            .filter(|bridge| !links::exists(bridge));
        let Some(bridge) = bridge else {
            return Ok(self.finish_interrupted()?.report(()));
        };
        let mut effects = Effects::default();
        if let Some(known) = self.store.record(&bridge)?
            && !(known.access.is_empty() && known.network.name == network.name)
        {
            // No hook was called when the last network with that bridge stopped.
            effects.then(self.close(&[known], RecordAfterClose::Forgotten)?);
        }
        let is_pending = self.store.is_pending();
        self.store.begin()?;
        let record = Record::closed(network, NetworkState::Starting);
        self.store.mark_unconfirmed(&bridge)?;
        self.store.write_record(&bridge, &record)?;
        let mut changes = ElementChanges::default();
        changes.extend(member(&record));
        let is_built = self.store.layout().is_some();
        if is_pending
            || is_built && set_elements::apply(&changes.elements(), self.deadline).is_err()
        {
            effects.then(self.rebuild(&[])?);
        } else {
            self.store.finish()?;
        }
        Ok(effects.report(()))
    }

    /// Handles `started`: opens the network as the configuration says.
    pub fn started(&self, network: Network) -> Result<Report<Outcome>> {
        let Some(bridge) = network.known_bridge() else {
            return Ok(self.finish_interrupted()?.report(Outcome::NotRouted));
        };
        if !links::has_bridge(&bridge) {
            let outcome = match links::exists(&bridge) {
                true => Outcome::NotABridge,
                false => Outcome::NotActive,
            };
            return Ok(self.finish_interrupted()?.report(outcome));
        }
        let began = Instant::now();
        let unused = self.unused();
        let mut record = Record::new(&policy::without(self.config(), &unused), network);
        let known = self.store.record(&bridge)?;
        let is_listed = status::is_active(&record.network.name, &bridge);
        let may_conflict = || {
            // A network that is starting was not compared with the configuration.
            let is_new = known
                .as_ref()
                .is_none_or(|known| known.state != NetworkState::Active);
            is_new && policy::may_conflict(self.config(), &unused, &record.network)
        };
        let part = match self.is_built_for_other_config() || may_conflict() {
            true => None,
            false => self.part_of_start(&record)?,
        };
        record.enabled = match (&part, &known) {
            (Some(part), _) => part.enabled.clone(),
            (None, Some(known)) => known.enabled.clone(),
            (None, None) => BTreeSet::new(),
        };
        let is_more = known
            .as_ref()
            .is_none_or(|known| is_less_of(known, &record));
        let mut effects = self.change(part.filter(|_| is_more), &[], |changes| {
            // Before the record, so that the record of a starting network always has a marker.
            match is_listed {
                Some(false) => self.store.mark_unconfirmed(&bridge)?,
                _ => self.store.mark_confirmed(&bridge)?,
            }
            self.store.write_record(&bridge, &record)?;
            changes.extend(member(&record));
            Ok(())
        })?;
        // A rebuild compares all networks, and may have granted less.
        let record = self.store.record(&bridge)?.unwrap_or(record);
        self.store.finish()?;
        effects.then(self.set_firewalld_peers()?.effects);
        if is_listed == Some(false) && began.elapsed() > SLOW_RUN {
            // libvirt writes the status file after this run, however long the run took.
            self.store.mark_unconfirmed(&bridge)?;
        }
        let unused = self.unused().of(&record.network);
        let networks = std::iter::once(&record.network);
        effects.warn(config_conflicts(self.config(), unused, networks));
        Ok(effects.report(Outcome::of_record(&record)))
    }

    /// Handles `updated`. libvirt calls the hook for networks that are not active, too.
    pub fn updated(&self, network: Network) -> Result<Report<Outcome>> {
        let Some(bridge) = network.known_bridge() else {
            return Ok(self.finish_interrupted()?.report(Outcome::NotRouted));
        };
        let is_known = || -> Result<bool> {
            let record = self.store.record(&bridge)?;
            Ok(record.is_some_and(|record| record.network.name == network.name))
        };
        if !status::is_active(&network.name, &bridge).map_or_else(is_known, Ok)? {
            return Ok(self.finish_interrupted()?.report(Outcome::NotActive));
        }
        self.started(network)
    }

    /// Handles `start` of a network without a known bridge: nothing external is let in until it has
    /// stopped.
    pub fn starting_unread(&self, name: &[u8], why: XmlError) -> Result<Report<Outcome>> {
        match status::of(name).flatten().is_some() {
            // libvirt does not start a network that is active.
            true => Ok(self.finish_interrupted()?.report(Outcome::NotActive)),
            false => self.close_external(name, why),
        }
    }

    /// Handles `started` (`starts`) and `updated` of a network whose definition tells no bridge. If
    /// libvirt's status file or a record has the bridge, the network is closed; if not, nothing external
    /// is let in until it has stopped.
    pub fn unreadable(&self, name: &[u8], why: XmlError, starts: bool) -> Result<Report<Outcome>> {
        let of_status = status::of(name).flatten().and_then(|network| network.ok());
        let known = match of_status {
            Some(network) => Some(network),
            None => {
                let mut records = self
                    .store
                    .records()?
                    .into_iter()
                    .map(|record| record.network);
                records.find(|network| network.name.as_bytes() == name)
            }
        };
        match known.filter(|network| {
            network
                .known_bridge()
                .is_some_and(|one| links::has_bridge(&one))
        }) {
            Some(network) => {
                let fault = Some(why);
                self.started(Network { fault, ..network })
            }
            None if starts || status::of(name).flatten().is_some() => {
                self.close_external(name, why)
            }
            None => Ok(self.finish_interrupted()?.report(Outcome::NotActive)),
        }
    }

    /// Handles `stopped`: closes the network. The record is found by the bridge, as libvirt passes the
    /// live definition to the hook, and without a bridge by the name alone.
    pub fn stopped(&self, name: &[u8], bridge: Option<&KernelName>) -> Result<Report<Outcome>> {
        let was_unreadable = self.forget_unread(name)?;
        let has_name = |record: &Record| record.network.name.as_bytes() == name;
        let records: Vec<_> = match bridge {
            // Another network may have the bridge now.
            Some(bridge) => self
                .store
                .record(bridge)?
                .into_iter()
                .filter(has_name)
                .collect(),
            None => self.store.records()?.into_iter().filter(has_name).collect(),
        };
        if !records.is_empty() {
            let effects = self.close(&records, RecordAfterClose::Forgotten)?;
            return Ok(effects.report(Outcome::Closed));
        }
        let effects = match was_unreadable {
            true => self.rebuild(&[])?,
            false => self.finish_interrupted()?,
        };
        Ok(effects.report(Outcome::AlreadyClosed))
    }

    /// Handles `started` under an invalid configuration: records the network, closed, so that it does
    /// not count as external.
    pub fn note(&self, network: Network) -> Result<Report<()>> {
        let mut effects = Effects::default();
        let Some(bridge) = network.known_bridge() else {
            return Ok(effects.report(()));
        };
        if !links::has_bridge(&bridge) {
            return Ok(effects.report(()));
        }
        match self.store.record(&bridge)? {
            Some(known) if known.network.name == network.name => {
                let runs = matches!(
                    known.state,
                    NetworkState::Active | NetworkState::AdminClosed
                );
                if runs && network.fault.is_none() {
                    return Ok(effects.report(()));
                }
                if !known.access.is_empty() {
                    effects.then(self.close(&[known], RecordAfterClose::Forgotten)?);
                }
            }
            // No hook was called when the last network with that bridge stopped.
            Some(known) => effects.then(self.close(&[known], RecordAfterClose::Forgotten)?),
            None => {}
        }
        let record = Record::closed(network, NetworkState::Active);
        effects.then(self.change(Some(BridgeSysctls::default()), &[], |changes| {
            self.store.mark_unconfirmed(&bridge)?;
            self.store.write_record(&bridge, &record)?;
            changes.extend(member(&record));
            Ok(())
        })?);
        self.store.finish()?;
        Ok(effects.report(()))
    }
}
