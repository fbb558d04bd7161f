//! Networks of which something is not known yet: whether libvirt has them active, or their bridge.
//!
//! ```text
//!  unconfirmed/BRIDGE.json   a network that is starting: libvirt has no status file of it yet
//!  unread.json               networks whose bridge is not known, while they are active
//! ```
//!
//! An event reads these few files, and not every record.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::store::{Store, json};
use crate::{Result, clock};
use virt_forward_policy::network::{KernelName, XmlError};

pub(super) const UNCONFIRMED: &str = "unconfirmed";
const UNREAD: &str = "unread.json";

/// The time after its `started` hook that a network may have no status file: libvirt writes it when all
/// hook scripts have returned (src/network/bridge_driver.c, `networkStartNetwork`).
pub const STARTED_GRACE: Duration = Duration::from_secs(2);

/// The time after its `start` hook that a network may have no bridge.
pub const START_GRACE: Duration = Duration::from_secs(60);

/// A network that is starting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unconfirmed {
    /// Its bridge.
    pub bridge: KernelName,
    /// The time of its last hook, in milliseconds since boot.
    since: u64,
}

impl Unconfirmed {
    /// The time since its last hook.
    pub fn age(&self) -> Duration {
        age(self.since)
    }
}

/// An active network whose bridge is not known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unread {
    /// The name as libvirt has it, which may not be UTF-8.
    pub name: Vec<u8>,
    /// Why its bridge is not known.
    pub why: XmlError,
    /// The time when that was found, in milliseconds since boot.
    since: u64,
}

impl Unread {
    /// A network of that name, found just now.
    pub fn new(name: &[u8], why: XmlError) -> Self {
        Self {
            name: name.to_owned(),
            why,
            since: now(),
        }
    }

    /// The time since it was found.
    pub fn age(&self) -> Duration {
        age(self.since)
    }

    /// The name, escaped for a terminal.
    pub fn shown(&self) -> String {
        virt_forward_policy::sanitize::escape(&String::from_utf8_lossy(&self.name))
    }
}

impl Store {
    /// Marks a network as starting or running without a status file of libvirt's.
    pub fn mark_unconfirmed(&self, bridge: &KernelName) -> Result<()> {
        let marker = Unconfirmed {
            bridge: bridge.clone(),
            since: now(),
        };
        self.write(marker_of(bridge), &json(&marker))
    }

    /// Removes the marker: libvirt has the network active, or its record is removed.
    pub fn mark_confirmed(&self, bridge: &KernelName) -> Result<()> {
        self.delete(marker_of(bridge))
    }

    /// The marker of the network with that bridge.
    pub fn unconfirmed_of(&self, bridge: &KernelName) -> Result<Option<Unconfirmed>> {
        self.read(&marker_of(bridge))
    }

    /// All markers. Removes invalid ones, as a rebuild compares every record.
    pub fn unconfirmed(&self) -> Result<Vec<Unconfirmed>> {
        let mut markers = Vec::new();
        for name in self.names(UNCONFIRMED)? {
            match self.read::<Unconfirmed>(&name)? {
                Some(marker) if marker_of(&marker.bridge) == name => markers.push(marker),
                _ => self.delete(name)?,
            }
        }
        Ok(markers)
    }

    /// Active networks whose bridge is not known.
    pub fn unread(&self) -> Result<Vec<Unread>> {
        Ok(self.read(Path::new(UNREAD))?.unwrap_or_default())
    }

    /// Stores them.
    pub fn set_unread(&self, unread: &[Unread]) -> Result<()> {
        match unread {
            [] => self.delete(UNREAD),
            _ => self.write(UNREAD, &json(&unread)),
        }
    }
}

fn marker_of(bridge: &KernelName) -> PathBuf {
    Path::new(UNCONFIRMED).join(format!("{}.json", bridge.file_stem()))
}

fn now() -> u64 {
    u64::try_from(clock::since_boot().as_millis()).unwrap_or(u64::MAX)
}

fn age(since: u64) -> Duration {
    Duration::from_millis(now().saturating_sub(since))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_network_is_unconfirmed_until_it_is_confirmed() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::at(dir.path().join("s"));
        store.create().unwrap();
        assert!(store.unconfirmed().unwrap().is_empty());
        let names = ["virbr0", "br@ev2", "virbr*"];
        let bridges = names.map(|name| name.parse::<KernelName>().unwrap());
        for bridge in &bridges {
            store.mark_unconfirmed(bridge).unwrap();
        }
        fs::write(store.dir().join("unconfirmed/x.json"), "{").unwrap();
        let seen: Vec<_> = store.unconfirmed().unwrap();
        assert_eq!(seen.len(), bridges.len());
        assert!(seen.iter().all(|one| bridges.contains(&one.bridge)));
        assert!(seen.iter().all(|one| one.age() < STARTED_GRACE));
        assert!(!store.dir().join("unconfirmed/x.json").exists());
        for bridge in &bridges {
            store.mark_confirmed(bridge).unwrap();
        }
        assert!(store.unconfirmed().unwrap().is_empty());
    }

    #[test]
    fn a_network_without_a_known_bridge_has_any_name() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::at(dir.path().join("s"));
        store.create().unwrap();
        let unread = [
            Unread::new(b"a\xff\n/..", XmlError::NameNotUtf8),
            Unread::new("größe".as_bytes(), XmlError::Truncated),
        ];
        store.set_unread(&unread).unwrap();
        assert_eq!(store.unread().unwrap(), unread);
        assert_eq!(unread[0].shown(), "a\u{fffd}\\n/..");
        store.set_unread(&[]).unwrap();
        assert!(store.unread().unwrap().is_empty());
    }
}
