//! What keeps libvirt from running the hook, or lets other users run code as root.

use std::fmt::{self, Display, Formatter};

use strum::IntoStaticStr;
use virt_forward_policy::{VERSION, sanitize::argument};

use super::observed::{ForeignHook, Hooks, InstalledHook};
use crate::doctor::{
    diagnosis::{Diagnosis, Fix, Severity, Subject, passed_unless_error},
    libvirt::Version,
};

/// The first libvirt that runs network.d (NEWS).
const NETWORK_D: Version = Version(6_005_000);

#[derive(Clone, Debug, PartialEq, Eq, IntoStaticStr)]
#[cfg_attr(test, derive(strum::VariantNames))]
#[strum(serialize_all = "kebab-case")]
pub(crate) enum HookFinding {
    Installed {
        paths: Vec<String>,
    },
    /// No network hook of virt-forward is installed.
    Missing {
        /// The daemon to restart, if it has no other network hook.
        restart: Option<String>,
    },
    /// Only a hook of another program is installed.
    MissingBesideAnother {
        restart: Option<String>,
    },
    NotExecutable {
        path: String,
    },
    /// libvirt is too old to run network.d.
    NetworkDUnsupported {
        path: String,
        version: Version,
    },
    /// A trial run failed.
    Fails {
        path: String,
        cause: String,
    },
    /// It is older than the first version that states its version.
    UnknownVersion {
        path: String,
    },
    OtherVersion {
        path: String,
        version: String,
    },
    InstalledTwice {
        paths: Vec<String>,
    },
    WritableByOthers {
        path: String,
    },
    /// A backup that is executable.
    BackupRuns {
        path: String,
    },
    /// A hook of another program that libvirt skips.
    ForeignNotExecutable {
        path: String,
    },
}

impl Diagnosis for HookFinding {
    fn subject(&self) -> Subject {
        Subject::Hook
    }

    fn kind(&self) -> &'static str {
        self.into()
    }

    fn severity(&self) -> Severity {
        match self {
            Self::Installed { .. } => Severity::Ok,
            Self::InstalledTwice { .. }
            | Self::BackupRuns { .. }
            | Self::ForeignNotExecutable { .. } => Severity::Note,
            Self::Missing { .. }
            | Self::MissingBesideAnother { .. }
            | Self::NotExecutable { .. }
            | Self::NetworkDUnsupported { .. }
            | Self::Fails { .. }
            | Self::UnknownVersion { .. }
            | Self::OtherVersion { .. }
            | Self::WritableByOthers { .. } => Severity::Error,
        }
    }

    fn fix(&self) -> Vec<Fix> {
        match self {
            Self::Installed { .. } => Vec::new(),
            Self::Missing { restart } | Self::MissingBesideAnother { restart } => {
                let restart = restart.iter().map(|unit| {
                    let line = format!("systemctl restart {unit}");
                    Fix::command_with(line, "libvirt looks for hooks when it starts")
                });
                [Fix::install_hook()].into_iter().chain(restart).collect()
            }
            Self::NotExecutable { path } | Self::ForeignNotExecutable { path } => {
                vec![Fix::command(format!("chmod 755 {}", argument(path)))]
            }
            Self::NetworkDUnsupported { path, .. } => vec![Fix::advice(format!(
                "call {path} \"$@\" from /etc/libvirt/hooks/network, and pass it standard input"
            ))],
            Self::Fails { .. }
            | Self::UnknownVersion { .. }
            | Self::OtherVersion { .. }
            | Self::InstalledTwice { .. } => vec![Fix::install_hook()],
            Self::WritableByOthers { path } => vec![
                Fix::command(format!("chown root:root {}", argument(path))),
                Fix::command(format!("chmod 755 {}", argument(path))),
            ],
            Self::BackupRuns { path } => {
                vec![Fix::command(format!("chmod a-x {}", argument(path)))]
            }
        }
    }
}

