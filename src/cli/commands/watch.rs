//! `watch`: executes virt-forward-watch, which does not link libvirt.

use std::{
    env,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Result, bail};

use crate::{args::Args, exit::Exit, output};

const PROGRAM: &str = "virt-forward-watch";
/// The path in packages.
const LIBRARY: &str = "/usr/lib/virt-forward";

/// Replaces this process by the daemon.
pub(crate) fn watch(args: &Args) -> Result<Exit> {
    if args.connect.is_some() {
        output::warn("watch handles the networks of this host only; remove --connect");
        return Ok(Exit::Usage);
    }
    if let Some(program) = program() {
        // exec returns only if it fails.
        let why = Command::new(&program).arg(&args.config).exec();
        bail!("cannot run {}: {why}", program.display());
    }
    // Without the separate binary, run the daemon in this process; it needs more memory.
    virt_forward_watch::watch(&args.config)?;
    Ok(Exit::Success)
}

fn program() -> Option<PathBuf> {
    let beside = env::current_exe().ok()?.with_file_name(PROGRAM);
    let packaged = Path::new(LIBRARY).join(PROGRAM);
    [beside, packaged].into_iter().find(|path| path.is_file())
}
