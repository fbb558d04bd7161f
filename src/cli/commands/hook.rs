//! `hook`: installs the hook where libvirtd looks for it.
//!
//! The hook is a regular file, not a link: AppArmor judges a link by its target, and SELinux by the
//! type of the target. If libvirtd is not allowed to run the hook, no network can start.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::SystemTime,
};

use anyhow::{Context, Result, bail};
use virt_forward_system::paths;

use crate::{
    args::HookAction,
    doctor::{MacState, SysRoot},
    exit::Exit,
    libvirt_hook::{self, DROP_IN_PATH, MAIN, is_ours},
    output,
};

const PROGRAM: &str = "virt-forward-hook";
/// The directory in which packages install the hook binary.
const PACKAGED: &str = "/usr/lib/virt-forward/virt-forward-hook";

/// Installs or uninstalls the hook.
pub(crate) fn hook(action: &HookAction) -> Result<Exit> {
    let hooks = Path::new(paths::HOOKS);
    let said = match action {
        HookAction::Install { from } => {
            may_be_run()?;
            install(hooks, &source(from.clone())?)?
        }
        HookAction::Uninstall => uninstall(hooks)?,
    };
    output::print(&said)?;
    Ok(Exit::Success)
}

/// Refuses to install a hook that would make every network start fail.
fn may_be_run() -> Result<()> {
    match MacState::collect(&SysRoot::host(), None).required_boolean() {
        None => Ok(()),
        Some(remedy) => bail!(
            "cannot install the hook: SELinux lets libvirt run none here, and\n\
             with one that it may not run, libvirt starts no network at all. Allow it, and\n\
             run this again:\n  {remedy}\n  virt-forward hook install"
        ),
    }
}

fn install(hooks: &Path, source: &Path) -> Result<String> {
    let installed_since = libvirt_hook::installed_since(hooks);
    let another = has_another(&hooks.join(MAIN));
    let (target, other) = match another {
        true => (hooks.join(DROP_IN_PATH), hooks.join(MAIN)),
        false => (hooks.join(MAIN), hooks.join(DROP_IN_PATH)),
    };
    place(source, &target, installed_since)
        .with_context(|| format!("cannot install {}", target.display()))?;
    if !another {
        remove_ours(&other)?;
    }
    let mut said = format!("the hook is at {}\n", target.display());
    if another {
        said.push_str("(/etc/libvirt/hooks/network is another's, and stays)\n");
    }
    if installed_since.is_none() {
        said.push_str(
            "libvirtd has had no network hook, and looks for hooks when it starts: restart it\n\
             (systemctl restart libvirtd, or virtnetworkd where that runs)\n",
        );
    }
    Ok(said)
}

fn uninstall(hooks: &Path) -> Result<String> {
    let mut said = String::new();
    for name in [MAIN, DROP_IN_PATH] {
        let path = hooks.join(name);
        if remove_ours(&path)? {
            // Removes network.d if it is empty; install may have created it.
            if name == DROP_IN_PATH {
                let _ = fs::remove_dir(hooks.join("network.d"));
            }
            said.push_str(&format!("{} is removed\n", path.display()));
        }
    }
    if said.is_empty() {
        said.push_str("no hook of virt-forward is installed\n");
    }
    Ok(said)
}

fn source(from: Option<PathBuf>) -> Result<PathBuf> {
    if let Some(path) = from {
        if !is_ours(&path)? {
            bail!("{} is not the hook of virt-forward", path.display());
        }
        return Ok(path);
    }
    let program = std::env::current_exe().context("cannot determine the path of this program")?;
    let candidates = [program.with_file_name(PROGRAM), PathBuf::from(PACKAGED)];
    let found = candidates
        .iter()
        .find(|path| is_ours(path).unwrap_or(false));
    found.cloned().with_context(|| {
        let looked = candidates.each_ref().map(|path| path.display().to_string());
        format!(
            "found no {PROGRAM} at {}: name it with --from",
            looked.join(" or ")
        )
    })
}

/// Replaces `target` by a copy of `source` atomically: libvirtd runs either the old or the new
/// hook, never a partial one, even after a power failure. Keeps the attribute that says since when
/// a hook has existed.
fn place(source: &Path, target: &Path, installed_since: Option<SystemTime>) -> io::Result<()> {
    let folder = target.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(folder)?;
    // Not in network.d, where libvirt would execute the temporary file.
    let new = Path::new(paths::HOOKS).join(".virt-forward.new");
    let placed = copy(source, &new).and_then(|()| {
        if let Some(since) = installed_since {
            libvirt_hook::record_install_time(&new, since);
        }
        fs::rename(&new, target)
    });
    if placed.is_err() {
        // An error of the cleanup would hide the first one.
        let _ = fs::remove_file(&new);
    }
    placed
}

fn copy(source: &Path, new: &Path) -> io::Result<()> {
    fs::copy(source, new)?;
    fs::set_permissions(new, fs::Permissions::from_mode(0o755))?;
    fs::File::open(new)?.sync_all()
}

/// Removes the file if it is our hook. Returns whether it was.
fn remove_ours(path: &Path) -> Result<bool> {
    let ours = is_ours(path)?;
    if ours {
        fs::remove_file(path).with_context(|| format!("cannot remove {}", path.display()))?;
    }
    Ok(ours)
}

/// Whether another program is installed at that path.
fn has_another(path: &Path) -> bool {
    path.symlink_metadata().is_ok() && !is_ours(path).unwrap_or(false)
}
