//! Networks that libvirt has active, and those of which that cannot be said yet.
//!
//! Only what libvirt has active is open, as its status files tell. A network that starts has none
//! before its last hook script has returned: what `started` opens stays in doubt until the file is
//! there, and an event looks at what is in doubt, not at all records.

use std::{collections::BTreeSet, time::Duration};

use super::{Active, Drift, Outcome, Report, Run, member, remove::Afterwards, report::Effects};
use crate::{ConfigConflict, Result};
use virt_forward_policy::{
    config::Config,
    network::{KernelName, Network, XmlError},
};
use virt_forward_ruleset::table::Changes;
use virt_forward_system::{
    libvirt::status,
    links,
    netlink::set_elements,
    state::{NetworkState, Record, START_GRACE, STARTED_GRACE, Unread},
};

/// What is seen of a network that has a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    /// Its bridge is not there.
    NoBridge,
    /// libvirt has it active.
    Active,
    /// Its bridge is there, and libvirt does not have it active.
    Inactive,
    /// Its bridge is there, and libvirt keeps no status files.
    Unsaid,
}

/// What becomes of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It stays as it is, and in doubt if it was.
    Kept,
    /// It is forgotten.
    Forgotten,
    /// It stays in place with that state, beyond doubt where libvirt has it active.
    Becomes(NetworkState),
}

/// `age` tells how long ago a hook was called for a network that is in doubt.
fn fate(state: NetworkState, seen: Seen, age: Option<Duration>) -> Fate {
    let is_younger = |grace| age.is_some_and(|age| age < grace);
    match (seen, state) {
        (Seen::NoBridge, NetworkState::Starting) if is_younger(START_GRACE) => Fate::Kept,
        (Seen::NoBridge, _) => Fate::Forgotten,
        (Seen::Active, NetworkState::Unmanaged | NetworkState::AdminClosed) => Fate::Becomes(state),
        (Seen::Active, _) => Fate::Becomes(NetworkState::Active),
        (Seen::Inactive, NetworkState::Active) if is_younger(STARTED_GRACE) => Fate::Kept,
        (Seen::Inactive, NetworkState::Active | NetworkState::Unmanaged) => {
            Fate::Becomes(NetworkState::Inactive)
        }
        (Seen::Inactive, _) | (Seen::Unsaid, _) => Fate::Kept,
    }
}

impl From<Unread> for ConfigConflict {
    fn from(unread: Unread) -> Self {
        Self::UnknownBridge {
            network: String::from_utf8_lossy(&unread.name).into_owned(),
            why: unread.why,
        }
    }
}

