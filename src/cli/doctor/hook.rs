//! libvirt's hook: that it is there, is ours, and that nobody else can put another in its place.

use std::{fs, os::unix::fs::MetadataExt, path::Path};

use virt_forward_policy::VERSION;
use virt_forward_system::paths;

use super::{Finding, Root, or_ok};
use crate::hooks;

const CHECK: &str = "hook";
/// The first libvirt that runs network.d (NEWS).
const NETWORK_D: u64 = 6_005_000;

/// What there is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hooks {
    /// Our own, where it should be; more than one where something went wrong.
    pub(crate) ours: Vec<Ours>,
    /// All others that libvirt finds, or would if they were executable.
    pub(crate) others: Vec<Other>,
    /// The folders that they are in.
    folders: Vec<Owned>,
    /// Whether libvirt finds any hook at all.
    pub(crate) is_any_run: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Ours {
    pub(crate) file: Owned,
    is_beside: bool,
    is_run: bool,
    /// Where it leads, if it is a link.
    pub(crate) link: Option<String>,
    version: String,
    /// Why it does not run when it is tried.
    pub(crate) fault: Option<String>,
}

#[derive(Clone, Debug)]
pub(crate) struct Other {
    path: String,
    is_run: bool,
    is_main: bool,
}

/// A file or folder, and whose it is.
#[derive(Clone, Debug)]
pub(crate) struct Owned {
    pub(crate) path: String,
    uid: u32,
    gid: u32,
    mode: u32,
}

impl Owned {
    pub(crate) fn of(root: &Root, path: &str) -> Option<Self> {
        let meta = fs::metadata(root.path(path)).ok()?;
        Some(Self {
            path: path.to_owned(),
            uid: meta.uid(),
            gid: meta.gid(),
            mode: meta.mode(),
        })
    }

    /// Whether somebody other than root can change it.
    pub(crate) fn is_others(&self) -> bool {
        self.uid != 0 || self.mode & 0o002 != 0 || self.gid != 0 && self.mode & 0o020 != 0
    }
}

impl Hooks {
    /// Looks at all of them.
    pub(crate) fn look(root: &Root) -> Self {
        let folder = root.path(paths::HOOKS);
        let shown = |path: &Path| match path.strip_prefix(root.path("/")) {
            Ok(path) => format!("/{}", path.display()),
            Err(_) => path.display().to_string(),
        };
        let main = folder.join(hooks::MAIN);
        let beside = folder.join(hooks::BESIDE_ANOTHER);
        let mut found = Self {
            is_any_run: hooks::had_since(&folder).is_some(),
            ..Self::default()
        };
        let sub = folder.join(hooks::FOLDER);
        found.folders = [folder.as_path(), &sub]
            .into_iter()
            .filter_map(|path| Owned::of(root, &shown(path)))
            .collect();
        for path in [main.clone()].into_iter().chain(hooks::entries(&folder)) {
            if path.symlink_metadata().is_err() {
                continue;
            }
            let version = hooks::version(&path).ok().flatten();
            match (version, Owned::of(root, &shown(&path))) {
                (Some(version), Some(file)) if path == main || path == beside => {
                    found.ours.push(Ours {
                        file,
                        is_beside: path == beside,
                        is_run: hooks::is_run(&path),
                        link: fs::read_link(&path)
                            .ok()
                            .map(|target| target.display().to_string()),
                        version,
                        fault: None,
                    });
                }
                _ => found.others.push(Other {
                    is_run: hooks::is_run(&path),
                    is_main: path == main,
                    path: shown(&path),
                }),
            }
        }
        found
    }

    /// Those that may be tried: to run a file that anybody may write would be as bad as libvirt
    /// running it.
    pub(crate) fn tryable(&mut self) -> impl Iterator<Item = &mut Ours> {
        let ours = self.ours.iter_mut();
        ours.filter(|hook| hook.is_run && !hook.file.is_others())
    }