impl Display for HookFinding {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Installed { paths } => write!(
                f,
                "{} is installed and executable, version {VERSION}",
                paths.join(" ")
            ),
            Self::Missing { .. } => f.write_str(
                "the libvirt hook of virt-forward is not installed: networks are not opened when they start",
            ),
            Self::MissingBesideAnother { .. } => f.write_str(
                "/etc/libvirt/hooks/network belongs to another program and network.d/50-virt-forward \
                 is missing: networks are not opened when they start",
            ),
            Self::NotExecutable { path } | Self::ForeignNotExecutable { path } => {
                write!(f, "{path} is not executable, so libvirt does not run it")
            }
            Self::NetworkDUnsupported { path, version } => write!(
                f,
                "libvirt {version} does not run {path}: network.d requires libvirt {NETWORK_D}"
            ),
            Self::Fails { path, cause } => {
                write!(f, "{path} cannot be executed, so no network can start: {cause}")
            }
            Self::UnknownVersion { path } => {
                write!(f, "{path} is older than this virt-forward ({VERSION})")
            }
            Self::OtherVersion { path, version } => {
                write!(f, "{path} has version {version}, this virt-forward {VERSION}")
            }
            Self::InstalledTwice { paths } => write!(
                f,
                "the hook is installed twice ({}); every event is processed twice",
                paths.join(", ")
            ),
            Self::WritableByOthers { path } => write!(
                f,
                "users other than root can change {path}, and libvirt runs hooks as root"
            ),
            Self::BackupRuns { path } => {
                write!(f, "{path} looks like a backup, but libvirt runs it")
            }
        }
    }
}

impl Hooks {
    /// Judges all hooks; `daemon` is the unit of libvirt's daemon.
    pub(crate) fn check(&self, libvirt: Option<Version>, daemon: &str) -> Vec<HookFinding> {
        let mut findings = Vec::new();
        if self.installed.is_empty() {
            findings.push(self.missing(daemon));
        }
        findings.extend(self.installed.iter().filter_map(|hook| hook.check(libvirt)));
        let files = self.installed.iter().map(|hook| &hook.file);
        let paths: Vec<_> = files.clone().map(|file| file.path.clone()).collect();
        if paths.len() > 1 {
            let paths = paths.clone();
            findings.push(HookFinding::InstalledTwice { paths });
        }
        let all = files.chain(&self.directories);
        let writable = all.filter(|file| file.is_writable_by_others());
        findings.extend(writable.map(|file| HookFinding::WritableByOthers {
            path: file.path.clone(),
        }));
        findings.extend(self.foreign.iter().filter_map(ForeignHook::check));
        passed_unless_error(findings, HookFinding::Installed { paths })
    }

    fn missing(&self, daemon: &str) -> HookFinding {
        let restart = (!self.is_any_run).then(|| daemon.to_owned());
        if self.foreign.iter().any(|hook| hook.is_main) {
            return HookFinding::MissingBesideAnother { restart };
        }
        HookFinding::Missing { restart }
    }
}

impl InstalledHook {
    /// The first defect of the hook.
    fn check(&self, libvirt: Option<Version>) -> Option<HookFinding> {
        let path = self.file.path.clone();
        if !self.is_executable {
            return Some(HookFinding::NotExecutable { path });
        }
        if let Some(version) = libvirt
            && self.is_in_network_d
            && version < NETWORK_D
        {
            return Some(HookFinding::NetworkDUnsupported { path, version });
        }
        if let Some(cause) = self.failure.clone() {
            return Some(HookFinding::Fails { path, cause });
        }
        match self.version.as_str() {
            VERSION => None,
            "" => Some(HookFinding::UnknownVersion { path }),
            other => Some(HookFinding::OtherVersion {
                path,
                version: other.to_owned(),
            }),
        }
    }
}

impl ForeignHook {
    /// libvirt runs every executable file there, backups of editors and of dpkg included
    /// (src/util/virhook.c).
    fn check(&self) -> Option<HookFinding> {
        let path = self.path.clone();
        match (self.is_executable, self.looks_like_backup()) {
            (true, true) => Some(HookFinding::BackupRuns { path }),
            (false, false) => Some(HookFinding::ForeignNotExecutable { path }),
            (true, false) | (false, true) => None,
        }
    }

