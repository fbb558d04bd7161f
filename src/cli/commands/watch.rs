//! `watch`: becomes the program that does it, which needs no libvirt.

use std::{
    env,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Result, bail};

use crate::{args::Args, exit::Exit, output};

const PROGRAM: &str = "virt-forward-watch";
/// Where packages put it.
const LIBRARY: &str = "/usr/lib/virt-forward";

/// Keeps watch until it is ended.
pub(crate) fn watch(args: &Args) -> Result<Exit> {
    if args.connect.is_some() {
        output::complain("watch sees the networks of this host only: leave --connect out");
        return Ok(Exit::Wrong);
    }
    if let Some(program) = program() {
        // Comes back only where it fails.
        let why = Command::new(&program).arg(&args.config).exec();
        bail!("cannot run {}: {why}", program.display());
    }
    // The same, with more memory.
    virt_forward_watch::watch(&args.config)?;
    Ok(Exit::Done)
}

fn program() -> Option<PathBuf> {
    let beside = env::current_exe().ok()?.with_file_name(PROGRAM);
    let packaged = Path::new(LIBRARY).join(PROGRAM);
    [beside, packaged].into_iter().find(|path| path.is_file())
}