    /// What is wrong; `libvirt` is its version, and `daemon` what its daemon is called.
    pub(crate) fn findings(&self, libvirt: Option<u64>, daemon: &str) -> Vec<Finding> {
        let mut found = Vec::new();
        if self.ours.is_empty() {
            found.push(self.missing(daemon));
        }
        found.extend(self.ours.iter().filter_map(|hook| hook.finding(libvirt)));
        if self.ours.len() > 1 {
            found.push(
                Finding::note(
                    CHECK,
                    "the hook is there twice, and does all its work twice",
                )
                .with("virt-forward hook install"),
            );
        }
        let files = self.ours.iter().map(|hook| &hook.file);
        let open = files.chain(&self.folders).filter(|file| file.is_others());
        found.extend(open.map(|file| {
            let path = &file.path;
            Finding::wrong(
                CHECK,
                format!("others than root may change {path}: libvirt runs what is there as root"),
            )
            .with(format!("chown root:root {path}"))
            .with(format!("chmod 755 {path}"))
        }));
        found.extend(self.others.iter().filter_map(Other::finding));
        let places: Vec<_> = self
            .ours
            .iter()
            .map(|hook| hook.file.path.as_str())
            .collect();
        let what = format!(
            "{} is there, runs, and is of version {VERSION}",
            places.join(" ")
        );
        or_ok(found, CHECK, &what)
    }

    fn missing(&self, daemon: &str) -> Finding {
        let main = self.others.iter().any(|other| other.is_main);
        let what = match main {
            true => {
                "libvirt's network hook is another's, and that of virt-forward is not beside it: networks that start are not opened"
            }
            false => "the hook of virt-forward is not there: networks that start are not opened",
        };
        let restart = (!self.is_any_run)
            .then(|| format!("systemctl restart {daemon}   # it looks for hooks when it starts"));
        Finding::wrong(CHECK, what)
            .with("virt-forward hook install")
            .with_some(restart)
    }
}

impl Ours {
    /// The first thing that is wrong with it.
    fn finding(&self, libvirt: Option<u64>) -> Option<Finding> {
        let path = &self.file.path;
        let reinstalled =
            |what: String| Some(Finding::wrong(CHECK, what).with("virt-forward hook install"));
        if !self.is_run {
            let what = format!("{path} is not executable: libvirt does not run it");
            return Some(Finding::wrong(CHECK, what).with(format!("chmod 755 {path}")));
        }
        if let Some(version) = libvirt.filter(|version| self.is_beside && *version < NETWORK_D) {
            let version = super::libvirt::shown(version);
            let what =
                format!("libvirt {version} does not run {path}: it knows network.d since 6.5");
            return Some(Finding::wrong(CHECK, what).with(format!(
                "# call {path} \"$@\" from /etc/libvirt/hooks/network, with its standard input"
            )));
        }
        if let Some(fault) = &self.fault {
            return reinstalled(format!(
                "{path} does not run, which stops every start of a network: {fault}"
            ));
        }
        match self.version.as_str() {
            VERSION => None,
            "" => reinstalled(format!(
                "{path} is of an older version than this command, {VERSION}"
            )),
            other => reinstalled(format!(
                "{path} is of version {other}, and this command of {VERSION}"
            )),
        }
    }
}