    fn looks_like_backup(&self) -> bool {
        const ENDINGS: [&str; 8] = [
            "~", ".bak", ".old", ".orig", ".rpmsave", ".rpmorig", ".rpmnew", ".swp",
        ];
        let name = self.path.rsplit('/').next().unwrap_or(&self.path);
        name.starts_with('.')
            || name.contains(".dpkg-")
            || ENDINGS.iter().any(|ending| name.ends_with(ending))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::file_owner::FileOwner;

    const MAIN: &str = "/etc/libvirt/hooks/network";
    const NETWORK_D_ENTRY: &str = "/etc/libvirt/hooks/network.d/50-virt-forward";

    fn owner(path: &str, mode: u32) -> FileOwner {
        let path = path.to_owned();
        FileOwner {
            path,
            uid: 0,
            gid: 0,
            mode,
        }
    }

    fn hook(path: &str) -> InstalledHook {
        InstalledHook {
            file: owner(path, 0o755),
            is_in_network_d: path == NETWORK_D_ENTRY,
            is_executable: true,
            link: None,
            version: VERSION.to_owned(),
            label: None,
            failure: None,
        }
    }

    fn foreign(path: &str, is_executable: bool) -> ForeignHook {
        ForeignHook {
            path: path.to_owned(),
            is_executable,
            is_main: path == MAIN,
        }
    }

    fn hooks(installed: Vec<InstalledHook>, foreign: Vec<ForeignHook>) -> Hooks {
        Hooks {
            is_any_run: !installed.is_empty() || foreign.iter().any(|hook| hook.is_executable),
            installed,
            foreign,
            directories: vec![owner("/etc/libvirt/hooks", 0o755)],
        }
    }

    fn check(hooks: &Hooks) -> Vec<HookFinding> {
        hooks.check(Some(Version(9_000_000)), "libvirtd")
    }

    #[test]
    fn a_hook_may_be_in_either_place() {
        for path in [MAIN, NETWORK_D_ENTRY] {
            let paths = vec![path.to_owned()];
            let found = check(&hooks(vec![hook(path)], vec![]));
            assert_eq!(found, [HookFinding::Installed { paths }]);
        }
    }

    #[test]
    fn a_missing_hook_is_an_error_and_a_first_one_needs_a_restart() {
        let restart = Some("libvirtd".to_owned());
        assert_eq!(
            check(&hooks(vec![], vec![])),
            [HookFinding::Missing { restart }]
        );
        let beside = check(&hooks(vec![], vec![foreign(MAIN, true)]));
        let restart = None;
        assert_eq!(beside, [HookFinding::MissingBesideAnother { restart }]);
    }

    #[test]
    fn a_hook_installed_twice_is_noted() {
        let found = check(&hooks(vec![hook(MAIN), hook(NETWORK_D_ENTRY)], vec![]));
        let kinds: Vec<_> = found.iter().map(Diagnosis::kind).collect();
        assert_eq!(kinds, ["installed", "installed-twice"]);
    }

    #[test]
    fn the_first_defect_of_a_hook_is_reported() {
        let path = || MAIN.to_owned();
        let found = |change: fn(&mut InstalledHook)| {
            let mut changed = hook(MAIN);
            change(&mut changed);
            check(&hooks(vec![changed], vec![]))
        };
        assert_eq!(
            found(|hook| hook.is_executable = false),
            [HookFinding::NotExecutable { path: path() }]
        );
        assert_eq!(
            found(|hook| hook.failure = Some("no such file".to_owned())),
            [HookFinding::Fails {
                path: path(),
                cause: "no such file".to_owned()
            }]
        );
        assert_eq!(
            found(|hook| hook.version = "0.0.9".to_owned()),
            [HookFinding::OtherVersion {
                path: path(),
                version: "0.0.9".to_owned()
            }]
        );
        assert_eq!(
            found(|hook| hook.version.clear()),
            [HookFinding::UnknownVersion { path: path() }]
        );
        assert_eq!(
            found(|hook| hook.file.mode = 0o757),
            [HookFinding::WritableByOthers { path: path() }]
        );
    }

    #[test]
    fn an_old_libvirt_does_not_run_network_d() {
        let hooks = hooks(vec![hook(NETWORK_D_ENTRY)], vec![foreign(MAIN, true)]);
        assert_eq!(check(&hooks).len(), 1);
        let version = Version(6_004_000);
        let path = NETWORK_D_ENTRY.to_owned();
        assert_eq!(
            hooks.check(Some(version), "libvirtd"),
            [HookFinding::NetworkDUnsupported { path, version }]
        );
    }

    #[test]
    fn a_directory_that_others_can_change_is_an_error() {
        let mut hooks = hooks(vec![hook(MAIN)], vec![]);
        hooks.directories = vec![owner("/etc/libvirt/hooks", 0o777)];
        let path = "/etc/libvirt/hooks".to_owned();
        assert_eq!(check(&hooks), [HookFinding::WritableByOthers { path }]);
    }

    #[test]
    fn foreign_hooks_are_noted_where_the_mode_surprises() {
        let entry = |name: &str| format!("/etc/libvirt/hooks/network.d/{name}");
        let foreign = vec![
            foreign(&entry("10-mine"), false),
            foreign(&entry("15-mine"), true),
            foreign(&entry("20-mine.dpkg-old"), true),
            foreign(&entry("30-mine~"), false),
        ];
        let found = check(&hooks(vec![hook(MAIN)], foreign));
        let expected = [
            HookFinding::ForeignNotExecutable {
                path: entry("10-mine"),
            },
            HookFinding::BackupRuns {
                path: entry("20-mine.dpkg-old"),
            },
        ];
        assert_eq!(found[1..], expected);
    }
}
