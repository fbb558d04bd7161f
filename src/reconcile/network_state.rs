//! The states of recorded networks, compared with what libvirt has active.
//!
//! Only what libvirt has active is open, and libvirt's status files say what that is. A network that
//! starts has none before its last hook script has returned: what `started` opens is unconfirmed until
//! the file exists, and an event looks at unconfirmed networks only, not at all records.

use std::time::Duration;

use virt_forward_policy::{config::Config, network::KernelName};
use virt_forward_system::{
    libvirt::status::{self, Active},
    links,
    state::{NetworkState, Record, START_GRACE, STARTED_GRACE},
};

use crate::{Drift, Result, session::Session};

/// The observed state of a recorded network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// Its bridge does not exist.
    NoBridge,
    /// libvirt has it active.
    Active,
    /// Its bridge exists, and libvirt does not have it active.
    Inactive,
    /// Its bridge exists, and no status file says whether libvirt has it active.
    NoStatus,
}

/// What becomes of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It stays as it is, confirmed or not.
    Kept,
    /// It is removed.
    Forgotten,
    /// It gets that state, and is confirmed if libvirt has the network active.
    Becomes(NetworkState),
}

/// The drift of a record; `seen` is what is observed of its network, and `age` the time since its last
/// hook, if it is unconfirmed.
pub(crate) fn network_drift(
    record: &Record,
    bridge: &KernelName,
    seen: Seen,
    age: Option<Duration>,
) -> Option<Drift> {
    let network = record.network.name.clone();
    match fate(record.state, seen, age) {
        Fate::Forgotten => Some(Drift::NetworkGone {
            network,
            bridge: bridge.clone(),
        }),
        Fate::Becomes(state) if state == record.state => None,
        Fate::Becomes(NetworkState::Inactive) => Some(Drift::NetworkInactive { network }),
        Fate::Becomes(_) => Some(Drift::NetworkActive { network }),
        Fate::Kept => None,
    }
}

/// Decides what becomes of a record. `age` is the time since the last hook of an unconfirmed network.
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
        (Seen::Inactive, _) | (Seen::NoStatus, _) => Fate::Kept,
    }
}

impl Session<'_> {
    /// Whether the bridge of a network that libvirt is stopping has been deleted. The `stopped` hook
    /// follows.
    pub(super) fn is_ending(&self, bridge: &KernelName) -> bool {
        self.stopping.contains(bridge.as_str()) && !links::exists(bridge)
    }

    /// Compares the records of unconfirmed networks, except the one that the event is about, with what
    /// libvirt has active. The run is pending then if there is any drift, so that a rebuild follows.
    pub(super) fn unconfirmed_drift(&self, event: Option<&str>) -> Result<Vec<Drift>> {
        let mut drift = Vec::new();
        for marker in self.store.unconfirmed()? {
            let bridge = &marker.bridge;
            let Some(record) = self.store.record(bridge)? else {
                self.store.mark_confirmed(bridge)?;
                continue;
            };
            if event == Some(&record.network.name) || self.is_ending(bridge) {
                continue;
            }
            let is_active = status::is_active(&record.network.name, bridge);
            let seen = seen(bridge, is_active);
            match network_drift(&record, bridge, seen, Some(marker.age())) {
                Some(found) => {
                    self.store.begin()?;
                    drift.push(found);
                }
                None if seen == Seen::Active => self.store.mark_confirmed(bridge)?,
                None => {}
            }
        }
        let unread = self.store.unread()?;
        if !unread.is_empty() && self.drop_unread(unread)? {
            self.store.begin()?;
            drift.push(Drift::UnreadableNetworksChanged);
        }
        Ok(drift)
    }

    /// All records, each as it is stored and with the state that follows from what libvirt has active.
    /// Removes the records of networks without a bridge.
    pub(super) fn current(&self, active: Option<&Active>) -> Result<Vec<(Record, Record)>> {
        let mut records = Vec::new();
        for written in self.store.load_and_repair_records()? {
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
                    self.store.remove_record(&bridge)?;
                    continue;
                }
                Fate::Becomes(state) => record.state = state,
            }
            if is_active == Some(true) {
                self.store.mark_confirmed(&bridge)?;
            }
            records.push((written, record));
        }
        Ok(records)
    }

    /// Renews the records under `usable`.
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
                self.store.write_record(&bridge, &record)?;
            }
            records.push(record);
        }
        Ok(records)
    }
}

fn seen(bridge: &KernelName, is_active: Option<bool>) -> Seen {
    match is_active {
        _ if !links::exists(bridge) => Seen::NoBridge,
        Some(true) => Seen::Active,
        Some(false) => Seen::Inactive,
        None => Seen::NoStatus,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_that_libvirt_does_not_have_active_is_closed_after_a_grace_period() {
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
            (active, Seen::NoStatus, None, Fate::Kept),
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
