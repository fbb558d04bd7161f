//! The journal of what the kernel remembers of a probe: written before anything is sent, and
//! deleted with the entries that it lists.

use std::{
    fs::{self, File, OpenOptions},
    io::Write,
    net::IpAddr,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result};
use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};
use virt_forward_system::{deadline::Deadline, netlink::conntrack};

use crate::{host::Host, neighbors, output};

/// Each probe in progress holds a lock on a file here.
const FOLDER: &str = "/run";
const PREFIX: &str = "virt-forward-probe-";
/// The time to delete the entries of a probe that failed.
const CLEANUP_TIMEOUT: Duration = Duration::from_secs(5);

/// The entries that a probe may leave in the kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct KernelLeftovers {
    /// The addresses that the probe may send from.
    pub(super) sources: Vec<IpAddr>,
    /// The addresses that it may send to.
    #[serde(rename = "targets")]
    pub(super) destinations: Vec<IpAddr>,
    /// The IP protocol of its connection.
    pub(super) protocol: u8,
    /// The source port, or the identifier of an echo request.
    pub(super) port: u16,
    /// Addresses without a neighbour entry that may get one, with the interface, in the order of
    /// deletion. Deleting the entry that packets wait for makes the kernel report the address as
    /// unreachable to the sender, which creates an entry for the sender: so that one comes last.
    pub(super) neighbours: Vec<(IpAddr, String)>,
}

impl KernelLeftovers {
    /// Deletes the entries.
    fn delete(&self, host: &Host, deadline: Deadline) -> Result<()> {
        let is_own = |connection: &conntrack::Connection| {
            let original = connection.original;
            (original.protocol, original.port) == (self.protocol, self.port)
                && self.sources.contains(&original.source)
                && self.destinations.contains(&original.target)
        };
        conntrack::delete_matching(None, is_own, deadline)?;
        for (address, interface) in &self.neighbours {
            // The entries of an interface are deleted with it.
            if let Some(interface) = host.interface(interface) {
                neighbors::delete(*address, interface.index)?;
            }
        }
        Ok(())
    }
}

/// The journal of one probe, on disk.
pub(super) struct CleanupJournal {
    leftovers: KernelLeftovers,
    path: PathBuf,
    is_clean: bool,
    /// Locked while the probe runs, so that no other run takes the journal for an abandoned one.
    _file: File,
}

impl CleanupJournal {
    /// Writes the journal before the probe changes anything. `leftovers` gets the addresses that
    /// other probes use; no other probe starts before the journal is written.
    ///
    /// # Errors
    ///
    /// If the journal cannot be written, or those of `leftovers`.
    pub(super) fn write(
        leftovers: impl FnOnce(&[IpAddr]) -> Result<KernelLeftovers>,
    ) -> Result<Self> {
        let path = Path::new(FOLDER).join(format!("{PREFIX}{}", std::process::id()));
        let turn = File::open(FOLDER).with_context(|| format!("cannot open {FOLDER}"))?;
        rustix::fs::flock(&turn, FlockOperation::LockExclusive)
            .with_context(|| format!("cannot lock {FOLDER}"))?;
        let others = files().filter_map(|path| read(&File::open(path).ok()?));
        let used: Vec<_> = others
            .flat_map(|one| [one.sources, one.destinations].concat())
            .collect();
        let leftovers = leftovers(&used)?;
        let written = || -> Result<File> {
            let mut options = OpenOptions::new();
            let mut file = options
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&path)?;
            rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)?;
            file.write_all(&serde_json::to_vec(&leftovers)?)?;
            Ok(file)
        };
        let file = written().with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self {
            leftovers,
            path,
            is_clean: false,
            _file: file,
        })
    }

    /// Deletes the kernel's entries, and the journal.
    ///
    /// # Errors
    ///
    /// If an entry or the journal cannot be deleted.
    pub(super) fn clean_up(mut self, deadline: Deadline) -> Result<()> {
        self.is_clean = true;
        self.delete_all(deadline)
    }

    fn delete_all(&self, deadline: Deadline) -> Result<()> {
        self.leftovers.delete(&Host::ask()?, deadline)?;
        fs::remove_file(&self.path)
            .with_context(|| format!("cannot remove {}", self.path.display()))
    }
}

impl Drop for CleanupJournal {
    fn drop(&mut self) {
        if !self.is_clean {
            // If this fails, the next run does it.
            let _ = self.delete_all(Deadline::after(CLEANUP_TIMEOUT));
        }
    }
}

/// Deletes what probes that were killed have left in the kernel.
pub(crate) fn clear(deadline: Deadline) {
    for path in files() {
        if let Err(error) = clear_one(&path, deadline) {
            output::warn(&format!(
                "cannot clean up after {}: {error:#}",
                path.display()
            ));
        }
    }
}

fn clear_one(path: &Path, deadline: Deadline) -> Result<()> {
    // A new journal is not locked yet while its probe holds the lock of the folder.
    let turn = File::open(FOLDER)?;
    rustix::fs::flock(&turn, FlockOperation::LockExclusive)?;
    let file = match File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    if rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        return Ok(());
    }
    // A probe that was killed before its journal was complete has changed nothing.
    if let Some(leftovers) = read(&file) {
        leftovers.delete(&Host::ask()?, deadline)?;
    }
    fs::remove_file(path)?;
    Ok(())
}

fn files() -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(FOLDER).into_iter().flatten();
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    paths.filter(|path| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| name.starts_with(PREFIX))
    })
}

fn read(file: &File) -> Option<KernelLeftovers> {
    serde_json::from_reader(file).ok()
}
