//! Sysctls that were changed, with their original values.
//!
//! ```text
//!  settings/INTERFACE.json   those of one interface, or of `all`
//!  basis.json                facts that concern all networks
//! ```
//!
//! There is one file for each interface, so that an event reads and writes only that of its own bridge.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::ErrorKind::NotFound,
    path::{Path, PathBuf},
};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::store::{Store, json, make, state, trust};
use crate::Result;
use virt_forward_policy::network::KernelName;
use virt_forward_ruleset::sysctls::SavedSysctl;

const SETTINGS: &str = "settings";
/// The temporary name of the folder while it is created.
const NEW: &str = "settings.new";
const BASIS: &str = "basis.json";
/// The file for all interfaces of earlier versions.
const SINGLE_FILE: &str = "sysctls.json";

/// Facts about the host when the table was built that concern all networks. While they hold, an event
/// depends only on its own network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Basis {
    /// The switches that forward packets of any interface; none if no sysctl was changed.
    pub switches: Option<Switches>,
    /// Interfaces with changed sysctls that serve several networks: uplinks, and `all`.
    pub shared: BTreeSet<String>,
    /// The external subnets whose routes were read.
    pub outside: BTreeSet<IpNet>,
    /// Some routing rule depends on the source address, so networks may have different routes.
    pub is_by_source: bool,
}

/// Whether the host forwards all packets of a family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Switches {
    /// `net.ipv4.ip_forward`
    pub ipv4: bool,
    /// `net.ipv6.conf.all.forwarding`
    pub ipv6: bool,
}

impl Basis {
    /// Whether the routes to these subnets were read, for replies of any network.
    pub fn has_ways_to<'a>(&self, mut outside: impl Iterator<Item = &'a IpNet>) -> bool {
        !self.is_by_source && outside.all(|net| self.outside.contains(net))
    }
}

impl Store {
    /// Creates the folder, from the file of an earlier version if there is one.
    pub(super) fn create_settings(&self) -> Result<()> {
        let dir = self.dir.join(SETTINGS);
        if dir.symlink_metadata().is_ok() {
            return trust(&dir);
        }
        let single = self.read::<Vec<SavedSysctl>>(Path::new(SINGLE_FILE))?;
        let Some(changed) = single else {
            return make(dir);
        };
        // A run that is killed before the folder is renamed leaves the old file.
        let new = self.dir.join(NEW);
        match fs::remove_dir_all(&new) {
            Err(why) if why.kind() != NotFound => return Err(state("remove", new, why)),
            _ => {}
        }
        make(new.clone())?;
        for (interface, changed) in by_interface(&changed) {
            self.write(Path::new(NEW).join(name_of(interface)), &json(&changed))?;
        }
        fs::rename(&new, &dir).map_err(|why| state("move", new, why))?;
        self.delete(SINGLE_FILE)
    }

    /// All sysctls that were changed. Those of `all` come last, as they are changed last and restored
    /// first.
    pub fn saved_sysctls(&self) -> Result<Vec<SavedSysctl>> {
        let mut names = self.names(SETTINGS)?;
        let rank = |name: &PathBuf| name.file_stem().is_some_and(|stem| stem == "all");
        names.sort_unstable_by(|a, b| (rank(a), a).cmp(&(rank(b), b)));
        let mut all = Vec::new();
        for name in names {
            all.extend(self.read::<Vec<SavedSysctl>>(&name)?.into_iter().flatten());
        }
        Ok(all)
    }

    /// Those of one interface.
    pub fn saved_sysctls_of(&self, interface: &str) -> Result<Vec<SavedSysctl>> {
        Ok(self.read(&file_of(interface))?.unwrap_or_default())
    }

    /// Stores all changed sysctls with their original values, before the changes, so that none is lost.
    pub fn save_sysctls(&self, changed: &[SavedSysctl]) -> Result<()> {
        let wanted = by_interface(changed);
        let files: BTreeSet<_> = wanted.keys().map(|interface| file_of(interface)).collect();
        for name in self.names(SETTINGS)? {
            if !files.contains(&name) {
                self.delete(name)?;
            }
        }
        for (interface, changed) in wanted {
            if self.saved_sysctls_of(interface)? != changed {
                self.write(file_of(interface), &json(&changed))?;
            }
        }
        Ok(())
    }

    /// Stores those of one interface.
    pub fn save_sysctls_of(&self, interface: &str, changed: &[SavedSysctl]) -> Result<()> {
        match changed {
            [] => self.delete(file_of(interface)),
            _ if self.saved_sysctls_of(interface)? == changed => Ok(()),
            _ => self.write(file_of(interface), &json(&changed)),
        }
    }

    /// The facts that the table was built on; none if an earlier version built it.
    pub fn basis(&self) -> Result<Option<Basis>> {
        self.read(Path::new(BASIS))
    }

    /// Stores those facts.
    pub fn set_basis(&self, basis: &Basis) -> Result<()> {
        self.write(BASIS, &json(basis))
    }