impl Other {
    /// libvirt runs whatever is executable there, backups of editors and of dpkg too
    /// (src/util/virhook.c).
    fn finding(&self) -> Option<Finding> {
        let path = &self.path;
        let name = path.rsplit('/').next().unwrap_or(path);
        let endings = [
            "~", ".bak", ".old", ".orig", ".rpmsave", ".rpmorig", ".rpmnew", ".swp",
        ];
        let is_backup = name.starts_with('.')
            || name.contains(".dpkg-")
            || endings.iter().any(|ending| name.ends_with(ending));
        if self.is_run && is_backup {
            let what = format!("libvirt runs {path} too, though it looks like a backup");
            return Some(Finding::note(CHECK, what).with(format!("chmod a-x {path}")));
        }
        (!self.is_run && !is_backup).then(|| {
            let what = format!("{path} is not executable: libvirt does not run it");
            Finding::note(CHECK, what).with(format!("chmod 755 {path}"))
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::doctor::tests::said;
    use std::os::unix::fs::{PermissionsExt, symlink};

    pub(crate) fn put_hook(root: &Root, path: &str, version: &str, mode: u32) {
        let marker = String::from_utf8(virt_forward_policy::hook_marker()).unwrap();
        put_other(root, path, &format!("{marker}, version {version};"), mode);
    }

    fn put_other(root: &Root, path: &str, text: &str, mode: u32) {
        root.put(path, text);
        fs::set_permissions(root.path(path), fs::Permissions::from_mode(mode)).unwrap();
    }

    fn found(root: &Root) -> Vec<String> {
        let mut hooks = Hooks::look(root);
        // Tests need not run as root.
        for file in hooks
            .folders
            .iter_mut()
            .chain(hooks.ours.iter_mut().map(|hook| &mut hook.file))
        {
            (file.uid, file.gid) = (0, 0);
        }
        said(&hooks.findings(Some(9_000_000), "libvirtd"))
    }

    #[test]
    fn a_hook_is_found_in_either_place() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::at(dir.path());
        assert!(found(&root)[0].starts_with("wrong hook: the hook of virt-forward is not there"));
        assert!(found(&root)[0].contains("| systemctl restart libvirtd"));
        put_hook(&root, "/etc/libvirt/hooks/network", VERSION, 0o755);
        assert_eq!(
            found(&root),
            [format!(
                "ok hook: /etc/libvirt/hooks/network is there, runs, and is of version {VERSION}"
            )]
        );
        let beside = "/etc/libvirt/hooks/network.d/50-virt-forward";
        put_hook(&root, beside, VERSION, 0o755);
        assert!(found(&root)[1].starts_with("note hook: the hook is there twice"));
        put_other(&root, "/etc/libvirt/hooks/network", "#!/bin/sh", 0o755);
        assert_eq!(found(&root).len(), 1);
        let old = said(&Hooks::look(&root).findings(Some(6_004_000), "libvirtd"));
        assert!(
            old.iter()
                .any(|one| one.contains("libvirt 6.4.0 does not run")),
            "{old:?}"
        );
        fs::remove_file(root.path(beside)).unwrap();
        assert!(found(&root)[0].starts_with("wrong hook: libvirt's network hook is another's"));
        assert!(!found(&root)[0].contains("restart"));
    }

    #[test]
    fn what_keeps_it_from_running_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::at(dir.path());
        let path = "/etc/libvirt/hooks/network";
        put_hook(&root, path, VERSION, 0o644);
        assert!(found(&root)[0].ends_with(
            "is not executable: libvirt does not run it | chmod 755 /etc/libvirt/hooks/network"
        ));
        put_hook(&root, path, "0.0.9", 0o755);
        assert!(found(&root)[0].contains("is of version 0.0.9"));
        put_hook(&root, path, VERSION, 0o757);
        assert!(found(&root)[0].contains("others than root may change"));
        put_hook(&root, path, VERSION, 0o755);
        put_other(&root, "/etc/libvirt/hooks/network.d/10-mine", "", 0o644);
        put_other(
            &root,
            "/etc/libvirt/hooks/network.d/20-mine.dpkg-old",
            "",
            0o755,
        );
        let said = found(&root);
        assert_eq!(said.len(), 3);
        assert!(said[1].starts_with("note hook: /etc/libvirt/hooks/network.d/10-mine is not"));
        assert!(said[2].contains("looks like a backup"));
    }

    #[test]
    fn a_link_to_nowhere_is_no_hook() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::at(dir.path());
        fs::create_dir_all(root.path("/etc/libvirt/hooks")).unwrap();
        symlink("/nowhere", root.path("/etc/libvirt/hooks/network")).unwrap();
        let hooks = Hooks::look(&root);
        assert!(hooks.ours.is_empty() && !hooks.is_any_run);
    }
}
