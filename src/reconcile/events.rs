//! Events of networks, as libvirt's hook reports them.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use virt_forward_policy::{
    self as policy,
    network::{KernelName, Network, XmlError},
};
use virt_forward_ruleset::table::Changes;
use virt_forward_system::{
    libvirt::status,
    links,
    netlink::set_elements,
    state::{NetworkState, Record},
};

use crate::{
    Outcome, Report, Result, config_conflicts,
    members::{is_less_of, member},
    remove::Afterwards,
    report::Effects,
    session::Session,
    settings::Part,
};

/// A run that took longer has used up much of [`virt_forward_system::state::STARTED_GRACE`].
const SLOW_RUN: Duration = Duration::from_millis(250);

impl Session<'_> {
    /// A network is about to start: its bridge is known, and closed, before it exists. If it
    /// exists already, libvirt refuses to start the network, and the bridge may be another's.
    pub fn starting(&self, network: Network) -> Result<Report<()>> {
        let bridge = network.known_bridge().filter(|bridge| !links::has(bridge));
        let Some(bridge) = bridge else {
            return Ok(self.finish_interrupted()?.report(()));
        };
        let mut effects = Effects::default();
        if let Some(known) = self.store.record(&bridge)?
            && !(known.access.is_none() && known.network.name == network.name)
        {
            // No hook was called when the last network with that bridge stopped.
            effects.then(self.close(&[known], Afterwards::Forgotten)?);
        }
        let is_pending = self.store.is_pending();
        self.store.begin()?;
        let record = Record::closed(network, NetworkState::Starting);
        self.store.doubt(&bridge)?;
        self.store.put(&bridge, &record)?;
        let mut changes = Changes::default();
        changes.extend(member(&record));
        let is_built = self.store.layout().is_some();
        if is_pending
            || is_built && set_elements::change(&changes.elements(), self.deadline).is_err()
        {
            effects.then(self.rebuild(&[])?);
        } else {
            self.store.finish()?;
        }
        Ok(effects.report(()))
    }

    /// A network has started, or its definition has changed.
    pub fn started(&self, network: Network) -> Result<Report<Outcome>> {
        let Some(bridge) = network.known_bridge() else {
            return Ok(self.finish_interrupted()?.report(Outcome::NotRouted));
        };
        if !links::has_bridge(&bridge) {
            let outcome = match links::has(&bridge) {
                true => Outcome::NotABridge,
                false => Outcome::NotActive,
            };
            return Ok(self.finish_interrupted()?.report(outcome));
        }
        let began = Instant::now();
        let unused = self.unused();
        let mut record = Record::new(&policy::without(self.config(), &unused), network);
        let known = self.store.record(&bridge)?;
        let is_listed = status::has(&record.network.name, &bridge);
        let may_conflict = || {
            // Closed at its `start`, it has not been held against the config before.
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
            // First, so that no record of a network that starts is without.
            match is_listed {
                Some(false) => self.store.doubt(&bridge)?,
                _ => self.store.confirm(&bridge)?,
            }
            self.store.put(&bridge, &record)?;
            changes.extend(member(&record));
            Ok(())
        })?;
        // If everything was rebuilt, it may be open for less than it seemed at first.
        let record = self.store.record(&bridge)?.unwrap_or(record);
        self.store.finish()?;
        effects.then(self.set_firewalld_peers()?.effects);
        if is_listed == Some(false) && began.elapsed() > SLOW_RUN {
            // libvirt writes the status file after this run, however long the run took.
            self.store.doubt(&bridge)?;
        }
        let unused = self.unused().of(&record.network);
        let networks = std::iter::once(&record.network);
        effects.warn(config_conflicts(self.config(), unused, networks));
        Ok(effects.report(Outcome::of_record(&record)))
    }

    /// The definition of a network has changed. libvirt says so of those that are not active, too.
    pub fn updated(&self, network: Network) -> Result<Report<Outcome>> {
        let Some(bridge) = network.known_bridge() else {
            return Ok(self.finish_interrupted()?.report(Outcome::NotRouted));
        };
        let is_known = || -> Result<bool> {
            let record = self.store.record(&bridge)?;
            Ok(record.is_some_and(|record| record.network.name == network.name))
        };
        if !status::has(&network.name, &bridge).map_or_else(is_known, Ok)? {
            return Ok(self.finish_interrupted()?.report(Outcome::NotActive));
        }
        self.started(network)
    }

    /// A network is about to start whose definition tells no bridge: nothing is outside until it
    /// has ended.
    pub fn starting_unread(&self, name: &[u8], why: XmlError) -> Result<Report<Outcome>> {
        match status::of(name).flatten().is_some() {
            // libvirt does not start what is active.
            true => Ok(self.finish_interrupted()?.report(Outcome::NotActive)),
            false => self.shut(name, why),
        }
    }

    /// A network runs or has changed whose definition tells no bridge. If libvirt or a
    /// record tells it, the network is closed; if not, nothing is outside until it ends.
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
            None if starts || status::of(name).flatten().is_some() => self.shut(name, why),
            None => Ok(self.finish_interrupted()?.report(Outcome::NotActive)),
        }
    }

    /// The network of that name has stopped. Its bridge tells which record is its: what libvirt
    /// hands to the hook is still the live definition. Without a bridge the name alone has to do.
    pub fn stopped(&self, name: &[u8], bridge: Option<&KernelName>) -> Result<Report<Outcome>> {
        let is_anew = self.forget_unread(name)?;
        let is_its = |record: &Record| record.network.name.as_bytes() == name;
        let records: Vec<_> = match bridge {
            // Another network may have the bridge now.
            Some(bridge) => self
                .store
                .record(bridge)?
                .into_iter()
                .filter(is_its)
                .collect(),
            None => self.store.records()?.into_iter().filter(is_its).collect(),
        };
        if !records.is_empty() {
            let effects = self.close(&records, Afterwards::Forgotten)?;
            return Ok(effects.report(Outcome::Closed));
        }
        let effects = match is_anew {
            true => self.rebuild(&[])?,
            false => self.finish_interrupted()?,
        };
        Ok(effects.report(Outcome::AlreadyClosed))
    }

    /// A network has started under a config that is wrong. It is closed, and known: what the
    /// table lets out to a subnet or in from one is not meant for it.
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
                if !known.access.is_none() {
                    effects.then(self.close(&[known], Afterwards::Forgotten)?);
                }
            }
            // No hook was called when the last network with that bridge stopped.
            Some(known) => effects.then(self.close(&[known], Afterwards::Forgotten)?),
            None => {}
        }
        let record = Record::closed(network, NetworkState::Active);
        effects.then(self.change(Some(Part::default()), &[], |changes| {
            self.store.doubt(&bridge)?;
            self.store.put(&bridge, &record)?;
            changes.extend(member(&record));
            Ok(())
        })?);
        self.store.finish()?;
        Ok(effects.report(()))
    }
}
