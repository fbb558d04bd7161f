//! SELinux lets libvirt run hooks only if a boolean is on and the file has the right type.

use std::fmt::{self, Display, Formatter};

use strum::IntoStaticStr;

use crate::doctor::{
    SysRoot,
    diagnosis::{Diagnosis, Fix, Severity, Subject},
    hook::InstalledHook,
};

/// The type that the policy assigns to files in the hook directory (fedora-selinux, virt.fc).
const HOOK_TYPE: &str = "virt_hook_t";
const BOOLEAN: &str = "/sys/fs/selinux/booleans/virt_hooks_unconfined";
const ALLOW_HOOKS: &str = "setsebool -P virt_hooks_unconfined on";

/// SELinux, enabled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Selinux {
    mode: Mode,
    /// Whether the boolean that lets hooks run is on; `None` if the policy has no such boolean.
    are_hooks_allowed: Option<bool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Enforcing,
    /// Denials are only logged; the administrator can enforce them at any time.
    Permissive,
}

#[derive(Clone, Debug, PartialEq, Eq, IntoStaticStr)]
#[cfg_attr(test, derive(strum::VariantNames))]
#[strum(serialize_all = "kebab-case")]
pub(crate) enum SelinuxFinding {
    HookAllowed,
    /// The boolean is off.
    HooksDenied {
        mode: Mode,
    },
    WrongType {
        mode: Mode,
        path: String,
        label: Option<String>,
        is_link: bool,
    },
    /// The policy has no boolean for hooks.
    Unknown,
}

impl Diagnosis for SelinuxFinding {
    fn subject(&self) -> Subject {
        Subject::Selinux
    }

    fn kind(&self) -> &'static str {
        self.into()
    }

    fn severity(&self) -> Severity {
        match self {
            Self::HookAllowed => Severity::Ok,
            Self::Unknown => Severity::Note,
            Self::HooksDenied { mode } | Self::WrongType { mode, .. } => match mode {
                Mode::Enforcing => Severity::Error,
                Mode::Permissive => Severity::Note,
            },
        }
    }

    fn fix(&self) -> Vec<Fix> {
        match self {
            Self::HookAllowed | Self::Unknown => Vec::new(),
            Self::HooksDenied { .. } => vec![Fix::command(ALLOW_HOOKS)],
            Self::WrongType { path, is_link, .. } => {
                let copy = is_link.then(Fix::install_hook);
                let relabel = Fix::command(format!("restorecon -v {path}"));
                copy.into_iter().chain([relabel]).collect()
            }
        }
    }
}

impl Display for SelinuxFinding {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::HookAllowed => f.write_str("SELinux lets libvirt run the hook"),
            Self::HooksDenied {
                mode: Mode::Enforcing,
            } => f.write_str("SELinux denies libvirt hooks, so no network can start"),
            Self::HooksDenied {
                mode: Mode::Permissive,
            } => f.write_str(
                "SELinux (permissive) would deny libvirt hooks in enforcing mode; networks would fail to start",
            ),
            Self::WrongType {
                mode, path, label, ..
            } => {
                let label = label.as_deref().unwrap_or("none");
                write!(f, "the SELinux label of {path} is {label}, not of type {HOOK_TYPE}: ")?;
                f.write_str(match mode {
                    Mode::Enforcing => "libvirt cannot execute it, so no network can start",
                    Mode::Permissive => {
                        "in enforcing mode libvirt could not execute it, and networks would fail \
                         to start"
                    }
                })
            }
            Self::Unknown => f.write_str(
                "cannot tell whether SELinux lets libvirt run hooks: its policy has no boolean \
                 virt_hooks_unconfined",
            ),
        }
    }
}

impl Selinux {
    /// `None` if SELinux is disabled.
    pub(super) fn collect(root: &SysRoot) -> Option<Self> {
        let enforce = root.text("/sys/fs/selinux/enforce")?;
        let boolean = root.text(BOOLEAN);
        Some(Self {
            mode: if enforce == "1" {
                Mode::Enforcing
            } else {
                Mode::Permissive
            },
            // The file has the current value and the pending one.
            are_hooks_allowed: boolean.map(|values| values.starts_with('1')),
        })
    }

