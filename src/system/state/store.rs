//! The state folder and its records of networks.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs::{self, DirBuilder, DirEntry, File, OpenOptions},
    io::{
        self,
        ErrorKind::{AlreadyExists, DirectoryNotEmpty, NotFound},
        Write,
    },
    mem::MaybeUninit,
    os::unix::{
        ffi::OsStrExt,
        fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    },
    path::{Path, PathBuf},
};

use rustix::fs::{Mode, OFlags, RawDir};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{Layout, Record, unconfirmed};
use crate::{Error, Result};
use virt_forward_policy::network::KernelName;

const OPEN: &str = "open";
const CLOSED: &str = "closed";
/// The size of the buffer for file names: enough for some fifty.
const NAMES: usize = 2048;
/// `S_IWGRP`, `S_IWOTH`
const OTHERS_WRITE: u32 = 0o022;
pub(super) const LOCK: &str = "lock";
const PENDING: &str = "pending";
const LAYOUT: &str = "layout.json";
const BUILT: &str = "built";
const FIREWALLD: &str = "firewalld.json";

/// The rules that were set in firewalld's policy object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirewalldRules {
    /// The kernel's handle of firewalld's table at that time.
    pub table: u64,
    /// The rich rules.
    pub rules: Vec<String>,
}

/// The state folder.
#[derive(Clone, Debug)]
pub struct Store {
    pub(super) dir: PathBuf,
}