    /// Removes both.
    pub(super) fn remove_settings(&self) -> Result<()> {
        self.delete(BASIS)?;
        self.save_sysctls(&[])
    }
}

fn by_interface(changed: &[SavedSysctl]) -> BTreeMap<&str, Vec<SavedSysctl>> {
    let mut all: BTreeMap<&str, Vec<SavedSysctl>> = BTreeMap::new();
    for one in changed {
        all.entry(one.key.interface())
            .or_default()
            .push(one.clone());
    }
    all
}

fn file_of(interface: &str) -> PathBuf {
    Path::new(SETTINGS).join(name_of(interface))
}

/// An interface of a [`Key`](virt_forward_ruleset::sysctls::Key) may have any name that the kernel takes.
fn name_of(interface: &str) -> String {
    format!("{}.json", KernelName::stem_of(interface))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(interface: &str, family: &str, setting: &str) -> SavedSysctl {
        let key = ["net", family, "conf", interface, setting];
        let key = serde_json::to_string(&key).unwrap();
        let text = format!(r#"{{"key":{key},"was":"0","set":"1","was_host_wide":false}}"#);
        serde_json::from_str(&text).unwrap()
    }

    fn store() -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::at(dir.path().join("s"));
        store.create().unwrap();
        (dir, store)
    }

    fn files(store: &Store) -> Vec<String> {
        let dir = fs::read_dir(store.dir().join(SETTINGS)).unwrap();
        let names = dir.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    }

    #[test]
    fn each_interface_has_a_file_and_all_of_them_come_last() {
        let (_dir, store) = store();
        let all = changed("all", "ipv6", "forwarding");
        let uplink = changed("eth0", "ipv6", "accept_ra");
        let bridge = [
            changed("br.5", "ipv4", "forwarding"),
            changed("br.5", "ipv6", "force_forwarding"),
        ];
        let odd = changed("a%\u{e9}", "ipv4", "forwarding");
        let set = [&[all.clone(), uplink.clone(), odd.clone()], &bridge[..]].concat();
        store.save_sysctls(&set).unwrap();
        assert_eq!(
            files(&store),
            ["a%25%c3%a9.json", "all.json", "br.5.json", "eth0.json"]
        );
        assert_eq!(store.saved_sysctls_of("br.5").unwrap(), bridge);
        let got = store.saved_sysctls().unwrap();
        assert_eq!((got.len(), got.last()), (5, Some(&all)));
        store.save_sysctls_of("br.5", &bridge[..1]).unwrap();
        store.save_sysctls_of("eth0", &[]).unwrap();
        store.save_sysctls_of("eth0", &[]).unwrap();
        assert_eq!(
            store.saved_sysctls().unwrap(),
            [odd, bridge[0].clone(), all.clone()]
        );
        store.save_sysctls(std::slice::from_ref(&all)).unwrap();
        assert_eq!(files(&store), ["all.json"]);
        store.reset_kernel_state().unwrap();
        assert!(files(&store).is_empty());
    }

    #[test]
    fn the_file_of_an_earlier_version_is_taken_over_once() {
        let (_dir, store) = store();
        let old = [
            changed("br0", "ipv4", "forwarding"),
            changed("all", "ipv6", "forwarding"),
        ];
        let dir = store.dir().join(SETTINGS);
        let single = store.dir().join(SINGLE_FILE);
        fs::remove_dir(&dir).unwrap();
        // A run that was killed in the middle.
        fs::create_dir(store.dir().join(NEW)).unwrap();
        fs::write(store.dir().join(NEW).join("gone.json"), "[").unwrap();
        fs::write(&single, json(&old)).unwrap();
        store.create().unwrap();
        assert_eq!(store.saved_sysctls().unwrap(), old);
        assert_eq!(files(&store), ["all.json", "br0.json"]);
        assert!(!single.exists() && !store.dir().join(NEW).exists());
        // What an earlier version leaves after that is not believed: its table is gone.
        fs::write(&single, "[]").unwrap();
        store.create().unwrap();
        assert_eq!(store.saved_sysctls().unwrap(), old);
    }

    #[test]
    fn a_basis_says_whose_routes_were_read() {
        let (_dir, store) = store();
        assert_eq!(store.basis().unwrap(), None);
        let lan: IpNet = "192.168.0.0/24".parse().unwrap();
        let v6: IpNet = "fd00::/64".parse().unwrap();
        let mut basis = Basis {
            outside: BTreeSet::from([lan]),
            ..Basis::default()
        };
        store.set_basis(&basis).unwrap();
        assert_eq!(store.basis().unwrap(), Some(basis.clone()));
        assert!(basis.has_ways_to([lan].iter()) && basis.has_ways_to([].iter()));
        assert!(!basis.has_ways_to([lan, v6].iter()));
        basis.is_by_source = true;
        assert!(!basis.has_ways_to([lan].iter()));
    }
}
