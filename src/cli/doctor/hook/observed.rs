//! The files in libvirt's hook directory.

use std::{fs, path::Path};

use virt_forward_system::paths;

use crate::{
    doctor::{SysRoot, file_owner::FileOwner},
    libvirt_hook,
};

#[derive(Clone, Debug, Default)]
pub(crate) struct Hooks {
    /// virt-forward's own; more than one if it is installed twice.
    pub(crate) installed: Vec<InstalledHook>,
    pub(super) foreign: Vec<ForeignHook>,
    pub(crate) directories: Vec<FileOwner>,
    /// Whether libvirt finds any network hook.
    pub(super) is_any_run: bool,
}

/// A hook of virt-forward.
#[derive(Clone, Debug)]
pub(crate) struct InstalledHook {
    pub(crate) file: FileOwner,
    /// It is in network.d.
    pub(super) is_in_network_d: bool,
    pub(super) is_executable: bool,
    /// Its target, if it is a symbolic link.
    pub(crate) link: Option<String>,
    /// Its version; empty in hooks that are too old to state one.
    pub(super) version: String,
    /// Its SELinux label.
    pub(crate) label: Option<String>,
    /// The error of a trial run.
    pub(crate) failure: Option<String>,
}

/// A file of another program in libvirt's hook directory.
#[derive(Clone, Debug)]
pub(super) struct ForeignHook {
    pub(super) path: String,
    pub(super) is_executable: bool,
    /// It is `/etc/libvirt/hooks/network` itself.
    pub(super) is_main: bool,
}

impl Hooks {
    /// Reads all files; runs none of them.
    pub(crate) fn collect(root: &SysRoot) -> Self {
        let directory = root.path(paths::HOOKS);
        let network_d = directory.join(libvirt_hook::FOLDER);
        let main = directory.join(libvirt_hook::MAIN);
        let mut found = Self {
            is_any_run: libvirt_hook::installed_since(&directory).is_some(),
            ..Self::default()
        };
        for path in [&directory, &network_d] {
            found
                .directories
                .extend(FileOwner::collect(root, &absolute(root, path)));
        }
        for path in [main].into_iter().chain(libvirt_hook::entries(&directory)) {
            if path.symlink_metadata().is_ok() {
                found.add(root, &directory, &path);
            }
        }
        found
    }

    fn add(&mut self, root: &SysRoot, directory: &Path, path: &Path) {
        let is_main = path == directory.join(libvirt_hook::MAIN);
        let is_in_network_d = path == directory.join(libvirt_hook::DROP_IN_PATH);
        let is_executable = libvirt_hook::is_run(path);
        let version = libvirt_hook::version(path).ok().flatten();
        let owner = FileOwner::collect(root, &absolute(root, path));
        match (version, owner) {
            (Some(version), Some(file)) if is_main || is_in_network_d => {
                let link = fs::read_link(path).ok();
                self.installed.push(InstalledHook {
                    file,
                    is_in_network_d,
                    is_executable,
                    link: link.map(|target| target.display().to_string()),
                    version,
                    label: selinux_label(path),
                    failure: None,
                });
            }
            _ => self.foreign.push(ForeignHook {
                path: absolute(root, path),
                is_executable,
                is_main,
            }),
        }
    }

    /// The hooks that may be run for a trial: one that other users can change must not be run as
    /// root.
    pub(crate) fn runnable(&mut self) -> impl Iterator<Item = &mut InstalledHook> {
        let installed = self.installed.iter_mut();
        installed.filter(|hook| hook.is_executable && !hook.file.is_writable_by_others())
    }
}

/// The path as the host knows it.
fn absolute(root: &SysRoot, path: &Path) -> String {
    match path.strip_prefix(root.path("/")) {
        Ok(relative) => format!("/{}", relative.display()),
        Err(_) => path.display().to_string(),
    }
}

fn selinux_label(path: &Path) -> Option<String> {
    let mut buffer = [0; 256];
    let length = rustix::fs::getxattr(path, "security.selinux", &mut buffer[..]).ok()?;
    let label = String::from_utf8_lossy(buffer.get(..length)?);
    Some(label.trim_end_matches('\0').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::fixtures::{put_executable, put_hook};
    use std::os::unix::fs::symlink;

    const MAIN: &str = "/etc/libvirt/hooks/network";

    #[test]
    fn hooks_are_told_from_those_of_other_programs() {
        let dir = tempfile::tempdir().unwrap();
        let root = SysRoot::at(dir.path());
        assert!(Hooks::collect(&root).installed.is_empty());
        put_hook(
            &root,
            "/etc/libvirt/hooks/network.d/50-virt-forward",
            "1",
            0o755,
        );
        put_executable(&root, MAIN, "#!/bin/sh", 0o644);
        let hooks = Hooks::collect(&root);
        let [hook] = &hooks.installed[..] else {
            panic!("{hooks:?}");
        };
        assert!(hook.is_in_network_d && hook.is_executable);
        assert_eq!(hook.version, "1");
        assert_eq!(hooks.directories.len(), 2);
        let [foreign] = &hooks.foreign[..] else {
            panic!("{hooks:?}");
        };
        assert_eq!(foreign.path, MAIN);
        assert!(foreign.is_main && !foreign.is_executable);
    }

    #[test]
    fn a_dangling_link_is_not_a_hook() {
        let dir = tempfile::tempdir().unwrap();
        let root = SysRoot::at(dir.path());
        fs::create_dir_all(root.path("/etc/libvirt/hooks")).unwrap();
        symlink("/nowhere", root.path(MAIN)).unwrap();
        let hooks = Hooks::collect(&root);
        assert!(hooks.installed.is_empty() && !hooks.is_any_run);
    }

    #[test]
    fn a_hook_that_others_can_change_is_not_run() {
        let dir = tempfile::tempdir().unwrap();
        let root = SysRoot::at(dir.path());
        put_hook(&root, MAIN, "1", 0o757);
        assert_eq!(Hooks::collect(&root).runnable().count(), 0);
    }
}