impl Run<'_> {
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

    /// Notes a network whose bridge is not known.
    fn shut(&self, name: &[u8], why: XmlError) -> Result<Report<Outcome>> {
        self.add_unread(name, why.clone())?;
        let effects = match self.is_built_otherwise() {
            true => self.rebuild(&[])?,
            false => self.finish_interrupted()?,
        };
        Ok(effects.report(Outcome::UnknownBridge(why)))
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

    /// Whether the kernel has deleted the bridge of a network that libvirt is ending. The `stopped`
    /// hook is still to come.
    pub(super) fn is_ending(&self, bridge: &KernelName) -> bool {
        self.leaving.contains(bridge.as_str()) && !links::has(bridge)
    }

    /// Compares the records of networks in doubt, except the one that the run is about, with what
    /// libvirt has active. Every drift that it returns leaves the run pending, so that a rebuild follows.
    pub(super) fn settle(&self, event: Option<&str>) -> Result<Vec<Drift>> {
        let mut drift = Vec::new();
        for marker in self.store.unconfirmed()? {
            let bridge = &marker.bridge;
            let Some(record) = self.store.record(bridge)? else {
                self.store.confirm(bridge)?;
                continue;
            };
            if event == Some(&record.network.name) || self.is_ending(bridge) {
                continue;
            }
            let network = record.network.name.clone();
            let is_active = status::has(&network, bridge);
            let found = match fate(record.state, seen(bridge, is_active), Some(marker.age())) {
                Fate::Kept => continue,
                Fate::Forgotten => Drift::NetworkGone {
                    network,
                    bridge: bridge.clone(),
                },
                Fate::Becomes(NetworkState::Inactive) => Drift::NetworkInactive { network },
                Fate::Becomes(state) if record.state == state => {
                    self.store.confirm(bridge)?;
                    continue;
                }
                Fate::Becomes(_) => Drift::NetworkActive { network },
            };
            self.store.begin()?;
            drift.push(found);
        }
        let unread = self.store.unread()?;
        if !unread.is_empty() && self.drop_unread(unread)? {
            self.store.begin()?;
            drift.push(Drift::UnreadableNetworksChanged);
        }
        Ok(drift)
    }

    /// The records, each as it is written and as it has to stand by what libvirt has active. Those
    /// of networks whose bridges are gone are forgotten.
    pub(super) fn current(&self, active: Option<&Active>) -> Result<Vec<(Record, Record)>> {
        let mut records = Vec::new();
        for written in self.store.sound_records()? {
            let Some(bridge) = written.network.known_bridge() else {
                continue;
            };
            let mut record = written.clone();
            let is_active = active.map(|active| active.has(&record.network.name, &bridge));
            let age = self
                .store
                .unconfirmed_of(&bridge)?
                .map(|marker| marker.age());
            match fate(record.state, seen(&bridge, is_active), age) {
                Fate::Kept => {}
                Fate::Forgotten if self.is_ending(&bridge) => {}
                Fate::Forgotten => {
                    self.store.forget(&bridge)?;
                    continue;
                }
                Fate::Becomes(state) => record.state = state,
            }
            if is_active == Some(true) {
                self.store.confirm(&bridge)?;
            }
            records.push((written, record));
        }
        Ok(records)
    }

    /// Makes the records what `usable` would have them now.
    pub(super) fn renew_all(
        &self,
        current: Vec<(Record, Record)>,
        usable: &Config,
    ) -> Result<Vec<Record>> {
        let mut records = Vec::new();
        for (written, record) in current {
            let record = record.renewed(usable);
            if record != written
                && let Some(bridge) = record.network.known_bridge()
            {
                self.store.put(&bridge, &record)?;
            }
            records.push(record);
        }
        Ok(records)
    }

    /// Takes note of all active networks whose bridge is not known.
    pub(super) fn merge_unread(&self, active: &Active) -> Result<()> {
        for (name, why) in &active.unread {
            self.add_unread(name, why.clone())?;
        }
        Ok(())
    }

    /// Whether not all networks of these names are noted.
    pub(super) fn lacks_unread(&self, names: &BTreeSet<Vec<u8>>) -> Result<bool> {
        let known = self.store.unread()?;
        Ok(names
            .iter()
            .any(|name| known.iter().all(|one| one.name != *name)))
    }

    pub(super) fn add_unread(&self, name: &[u8], why: XmlError) -> Result<()> {
        let mut unread = self.store.unread()?;
        if !unread.iter().any(|one| one.name == name) {
            unread.push(Unread::new(name, why));
            self.store.set_unread(&unread)?;
        }
        self.is_shut.set(true);
        Ok(())
    }

    /// Whether a network of that name was one of them.
    pub(super) fn forget_unread(&self, name: &[u8]) -> Result<bool> {
        let unread = self.store.unread()?;
        let left: Vec<_> = unread
            .iter()
            .filter(|one| one.name != name)
            .cloned()
            .collect();
        let is_one = left.len() < unread.len();
        if is_one {
            self.store.begin()?;
            self.store.set_unread(&left)?;
        }
        self.is_shut.set(!left.is_empty());
        Ok(is_one)
    }

    /// Forgets those of them that libvirt does not have active, or that can be read now. Whether
    /// there were any.
    fn drop_unread(&self, unread: Vec<Unread>) -> Result<bool> {
        let is_unread = |one: &Unread| match status::of(&one.name) {
            Some(Some(network)) => network.is_err(),
            Some(None) => one.age() < START_GRACE,
            None => true,
        };
        let count = unread.len();
        let left: Vec<_> = unread.into_iter().filter(is_unread).collect();
        self.is_shut.set(!left.is_empty());
        if left.len() < count {
            self.store.set_unread(&left)?;
        }
        Ok(left.len() < count)
    }
}

fn seen(bridge: &KernelName, is_active: Option<bool>) -> Seen {
    match is_active {
        _ if !links::has(bridge) => Seen::NoBridge,
        Some(true) => Seen::Active,
        Some(false) => Seen::Inactive,
        None => Seen::Unsaid,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_libvirt_does_not_have_active_is_closed_once_its_start_must_be_over() {
        let (young, old) = (Some(Duration::ZERO), Some(STARTED_GRACE));
        let oldest = Some(START_GRACE);
        let (active, inactive) = (NetworkState::Active, NetworkState::Inactive);
        let (starting, unmanaged) = (NetworkState::Starting, NetworkState::Unmanaged);
        let closed = NetworkState::AdminClosed;
        for (state, seen, age, expected) in [
            (active, Seen::Active, young, Fate::Becomes(active)),
            (active, Seen::Active, None, Fate::Becomes(active)),
            (active, Seen::Inactive, young, Fate::Kept),
            (active, Seen::Inactive, old, Fate::Becomes(inactive)),
            (active, Seen::Inactive, None, Fate::Becomes(inactive)),
            (active, Seen::NoBridge, young, Fate::Forgotten),
            (active, Seen::Unsaid, None, Fate::Kept),
            (inactive, Seen::Active, old, Fate::Becomes(active)),
            (inactive, Seen::Inactive, old, Fate::Kept),
            (inactive, Seen::NoBridge, None, Fate::Forgotten),
            (starting, Seen::NoBridge, old, Fate::Kept),
            (starting, Seen::NoBridge, oldest, Fate::Forgotten),
            (starting, Seen::NoBridge, None, Fate::Forgotten),
            (starting, Seen::Inactive, oldest, Fate::Kept),
            (starting, Seen::Active, old, Fate::Becomes(active)),
            (unmanaged, Seen::Active, None, Fate::Becomes(unmanaged)),
            (unmanaged, Seen::Inactive, None, Fate::Becomes(inactive)),
            (closed, Seen::Active, young, Fate::Becomes(closed)),
            (closed, Seen::Inactive, old, Fate::Kept),
            (closed, Seen::NoBridge, None, Fate::Forgotten),
        ] {
            assert_eq!(
                fate(state, seen, age),
                expected,
                "{state:?} {seen:?} {age:?}"
            );
        }
    }
}
