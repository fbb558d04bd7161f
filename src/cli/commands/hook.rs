//! `hook`: puts the hook's program where libvirtd looks for it.
//!
//! A real file, not a link: AppArmor judges a link by its target, and SELinux by the target's
//! type. A hook that may not be run stops every network's start.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use virt_forward_core::{hook_marker, paths};

use crate::{args::HookAction, exit::Exit, output};

const PROGRAM: &str = "virt-forward-hook";
/// Where packages keep the program.
const PACKAGED: &str = "/usr/lib/virt-forward/virt-forward-hook";
/// libvirt runs the entries of network.d since 6.5, in the order of their names.
const BESIDE_ANOTHER: &str = "network.d/50-virt-forward";
const MAIN: &str = "network";

/// Installs or uninstalls.
pub(crate) fn hook(action: &HookAction) -> Result<Exit> {
    let hooks = Path::new(paths::HOOKS);
    let said = match action {
        HookAction::Install { from } => install(hooks, &source(from.clone())?)?,
        HookAction::Uninstall => uninstall(hooks)?,
    };
    output::print(&said)?;
    Ok(Exit::Done)
}

fn install(hooks: &Path, source: &Path) -> Result<String> {
    let had_any = has_any(hooks);
    let another = has_another(&hooks.join(MAIN));
    let (target, other) = match another {
        true => (hooks.join(BESIDE_ANOTHER), hooks.join(MAIN)),
        false => (hooks.join(MAIN), hooks.join(BESIDE_ANOTHER)),
    };
    place(source, &target).with_context(|| format!("cannot install {}", target.display()))?;
    if !another {
        remove_ours(&other)?;
    }
    let mut said = format!("the hook is at {}\n", target.display());
    if another {
        said.push_str("(/etc/libvirt/hooks/network is another's, and stays)\n");
    }
    if !had_any {
        said.push_str(
            "libvirtd has had no network hook, and looks for hooks when it starts: restart it\n\
             (systemctl restart libvirtd, or virtnetworkd where that runs)\n",
        );
    }
    Ok(said)
}

fn uninstall(hooks: &Path) -> Result<String> {
    let mut said = String::new();
    for name in [MAIN, BESIDE_ANOTHER] {
        let path = hooks.join(name);
        if remove_ours(&path)? {
            // We may have made network.d; it stays where others use it.
            if name == BESIDE_ANOTHER {
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
    let program = std::env::current_exe().context("cannot tell where this program is")?;
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

/// Copies `source` to `target` at once: libvirtd may run the old or the new one meanwhile,
/// never half of one, not even after a power cut.
fn place(source: &Path, target: &Path) -> io::Result<()> {
    let folder = target.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(folder)?;
    // Outside network.d, where libvirt would run it, whatever its name.
    let new = Path::new(paths::HOOKS).join(".virt-forward.new");
    let placed = copy(source, &new).and_then(|()| fs::rename(&new, target));
    if placed.is_err() {
        // The first error says more than one of cleaning up could.
        let _ = fs::remove_file(&new);
    }
    placed
}

fn copy(source: &Path, new: &Path) -> io::Result<()> {
    fs::copy(source, new)?;
    fs::set_permissions(new, fs::Permissions::from_mode(0o755))?;
    fs::File::open(new)?.sync_all()
}

/// Removes the file if it is our hook; whether it was.
fn remove_ours(path: &Path) -> Result<bool> {
    let ours = is_ours(path)?;
    if ours {
        fs::remove_file(path).with_context(|| format!("cannot remove {}", path.display()))?;
    }
    Ok(ours)
}

/// Whether something is there that is not our hook.
fn has_another(path: &Path) -> bool {
    path.symlink_metadata().is_ok() && !is_ours(path).unwrap_or(false)
}

fn is_ours(path: &Path) -> Result<bool> {
    let reading = || format!("cannot read {}", path.display());
    match fs::metadata(path) {
        Ok(meta) if meta.is_file() => {
            let marker = hook_marker();
            let bytes = fs::read(path).with_context(reading)?;
            Ok(bytes.windows(marker.len()).any(|window| window == marker))
        }
        Ok(_) => Ok(false),
        Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(why) => Err(why).with_context(reading),
    }
}

/// Whether libvirtd would find any network hook (libvirt: src/util/virhook.c,
/// `virHookCheck`).
fn has_any(hooks: &Path) -> bool {
    let executable = |path: &Path| {
        let meta = fs::metadata(path);
        meta.is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    };
    let entries = fs::read_dir(hooks.join("network.d"))
        .into_iter()
        .flatten()
        .flatten();
    executable(&hooks.join(MAIN))
        || entries
            .map(|entry| entry.path())
            .any(|path| executable(&path))
}