    /// The command that lets libvirt run hooks, if they are denied at present.
    pub(super) fn required_boolean(&self) -> Option<&'static str> {
        let is_denied = self.mode == Mode::Enforcing && self.are_hooks_allowed == Some(false);
        is_denied.then_some(ALLOW_HOOKS)
    }

    pub(super) fn check(&self, hooks: &[InstalledHook]) -> SelinuxFinding {
        let mode = self.mode;
        match self.are_hooks_allowed {
            None => SelinuxFinding::Unknown,
            Some(false) => SelinuxFinding::HooksDenied { mode },
            Some(true) => match hooks.iter().find(|hook| !has_hook_type(hook)) {
                None => SelinuxFinding::HookAllowed,
                Some(hook) => SelinuxFinding::WrongType {
                    mode,
                    path: hook.file.path.clone(),
                    label: hook.label.clone(),
                    is_link: hook.link.is_some(),
                },
            },
        }
    }
}

fn has_hook_type(hook: &InstalledHook) -> bool {
    let label = hook.label.as_deref().unwrap_or_default();
    label.split(':').nth(2) == Some(HOOK_TYPE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::fixtures::installed_hook;

    const RIGHT: &str = "system_u:object_r:virt_hook_t:s0";
    const WRONG: &str = "unconfined_u:object_r:user_tmp_t:s0";

    fn check(mode: Mode, are_hooks_allowed: Option<bool>, label: &str) -> SelinuxFinding {
        let selinux = Selinux {
            mode,
            are_hooks_allowed,
        };
        selinux.check(&[installed_hook(None, Some(label))])
    }

    #[test]
    fn the_boolean_and_the_label_have_to_allow_the_hook() {
        let mode = Mode::Enforcing;
        assert_eq!(check(mode, None, RIGHT), SelinuxFinding::Unknown);
        let denied = check(mode, Some(false), RIGHT);
        assert_eq!(denied, SelinuxFinding::HooksDenied { mode });
        assert_eq!(denied.severity(), Severity::Error);
        assert_eq!(check(mode, Some(true), RIGHT), SelinuxFinding::HookAllowed);
        let wrong = check(mode, Some(true), WRONG);
        assert_eq!(wrong.severity(), Severity::Error);
        assert_eq!(
            wrong.fix(),
            [Fix::command("restorecon -v /etc/libvirt/hooks/network")]
        );
    }

    #[test]
    fn a_link_is_replaced_by_a_file_before_it_is_relabelled() {
        let selinux = Selinux {
            mode: Mode::Enforcing,
            are_hooks_allowed: Some(true),
        };
        let label = "system_u:object_r:bin_t:s0";
        let found = selinux.check(&[installed_hook(Some("/usr/sbin/x"), Some(label))]);
        assert_eq!(found.fix().first(), Some(&Fix::install_hook()));
        assert_eq!(found.fix().len(), 2);
    }

    #[test]
    fn a_permissive_selinux_is_only_noted() {
        let mode = Mode::Permissive;
        for (allowed, label) in [(Some(true), WRONG), (Some(false), RIGHT)] {
            assert_eq!(check(mode, allowed, label).severity(), Severity::Note);
        }
    }

    #[test]
    fn a_denial_is_known_before_the_hook_is_installed() {
        let dir = tempfile::tempdir().unwrap();
        let root = SysRoot::at(dir.path());
        let required = || Selinux::collect(&root).and_then(|selinux| selinux.required_boolean());
        assert_eq!(required(), None);
        root.put("/sys/fs/selinux/enforce", "1");
        assert_eq!(required(), None, "a policy without the boolean");
        root.put(BOOLEAN, "0 0");
        assert_eq!(required(), Some("setsebool -P virt_hooks_unconfined on"));
        root.put(BOOLEAN, "1 1");
        assert_eq!(required(), None);
        root.put(BOOLEAN, "0 0");
        root.put("/sys/fs/selinux/enforce", "0");
        assert_eq!(required(), None, "permissive");
    }
}