impl Store {
    /// The folder at `dir`, which need not exist yet.
    pub fn at(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// The path of the folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Whether the folder exists.
    pub fn exists(&self) -> bool {
        self.dir.exists()
    }

    /// Creates the folder and its subfolders. The caller holds the lock.
    pub fn create(&self) -> Result<()> {
        make(self.dir.clone())?;
        make(self.dir.join(OPEN))?;
        make(self.dir.join(CLOSED))?;
        make(self.dir.join(unconfirmed::UNCONFIRMED))?;
        self.create_settings()
    }

    /// Marks the beginning of a run's changes.
    pub fn begin(&self) -> Result<()> {
        self.write(PENDING, "")
    }

    /// Marks the end of a run's changes.
    pub fn finish(&self) -> Result<()> {
        self.delete(PENDING)
    }

    /// Whether a run was interrupted, or failed.
    pub fn is_pending(&self) -> bool {
        self.dir.join(PENDING).exists()
    }

    /// The configuration and the host that the table was built for; none without a table.
    pub fn layout(&self) -> Option<Layout> {
        let text = fs::read_to_string(self.dir.join(LAYOUT));
        text.ok().map(Layout::from)
    }

    /// Stores the configuration and the host that the table is built for.
    pub fn set_layout(&self, layout: &Layout) -> Result<()> {
        self.write(LAYOUT, layout.as_str())
    }

    /// The fingerprint of the table that was built.
    pub fn table_fingerprint(&self) -> Option<String> {
        fs::read_to_string(self.dir.join(BUILT)).ok()
    }

    /// Stores the fingerprint.
    pub fn set_table_fingerprint(&self, built: &str) -> Result<()> {
        self.write(BUILT, built)
    }

    /// The network with that bridge. An invalid file counts as none: the next network with that bridge
    /// replaces it.
    pub fn record(&self, bridge: &KernelName) -> Result<Option<Record>> {
        match self.read(&file(OPEN, bridge))? {
            None => self.read(&file(CLOSED, bridge)),
            found => Ok(found),
        }
    }

    /// All networks, ordered by bridge.
    pub fn records(&self) -> Result<Vec<Record>> {
        let mut names = self.names(OPEN)?;
        names.extend(self.names(CLOSED)?);
        names.sort_unstable_by(|a, b| a.file_name().cmp(&b.file_name()));
        let records = names.iter().map(|name| self.read(name));
        records.filter_map(Result::transpose).collect()
    }

    /// Whether any network is open.
    pub fn is_any_open(&self) -> Result<bool> {
        self.are_more_in_than(&[OPEN], 0)
    }

    /// Whether more than `count` networks are recorded.
    pub fn are_more_known_than(&self, count: usize) -> Result<bool> {
        self.are_more_in_than(&[OPEN, CLOSED], count)
    }

    /// Lists no more files than necessary, as this is part of each event.
    fn are_more_in_than(&self, folders: &[&'static str], count: usize) -> Result<bool> {
        let mut seen = 0;
        for folder in folders {
            self.each_name(folder, &mut |_| {
                seen += 1;
                seen <= count
            })?;
        }
        Ok(seen > count)
    }

    /// The first open network for which `is_it` is true.
    pub fn find_open(&self, mut is_it: impl FnMut(&Record) -> bool) -> Result<Option<Record>> {
        let mut found = Ok(None);
        self.each_name(OPEN, &mut |name| {
            found = self.read::<Record>(&name);
            if let Ok(record) = &mut found {
                *record = record.take().filter(&mut is_it);
            }
            found.as_ref().is_ok_and(Option::is_none)
        })?;
        found
    }

    /// The files of open networks.
    pub fn open(&self) -> Result<Vec<PathBuf>> {
        self.names(OPEN)
    }

    /// Stores a network in place of any record of the same bridge.
    pub fn write_record(&self, bridge: &KernelName, record: &Record) -> Result<()> {
        let folder = folder_of(record);
        let other = if folder == OPEN { CLOSED } else { OPEN };
        // A run that is killed in between leaves the old record in the new place, and not two records.
        self.rename(&file(other, bridge), &file(folder, bridge))?;
        self.write(file(folder, bridge), &json(record))
    }

    /// Removes the record of the network with that bridge.
    pub fn remove_record(&self, bridge: &KernelName) -> Result<()> {
        self.mark_confirmed(bridge)?;
        self.delete(file(OPEN, bridge))?;
        self.delete(file(CLOSED, bridge))
    }

    /// As [`records`](Self::records), for a rebuild. Removes invalid files and those of another bridge,
    /// which no event would remove, and moves records that an interrupted run left in the wrong folder.
    pub fn load_and_repair_records(&self) -> Result<Vec<Record>> {
        let mut sound: BTreeMap<KernelName, (PathBuf, Record)> = BTreeMap::new();
        for name in [self.names(CLOSED)?, self.names(OPEN)?].concat() {
            let record = self.read::<Record>(&name)?;
            let stem = name.file_stem().and_then(OsStr::to_str);
            let found = record.and_then(|record| Some((record.network.known_bridge()?, record)));
            match found.filter(|(bridge, _)| Some(bridge.file_stem().as_str()) == stem) {
                Some((bridge, record)) => {
                    if let Some((twin, _)) = sound.insert(bridge, (name, record)) {
                        self.delete(twin)?;
                    }
                }
                None => self.delete(name)?,
            }
        }
        let sound = sound.into_iter().map(|(bridge, (name, record))| {
            let right = file(folder_of(&record), &bridge);
            if name != right {
                self.rename(&name, &right)?;
            }
            Ok(record)
        });
        sound.collect()
    }

    /// The rules that were set in firewalld's policy object last.
    pub fn firewalld(&self) -> Result<Option<FirewalldRules>> {
        self.read(Path::new(FIREWALLD))
    }

    /// Stores those rules; none if they were removed.
    pub fn set_firewalld(&self, rules: Option<&FirewalldRules>) -> Result<()> {
        match rules {
            Some(rules) => self.write(FIREWALLD, &json(rules)),
            None => self.delete(FIREWALLD),
        }
    }

    /// Removes what is stored of the table and of sysctls; the records of networks stay.
    pub fn reset_kernel_state(&self) -> Result<()> {
        self.delete(LAYOUT)?;
        self.delete(BUILT)?;
        self.remove_settings()
    }

    /// Removes the folder and the lock in it: a process that waits for the lock creates a new folder.
    /// The lock is removed last, so that no other run begins before. If another run takes a new lock
    /// before the folder is removed, the folder stays.
    pub fn destroy(&self) -> Result<()> {
        let failed = |why| state("remove", self.dir.clone(), why);
        if self.dir.is_symlink() {
            trust(&self.dir)?;
        }
        let entries = match fs::read_dir(&self.dir) {
            Err(why) if why.kind() == NotFound => return Ok(()),
            entries => entries.map_err(failed)?,
        };
        for entry in entries.flatten().filter(|entry| entry.file_name() != LOCK) {
            remove_whole(&entry).map_err(failed)?;
        }
        self.delete(LOCK)?;
        match fs::remove_dir(&self.dir) {
            Err(why) if ![NotFound, DirectoryNotEmpty].contains(&why.kind()) => Err(failed(why)),
            _ => Ok(()),
        }
    }

    /// The records in a folder.
    pub(super) fn names(&self, folder: &'static str) -> Result<Vec<PathBuf>> {
        let mut names = Vec::new();
        self.each_name(folder, &mut |name| {
            names.push(name);
            true
        })?;
        Ok(names)
    }

    /// Passes the names of records in a folder to `each` until it returns false. Skips the temporary
    /// files of killed runs.
    fn each_name(&self, folder: &'static str, each: &mut dyn FnMut(PathBuf) -> bool) -> Result<()> {
        let dir = self.dir.join(folder);
        let is_record = |name: &OsStr| Path::new(name).extension().is_some_and(|ext| ext == "json");
        let mut each = |name: &OsStr| !is_record(name) || each(Path::new(folder).join(name));
        match each_entry(&dir, &mut each) {
            Err(why) if why.kind() != NotFound => Err(state("read", dir, why)),
            _ => Ok(()),
        }
    }

    /// The value of a file; none if there is no such file or it is invalid. A file that cannot be read
    /// is an error: as none, it would close a network, or leave a sysctl changed forever.
    pub(super) fn read<T: DeserializeOwned>(&self, name: &Path) -> Result<Option<T>> {
        let path = self.dir.join(name);
        match fs::read(&path) {
            Err(why) if why.kind() == NotFound => Ok(None),
            Err(why) => Err(state("read", path, why)),
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
        }
    }

    /// Writes a file atomically.
    pub(super) fn write(&self, name: impl AsRef<Path>, text: &str) -> Result<()> {
        let path = self.dir.join(name);
        let new = path.with_extension("new");
        let write = || {
            let mut file = private(&new)?;
            file.write_all(text.as_bytes())?;
            fs::rename(&new, &path)
        };
        write().map_err(|why| state("write", path.clone(), why))
    }

    /// Renames a file, if it exists.
    pub(super) fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        let from = self.dir.join(from);
        match fs::rename(&from, self.dir.join(to)) {
            Err(why) if why.kind() != NotFound => Err(state("move", from, why)),
            _ => Ok(()),
        }
    }

    pub(super) fn delete(&self, name: impl AsRef<Path>) -> Result<()> {
        let path = self.dir.join(name);
        match fs::remove_file(&path) {
            Err(why) if why.kind() != NotFound => Err(state("remove", path, why)),
            _ => Ok(()),
        }
    }
}

fn folder_of(record: &Record) -> &'static str {
    match record.access.is_empty() {
        true => CLOSED,
        false => OPEN,
    }
}

