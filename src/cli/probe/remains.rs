//! What the kernel keeps of a probe, written down before anything is sent, and forgotten again.

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

use crate::{host::Host, neighbours, output};

/// A file for each probe that is under way, held locked by it.
const FOLDER: &str = "/run";
const PREFIX: &str = "virt-forward-probe-";
/// For the kernel to forget what did not come to its end.
const PATIENCE: Duration = Duration::from_secs(5);

/// All that it may leave.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Traces {
    /// Addresses that it may send from, and to.
    pub(super) sources: Vec<IpAddr>,
    pub(super) targets: Vec<IpAddr>,
    /// Of its connection: the protocol of IP, and the source's port or the number of a ping.
    pub(super) protocol: u8,
    pub(super) port: u16,
    /// Addresses that the host may learn and does not know yet, each with the interface; in the
    /// order in which they are forgotten. Who waits for the last of them is told that it is not
    /// there, and with that the host learns of the one who asked: so the sender comes last.
    pub(super) neighbours: Vec<(IpAddr, String)>,
}

impl Traces {
    /// Makes the kernel forget them.
    fn forget(&self, host: &Host, deadline: Deadline) -> Result<()> {
        let is_meant = |one: &conntrack::Connection| {
            let one = one.original;
            (one.protocol, one.port) == (self.protocol, self.port)
                && self.sources.contains(&one.source)
                && self.targets.contains(&one.target)
        };
        conntrack::forget(None, is_meant, deadline)?;
        for (address, interface) in &self.neighbours {
            // With an interface its neighbours have gone.
            if let Some(interface) = host.interface(interface) {
                neighbours::forget(*address, interface.index)?;
            }
        }
        Ok(())
    }
}

/// Written down.
pub(super) struct Remains {
    traces: Traces,
    path: PathBuf,
    is_tidy: bool,
    /// Locked as long as this is there: nobody else takes it for left behind.
    _file: File,
}

impl Remains {
    /// Before anything is done. `traces` is told the addresses that other probes use, and no
    /// other begins until this is written down.
    pub(super) fn note(traces: impl FnOnce(&[IpAddr]) -> Result<Traces>) -> Result<Self> {
        let path = Path::new(FOLDER).join(format!("{PREFIX}{}", std::process::id()));
        let turn = File::open(FOLDER).with_context(|| format!("cannot open {FOLDER}"))?;
        rustix::fs::flock(&turn, FlockOperation::LockExclusive)
            .with_context(|| format!("cannot lock {FOLDER}"))?;
        let others = files().filter_map(|path| read(&File::open(path).ok()?));
        let used: Vec<_> = others
            .flat_map(|one| [one.sources, one.targets].concat())
            .collect();
        let traces = traces(&used)?;
        let written = || -> Result<File> {
            let mut options = OpenOptions::new();
            let mut file = options
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&path)?;
            rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)?;
            file.write_all(&serde_json::to_vec(&traces)?)?;
            Ok(file)
        };
        let file = written().with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self {
            traces,
            path,
            is_tidy: false,
            _file: file,
        })
    }

    /// Makes the kernel forget it.
    pub(super) fn tidy(mut self, deadline: Deadline) -> Result<()> {
        self.is_tidy = true;
        self.forget(deadline)
    }

    fn forget(&self, deadline: Deadline) -> Result<()> {
        self.traces.forget(&Host::ask()?, deadline)?;
        fs::remove_file(&self.path)
            .with_context(|| format!("cannot remove {}", self.path.display()))
    }
}

impl Drop for Remains {
    fn drop(&mut self) {
        if !self.is_tidy {
            // What fails here the next run does.
            let _ = self.forget(Deadline::after(PATIENCE));
        }
    }
}

/// Makes the kernel forget what probes have left that were killed.
pub(crate) fn clear(deadline: Deadline) {
    for path in files() {
        if let Err(why) = clear_one(&path, deadline) {
            output::complain(&format!("cannot clear {}: {why:#}", path.display()));
        }
    }
}

fn clear_one(path: &Path, deadline: Deadline) -> Result<()> {
    // Between being made and being locked it is nobody's, but for the moment that its maker has
    // the folder's lock.
    let turn = File::open(FOLDER)?;
    rustix::fs::flock(&turn, FlockOperation::LockExclusive)?;
    let file = match File::open(path) {
        Err(why) if why.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    if rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        return Ok(());
    }
    // One that was killed before it had written it has not begun either.
    if let Some(traces) = read(&file) {
        traces.forget(&Host::ask()?, deadline)?;
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

fn read(file: &File) -> Option<Traces> {
    serde_json::from_reader(file).ok()
}
