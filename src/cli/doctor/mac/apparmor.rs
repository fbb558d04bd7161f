//! AppArmor judges a link by its target.

use std::{
    fmt::{self, Display, Formatter},
    path::Path,
};

use strum::IntoStaticStr;

use crate::doctor::{
    SysRoot,
    diagnosis::{Diagnosis, Fix, Severity, Subject},
    hook::InstalledHook,
};

/// The directories whose files the profile of libvirtd may execute, one level deep each, beside
/// its own hook directory (libvirt, src/security/apparmor/usr.sbin.libvirtd.in; the same in 7.0
/// and 11.3).
const ALLOWED: [&str; 5] = ["/bin", "/sbin", "/usr/bin", "/usr/sbin", "/usr/lib/libvirt"];
const HOOKS: &str = "/etc/libvirt/hooks/";

/// AppArmor, if it is enabled, and libvirt's daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AppArmor {
    /// The daemon is confined.
    Enforcing,
    /// The daemon is unconfined, or its profile only complains.
    Unconfined,
    Unknown,
}

#[derive(Clone, Debug, PartialEq, Eq, IntoStaticStr)]
#[cfg_attr(test, derive(strum::VariantNames))]
#[strum(serialize_all = "kebab-case")]
pub(crate) enum AppArmorFinding {
    HookAllowed,
    DaemonUnconfined,
    LinkDenied {
        path: String,
        target: String,
    },
    /// The profile of the daemon cannot be read.
    LinkUnknown {
        path: String,
        target: String,
    },
}

impl Diagnosis for AppArmorFinding {
    fn subject(&self) -> Subject {
        Subject::AppArmor
    }

    fn kind(&self) -> &'static str {
        self.into()
    }

    fn severity(&self) -> Severity {
        match self {
            Self::HookAllowed | Self::DaemonUnconfined => Severity::Ok,
            Self::LinkUnknown { .. } => Severity::Note,
            Self::LinkDenied { .. } => Severity::Error,
        }
    }

    fn fix(&self) -> Vec<Fix> {
        match self {
            Self::HookAllowed | Self::DaemonUnconfined => Vec::new(),
            // A real file in place of the link.
            Self::LinkDenied { .. } | Self::LinkUnknown { .. } => vec![Fix::install_hook()],
        }
    }
}

impl Display for AppArmorFinding {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::HookAllowed => f.write_str("AppArmor lets libvirtd execute the hook"),
            Self::DaemonUnconfined => f.write_str("AppArmor does not confine libvirt's daemon"),
            Self::LinkDenied { path, target } => write!(
                f,
                "{path} is a link to {target}, which AppArmor does not let libvirtd execute: no \
                 network can start"
            ),
            Self::LinkUnknown { path, target } => write!(
                f,
                "{path} is a link to {target}; cannot tell whether AppArmor lets libvirtd execute it"
            ),
        }
    }
}

impl AppArmor {
    /// `None` if AppArmor is disabled.
    pub(super) fn collect(root: &SysRoot, daemon: Option<u32>) -> Option<Self> {
        let enabled = root.text("/sys/module/apparmor/parameters/enabled")?;
        (enabled == "Y").then(|| Self::of_daemon(root, daemon))
    }

    /// The label of the running daemon, or else the profile that is loaded for it. libvirt has no
    /// profile for virtnetworkd.
    fn of_daemon(root: &SysRoot, daemon: Option<u32>) -> Self {
        let label = daemon.and_then(|pid| {
            let mut files = ["attr/apparmor/current", "attr/current"].into_iter();
            files.find_map(|file| root.text(format!("/proc/{pid}/{file}")))
        });
        if let Some(label) = label {
            return Self::of_labels([label.as_str()]);
        }
        let Some(profiles) = root.text("/sys/kernel/security/apparmor/profiles") else {
            return Self::Unknown;
        };
        let names = ["libvirtd ", "/usr/sbin/libvirtd "];
        let is_libvirtds = |line: &&str| names.iter().any(|name| line.starts_with(name));
        Self::of_labels(profiles.lines().filter(is_libvirtds))
    }