fn file(folder: &str, bridge: &KernelName) -> PathBuf {
    Path::new(folder).join(format!("{}.json", bridge.file_stem()))
}

/// The types of this module are maps, lists and texts, which always have a JSON form.
pub(super) fn json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// Creates a folder that only root can read, as it contains the names of networks.
pub(super) fn make(dir: PathBuf) -> Result<()> {
    match DirBuilder::new().mode(0o700).create(&dir) {
        Err(why) if why.kind() == AlreadyExists => trust(&dir),
        made => made.map_err(|why| state("make", dir, why)),
    }
}

/// Checks that only this user can write to a folder: its content becomes rules, and writes must not be
/// redirected.
pub(super) fn trust(dir: &Path) -> Result<()> {
    let failed = |why| state("use", dir.to_owned(), why);
    let found = match fs::symlink_metadata(dir) {
        // The run that held the lock has just removed it.
        Err(why) if why.kind() == NotFound => return Ok(()),
        found => found.map_err(failed)?,
    };
    let fault = if found.is_symlink() {
        "is a symbolic link"
    } else if !found.is_dir() {
        "is not a directory"
    } else if found.uid() != rustix::process::geteuid().as_raw() {
        "is not owned by root"
    } else if found.mode() & OTHERS_WRITE != 0 {
        "is group- or world-writable"
    } else {
        return Ok(());
    };
    let what = format!("it {fault}. hint: remove it, and run virt-forward apply");
    Err(failed(io::Error::other(what)))
}

