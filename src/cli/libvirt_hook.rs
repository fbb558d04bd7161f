//! The hook files of libvirt: their paths, which one is ours, and since when one has existed.

use std::{
    fs, io,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result};
use rustix::fs::XattrFlags;
use virt_forward_policy::hook_marker;

/// libvirt 6.5 and later run the entries of network.d in the order of their names.
pub(crate) const DROP_IN_PATH: &str = "network.d/50-virt-forward";
pub(crate) const MAIN: &str = "network";
pub(crate) const FOLDER: &str = "network.d";

/// An extended attribute of our hook: since when a hook has existed, in seconds since the epoch.
/// libvirtd looks for a hook only when it starts; it notices by itself when one replaces another.
const SINCE: &str = "user.virt-forward.since";

/// Whether the file is our hook.
pub(crate) fn is_ours(path: &Path) -> Result<bool> {
    Ok(version(path)?.is_some())
}

/// The version of our hook; `None` if the file is another program, empty if it has no version.
pub(crate) fn version(path: &Path) -> Result<Option<String>> {
    let reading = || format!("cannot read {}", path.display());
    match fs::metadata(path) {
        Ok(meta) if meta.is_file() => Ok(version_in(&fs::read(path).with_context(reading)?)),
        Ok(_) => Ok(None),
        Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(why) => Err(why).with_context(reading),
    }
}

fn version_in(bytes: &[u8]) -> Option<String> {
    let marker = hook_marker();
    let at = bytes
        .windows(marker.len())
        .position(|part| part == marker)?;
    let rest = bytes.get(at + marker.len()..)?;
    let said = rest.strip_prefix(b", version ").unwrap_or_default();
    let said = said.split(|byte| *byte == b';').next().unwrap_or_default();
    Some(String::from_utf8_lossy(said).into_owned())
}

/// Whether libvirt considers the file executable (src/util/virfile.c, `virFileIsExecutable`).
pub(crate) fn is_run(path: &Path) -> bool {
    let meta = fs::metadata(path);
    meta.is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// The entries of network.d, sorted by name.
pub(crate) fn entries(hooks: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(hooks.join(FOLDER)).into_iter().flatten();
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

/// The latest time since which libvirtd finds a network hook; `None` if it finds none (libvirt:
/// src/util/virhook.c, `virHookCheck`).
pub(crate) fn installed_since(hooks: &Path) -> Option<SystemTime> {
    let all = std::iter::once(hooks.join(MAIN)).chain(entries(hooks));
    all.filter(|path| is_run(path))
        .filter_map(|path| since(&path))
        .min()
}

/// The time in the attribute, else the file's change time, at which the hook existed.
fn since(path: &Path) -> Option<SystemTime> {
    let meta = fs::metadata(path).ok()?;
    let touched = at(meta.ctime(), meta.ctime_nsec());
    let mut buffer = [0; 32];
    let noted = rustix::fs::getxattr(path, SINCE, &mut buffer[..]).ok();
    let noted = noted.and_then(|length| buffer.get(..length));
    let noted = noted.and_then(|bytes| std::str::from_utf8(bytes).ok()?.parse().ok());
    let noted = noted.map(|seconds: u64| UNIX_EPOCH + Duration::from_secs(seconds));
    Some(noted.map_or(touched, |noted| noted.min(touched)))
}

/// The change time of a file.
fn at(seconds: i64, nanoseconds: i64) -> SystemTime {
    let part = Duration::from_nanos(nanoseconds.try_into().unwrap_or(0));
    UNIX_EPOCH + Duration::from_secs(seconds.try_into().unwrap_or(0)) + part
}

/// Sets the attribute on a new hook. On a file system without extended attributes `doctor` has less
/// information.
pub(crate) fn record_install_time(path: &Path, since: SystemTime) {
    let seconds = since
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    // Rounded up, so that the hook existed at that time for certain.
    let text = (seconds + 1).to_string();
    let _ = rustix::fs::setxattr(path, SINCE, text.as_bytes(), XattrFlags::empty());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hook(path: &Path, text: &str, mode: u32) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn our_hook_says_its_version() {
        let marker = String::from_utf8(hook_marker()).unwrap();
        let of = |text: &str| version_in(text.as_bytes());
        assert_eq!(of("#!/bin/sh\n"), None);
        assert_eq!(of(&format!("\x7fELF {marker}\0 more")), Some(String::new()));
        let new = format!("\x7fELF {marker}, version 1.2.3; and more; of it");
        assert_eq!(of(&new).as_deref(), Some("1.2.3"));
    }

    #[test]
    fn a_hook_that_replaces_another_has_been_there_as_long() {
        let dir = tempfile::tempdir().unwrap();
        let main = dir.path().join(MAIN);
        assert_eq!(installed_since(dir.path()), None);
        hook(&main, "", 0o644);
        assert_eq!(installed_since(dir.path()), None, "libvirt does not run it");
        hook(&main, "", 0o755);
        let first = installed_since(dir.path()).unwrap();
        let long_ago = UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        record_install_time(&main, long_ago);
        // Where the file system keeps no note, the file's own time counts.
        let now = installed_since(dir.path()).unwrap();
        assert!(now == long_ago + Duration::from_secs(1) || now >= first);
    }
}