    fn of_labels<'a>(labels: impl IntoIterator<Item = &'a str>) -> Self {
        let mut labels = labels.into_iter();
        if labels.any(|label| label.ends_with(" (enforce)")) {
            return Self::Enforcing;
        }
        Self::Unconfined
    }

    pub(super) fn check(self, hooks: &[InstalledHook]) -> AppArmorFinding {
        let denied_link = hooks.iter().find_map(|hook| {
            let target = hook.link.as_deref()?;
            (!is_allowed(target)).then(|| (hook.file.path.clone(), target.to_owned()))
        });
        match (denied_link, self) {
            (None, _) => AppArmorFinding::HookAllowed,
            (Some(_), Self::Unconfined) => AppArmorFinding::DaemonUnconfined,
            (Some((path, target)), Self::Enforcing) => AppArmorFinding::LinkDenied { path, target },
            (Some((path, target)), Self::Unknown) => AppArmorFinding::LinkUnknown { path, target },
        }
    }
}

/// Whether the profile allows the target of a link.
fn is_allowed(target: &str) -> bool {
    let directory = Path::new(target).parent();
    let is_in = |allowed: &str| directory == Some(Path::new(allowed));
    // A relative target is in the hook directory.
    target.starts_with(HOOKS)
        || !target.starts_with('/')
        || ALLOWED.iter().any(|allowed| is_in(allowed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::fixtures::installed_hook;

    fn kind(apparmor: AppArmor, target: Option<&str>) -> &'static str {
        apparmor.check(&[installed_hook(target, None)]).kind()
    }

    #[test]
    fn a_link_is_judged_by_its_target() {
        assert_eq!(kind(AppArmor::Enforcing, None), "hook-allowed");
        for allowed in [
            "/usr/sbin/virt-forward-hook",
            "/etc/libvirt/hooks/mine",
            "mine",
        ] {
            let found = kind(AppArmor::Enforcing, Some(allowed));
            assert_eq!(found, "hook-allowed", "{allowed}");
        }
        for denied in [
            "/opt/virt-forward-hook",
            "/usr/lib/virt-forward/virt-forward-hook",
        ] {
            assert_eq!(kind(AppArmor::Enforcing, Some(denied)), "link-denied");
            assert_eq!(kind(AppArmor::Unknown, Some(denied)), "link-unknown");
            assert_eq!(
                kind(AppArmor::Unconfined, Some(denied)),
                "daemon-unconfined"
            );
        }
    }

    #[test]
    fn the_label_of_the_daemon_precedes_the_loaded_profiles() {
        let dir = tempfile::tempdir().unwrap();
        let root = SysRoot::at(dir.path());
        let found = || AppArmor::collect(&root, Some(50));
        assert_eq!(found(), None);
        root.put("/sys/module/apparmor/parameters/enabled", "Y\n");
        assert_eq!(found(), Some(AppArmor::Unknown));
        let profiles = "/sys/kernel/security/apparmor/profiles";
        root.put(profiles, "virt-aa-helper (enforce)\n");
        assert_eq!(found(), Some(AppArmor::Unconfined));
        root.put(profiles, "virt-aa-helper (enforce)\nlibvirtd (enforce)\n");
        assert_eq!(found(), Some(AppArmor::Enforcing));
        root.put("/proc/50/attr/current", "unconfined\n");
        assert_eq!(found(), Some(AppArmor::Unconfined));
        root.put("/proc/50/attr/current", "libvirtd (complain)\n");
        assert_eq!(found(), Some(AppArmor::Unconfined));
        root.put("/proc/50/attr/apparmor/current", "libvirtd (enforce)\n");
        assert_eq!(found(), Some(AppArmor::Enforcing));
    }
}