/// Passes the names in a folder to `each` until it returns false. Reads some dozens of names at a time,
/// and not a thousand as `std::fs::read_dir`.
fn each_entry(dir: &Path, each: &mut dyn FnMut(&OsStr) -> bool) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = rustix::fs::open(dir, flags, Mode::empty())?;
    let mut buffer = [MaybeUninit::uninit(); NAMES];
    let mut entries = RawDir::new(folder, &mut buffer);
    while let Some(entry) = entries.next() {
        let entry = entry?;
        if !each(OsStr::from_bytes(entry.file_name().to_bytes())) {
            break;
        }
    }
    Ok(())
}

fn remove_whole(entry: &DirEntry) -> io::Result<()> {
    match entry.file_type()?.is_dir() {
        true => fs::remove_dir_all(entry.path()),
        false => fs::remove_file(entry.path()),
    }
}

fn private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    options.custom_flags(libc::O_NOFOLLOW).open(path)
}

pub(super) fn state(doing: &'static str, path: PathBuf, why: io::Error) -> Error {
    Error::State { doing, path, why }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::state::NetworkState;
    use virt_forward_policy::{
        Access, Conflicts,
        config::Config,
        network::{Mode, Network},
    };
    use virt_forward_ruleset::table::Host;

    fn record(bridge: &str, groups: &[&str]) -> (KernelName, Record) {
        let bridge: KernelName = bridge.parse().unwrap();
        let record = Record {
            network: Network {
                name: "a \"b\"\\ ü".into(),
                mode: Mode::Nat,
                bridge: bridge.as_str().parse().ok(),
                forward_dev: None,
                zone: None,
                nat_ipv6: false,
                addresses: vec![
                    "10.0.0.1/24".parse().unwrap(),
                    "fd00::1/64".parse().unwrap(),
                ],
                routes: vec![],
                groups: None,
                fault: None,
            },
            access: Access {
                groups: groups.iter().map(|group| (*group).to_owned()).collect(),
                ..Access::default()
            },
            state: NetworkState::Active,
            enabled: std::collections::BTreeSet::new(),
        };
        (bridge, record)
    }

    fn store() -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::at(dir.path().join("s"));
        store.create().unwrap();
        (dir, store)
    }

    #[test]
    fn a_record_is_stored_until_it_is_removed() {
        let (_dir, store) = store();
        let (bridge, open) = record("virbr.new", &["all"]);
        store.write_record(&bridge, &open).unwrap();
        assert_eq!(store.record(&bridge).unwrap().unwrap(), open);
        assert!(store.is_any_open().unwrap());
        let (_, closed) = record("virbr.new", &[]);
        store.write_record(&bridge, &closed).unwrap();
        assert_eq!(store.records().unwrap(), [closed]);
        assert!(!store.is_any_open().unwrap());
        store.remove_record(&bridge).unwrap();
        store.remove_record(&bridge).unwrap();
        assert!(store.records().unwrap().is_empty());
    }

    #[test]
    fn an_invalid_file_counts_as_none() {
        let (_dir, store) = store();
        let (bridge, open) = record("virbr0", &["all"]);
        store.write_record(&bridge, &open).unwrap();
        fs::write(store.dir().join("open/virbr0.json"), "{\"network\":").unwrap();
        assert!(store.record(&bridge).unwrap().is_none());
        assert!(store.records().unwrap().is_empty());
        assert!(store.is_any_open().unwrap());
        assert!(store.load_and_repair_records().unwrap().is_empty());
        assert!(!store.is_any_open().unwrap());
        store.write_record(&bridge, &open).unwrap();
        fs::copy(
            store.dir().join("open/virbr0.json"),
            store.dir().join("open/virbr1.json"),
        )
        .unwrap();
        assert_eq!(store.load_and_repair_records().unwrap(), [open]);
        assert_eq!(store.records().unwrap().len(), 1);
    }

    #[test]
    fn a_network_has_one_record_wherever_a_run_was_interrupted() {
        let (_dir, store) = store();
        let (bridge, open) = record("virbr0", &["all"]);
        let (_, closed) = record("virbr0", &[]);
        let path = |folder| store.dir().join(file(folder, &bridge));
        let write = |folder, record: &Record| fs::write(path(folder), json(record)).unwrap();
        for (seen, kept) in [
            (&[(OPEN, &open)][..], &open),
            (&[(CLOSED, &open)], &open),
            (&[(OPEN, &closed)], &closed),
            (&[(OPEN, &open), (CLOSED, &closed)], &open),
            (&[(OPEN, &closed), (CLOSED, &open)], &closed),
        ] {
            seen.iter()
                .for_each(|(folder, record)| write(folder, record));
            assert_eq!(
                store.load_and_repair_records().unwrap(),
                std::slice::from_ref(kept)
            );
            assert_eq!(store.records().unwrap(), std::slice::from_ref(kept));
            assert_eq!(store.is_any_open().unwrap(), !kept.access.is_empty());
            seen.iter()
                .for_each(|(folder, record)| write(folder, record));
            store.write_record(&bridge, &closed).unwrap();
            assert_eq!(store.records().unwrap(), std::slice::from_ref(&closed));
            store.remove_record(&bridge).unwrap();
        }
    }

    #[test]
    fn a_file_with_unsafe_content_is_invalid() {
        let (_dir, store) = store();
        let (bridge, open) = record("virbr0", &["a\"; flush ruleset"]);
        store.write_record(&bridge, &open).unwrap();
        assert!(store.record(&bridge).unwrap().is_none());
        for key in [
            r#"["net","ipv4","conf","..","..","..","kernel","core_pattern"]"#,
            r#"["net","ipv4","conf","..","forwarding"]"#,
            r#"["net","ipv4","conf","a/b","forwarding"]"#,
            r#"["/etc/shadow"]"#,
        ] {
            let text = format!(r#"[{{"key":{key},"was":"0","set":"1"}}]"#);
            fs::write(store.dir().join("settings/br.0.json"), text).unwrap();
            assert!(store.saved_sysctls().unwrap().is_empty(), "{key}");
        }
        let right = r#"[{"key":["net","ipv6","conf","br.0","accept_ra"],"was":"1","set":"2"}]"#;
        fs::write(store.dir().join("settings/br.0.json"), right).unwrap();
        assert_eq!(store.saved_sysctls().unwrap().len(), 1);
    }

    #[test]
    fn a_record_of_the_first_version_is_read() {
        let (_dir, store) = store();
        let text = r#"{"network":{"name":"n","mode":"nat","bridge":"virbr0","forward_dev":null,
            "nat_ipv6":false,"addresses":["10.0.0.1/24"],"routes":[]},"groups":["all"]}"#;
        fs::write(store.dir().join("open/virbr0.json"), text).unwrap();
        let record = store.record(&"virbr0".parse().unwrap()).unwrap().unwrap();
        assert_eq!(record.access.to_string(), "open to group all");
        assert!(!record.is_admin_closed() && record.network.groups.is_none());
    }

    #[test]
    fn a_folder_that_others_can_write_to_is_not_used() {
        let dir = tempfile::tempdir().unwrap();
        let elsewhere = dir.path().join("elsewhere");
        fs::create_dir(&elsewhere).unwrap();
        fs::write(elsewhere.join("theirs"), "theirs").unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&elsewhere, &link).unwrap();
        for refused in [Store::at(&link).create(), Store::at(&link).destroy()] {
            let why = refused.unwrap_err().to_string();
            assert!(why.contains("is a symbolic link"), "{why}");
        }
        assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 1);
        let open = dir.path().join("open-to-all");
        DirBuilder::new().create(&open).unwrap();
        fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
        let why = Store::at(&open).create().unwrap_err().to_string();
        assert!(why.contains("group- or world-writable"), "{why}");
    }

    #[test]
    fn a_link_in_the_place_of_a_file_is_not_followed() {
        let (dir, store) = store();
        let theirs = dir.path().join("theirs");
        fs::write(&theirs, "theirs").unwrap();
        std::os::unix::fs::symlink(&theirs, store.dir().join("layout.new")).unwrap();
        let layout = Layout::of(&Config::default(), &Conflicts::default(), &Host::default());
        assert!(store.set_layout(&layout).is_err());
        assert_eq!(fs::read_to_string(&theirs).unwrap(), "theirs");
    }

    #[test]
    fn a_temporary_file_is_not_a_network() {
        let (_dir, store) = store();
        fs::write(store.dir().join("open/virbr0.new"), "{").unwrap();
        assert!(!store.is_any_open().unwrap());
        assert!(store.records().unwrap().is_empty());
    }
}
