//! What the kernel keeps of a probe, written down before it is sent, and forgotten again.

use std::{
    fs::{self, File, OpenOptions},
    io::Write,
    net::IpAddr,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};
use virt_forward_core::kernel::{
    conntrack::{self, Connection},
    deadline::Deadline,
};

use crate::{host::Host, neighbours, output};

/// A file for each probe that is under way, held locked by it.
const FOLDER: &str = "/run";
const PREFIX: &str = "virt-forward-probe-";

/// Where it will be, and the port or number that it has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Traces {
    pub(super) source: IpAddr,
    pub(super) target: IpAddr,
    pub(super) protocol: u8,
    pub(super) port: u16,
    /// Addresses that the host will learn, each with the interface.
    pub(super) neighbours: Vec<(IpAddr, String)>,
}

impl Traces {
    /// Makes the kernel forget them.
    fn forget(&self, host: &Host, deadline: Deadline) -> Result<()> {
        let connection = Connection {
            source: self.source,
            target: self.target,
            protocol: self.protocol,
            port: self.port,
        };
        conntrack::forget(&connection, deadline)?;
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
    /// Locked as long as this is there: nobody else takes it for left behind.
    _file: File,
}

impl Remains {
    /// Before anything is done.
    pub(super) fn note(traces: Traces) -> Result<Self> {
        let path = Path::new(FOLDER).join(format!("{PREFIX}{}", std::process::id()));
        let written = || -> Result<File> {
            // Made and locked under another name: nobody finds it unlocked.
            let new = path.with_extension("new");
            let mut options = OpenOptions::new();
            let mut file = options
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&new)?;
            rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)?;
            file.write_all(&serde_json::to_vec(&traces)?)?;
            fs::rename(&new, &path)?;
            Ok(file)
        };
        let file = written().with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self {
            traces,
            path,
            _file: file,
        })
    }

    /// Makes the kernel forget it.
    pub(super) fn tidy(self, host: &Host, deadline: Deadline) -> Result<()> {
        self.traces.forget(host, deadline)?;
        fs::remove_file(&self.path)
            .with_context(|| format!("cannot remove {}", self.path.display()))
    }
}

/// Makes the kernel forget what probes have left that were killed.
pub(crate) fn clear(deadline: Deadline) {
    let entries = fs::read_dir(FOLDER).into_iter().flatten();
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let is_ours = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| name.starts_with(PREFIX))
    };
    for path in paths.filter(is_ours) {
        if let Err(why) = clear_one(&path, deadline) {
            output::complain(&format!("cannot clear {}: {why:#}", path.display()));
        }
    }
}

fn clear_one(path: &Path, deadline: Deadline) -> Result<()> {
    let file = File::open(path)?;
    if rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        return Ok(());
    }
    // One that was killed before it had written it has not begun either.
    if let Ok(traces) = serde_json::from_reader::<_, Traces>(&file) {
        traces.forget(&Host::ask()?, deadline)?;
    }
    fs::remove_file(path)?;
    Ok(())
}
