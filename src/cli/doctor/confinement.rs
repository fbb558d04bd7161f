//! AppArmor and SELinux: a hook that the daemon may not run stops every start of a network
//! (exit 126).

use std::path::Path;

use super::{Finding, Root, hook::Ours};

/// What AppArmor's profile of libvirtd lets it run beside what is in its own folder, one level
/// deep each (libvirt, src/security/apparmor/usr.sbin.libvirtd.in; the same in 7.0 and 11.3).
const ALLOWED: [&str; 5] = ["/bin", "/sbin", "/usr/bin", "/usr/sbin", "/usr/lib/libvirt"];
const HOOKS: &str = "/etc/libvirt/hooks/";
/// The type that the policy gives what is in that folder (fedora-selinux, virt.fc).
const HOOK_TYPE: &str = "virt_hook_t";
const BOOLEAN: &str = "/sys/fs/selinux/booleans/virt_hooks_unconfined";
const ALLOW_HOOKS: &str = "setsebool -P virt_hooks_unconfined on";

/// What there is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Confinement {
    apparmor: Option<AppArmor>,
    selinux: Option<SeLinux>,
}

/// AppArmor, switched on.
#[derive(Clone, Debug)]
enum AppArmor {
    /// The daemon is confined, and what it does else is refused.
    Enforced,
    /// It is not, or is only watched.
    Free,
    /// Nobody says.
    Unknown,
}

#[derive(Clone, Debug)]
struct SeLinux {
    enforces: bool,
    /// Whether the boolean that lets hooks run is on; nothing where the policy has none.
    allows: Option<bool>,
}

/// What is asked about.
pub(crate) struct Asked<'a> {
    pub(crate) hook: &'a Ours,
    /// SELinux's label of it.
    pub(crate) label: Option<String>,
}

impl Confinement {
    /// Looks; `daemon` is the process of libvirt's, if it runs.
    pub(crate) fn look(root: &Root, daemon: Option<u32>) -> Self {
        let is_on = root
            .text("/sys/module/apparmor/parameters/enabled")
            .as_deref()
            == Some("Y");
        let enforces = root.text("/sys/fs/selinux/enforce");
        let allows = root.text(BOOLEAN);
        Self {
            apparmor: is_on.then(|| apparmor(root, daemon)),
            selinux: enforces.map(|enforces| SeLinux {
                enforces: enforces == "1",
                // The value now, and the one to come.
                allows: allows.map(|values| values.starts_with('1')),
            }),
        }
    }

    /// What lets libvirt run hooks, where SELinux does not just now: with a hook that it may not
    /// run, libvirt starts no network.
    pub(crate) fn missing_for_hooks(&self) -> Option<&'static str> {
        let selinux = self.selinux.as_ref()?;
        (selinux.enforces && selinux.allows == Some(false)).then_some(ALLOW_HOOKS)
    }

    pub(crate) fn findings(&self, asked: &[Asked<'_>]) -> Vec<Finding> {
        if asked.is_empty() {
            return Vec::new();
        }
        let mut found = Vec::new();
        if let Some(apparmor) = &self.apparmor {
            found.push(apparmor.finding(asked));
        }
        if let Some(selinux) = &self.selinux {
            found.push(selinux.finding(asked));
        }
        if found.is_empty() {
            let what = "neither AppArmor nor SELinux is in the hook's way";
            found.push(Finding::ok("confinement", what));
        }
        found
    }
}

/// The daemon's own word for what confines it, else what is loaded for it. libvirt has no
/// profile for virtnetworkd.
fn apparmor(root: &Root, daemon: Option<u32>) -> AppArmor {
    let own = daemon.and_then(|pid| {
        let files = ["attr/apparmor/current", "attr/current"].into_iter();
        let mut labels = files.filter_map(|file| root.text(format!("/proc/{pid}/{file}")));
        labels.next()
    });
    let is_enforced = |label: &str| label.ends_with(" (enforce)");
    match (own, root.text("/sys/kernel/security/apparmor/profiles")) {
        (Some(label), _) if is_enforced(&label) => AppArmor::Enforced,
        (Some(_), _) => AppArmor::Free,
        (None, Some(profiles)) => {
            let names = ["libvirtd ", "/usr/sbin/libvirtd "];
            let mut of_libvirtd = profiles
                .lines()
                .filter(|line| names.iter().any(|name| line.starts_with(name)));
            match of_libvirtd.any(is_enforced) {
                true => AppArmor::Enforced,
                false => AppArmor::Free,
            }
        }
        (None, None) => AppArmor::Unknown,
    }
}

impl AppArmor {
    fn finding(&self, asked: &[Asked<'_>]) -> Finding {
        const CHECK: &str = "apparmor";
        let mut links = asked.iter().filter_map(|asked| {
            let target = asked.hook.link.as_deref()?;
            (!is_allowed(target)).then_some((&asked.hook.file.path, target))
        });
        match (self, links.next()) {
            (_, None) => Finding::ok(CHECK, "AppArmor lets libvirtd run the hook"),
            (Self::Free, Some(_)) => Finding::ok(CHECK, "AppArmor does not confine libvirt's daemon"),
            (Self::Enforced, Some((path, target))) => Finding::wrong(
                CHECK,
                format!("{path} is a link to {target}, which AppArmor does not let libvirtd run: no network can start"),
            )
            .with("virt-forward hook install"),
            (Self::Unknown, Some((path, target))) => Finding::note(
                CHECK,
                format!("{path} is a link to {target}; whether AppArmor lets libvirtd run that could not be looked at"),
            )
            .with("virt-forward hook install"),
        }
    }
}

/// Whether the profile has that target of a link.
fn is_allowed(target: &str) -> bool {
    let folder = Path::new(target).parent();
    let is_in = |allowed: &str| folder == Some(Path::new(allowed));
    // A target without a slash at its front is beside the link.
    target.starts_with(HOOKS) || !target.starts_with('/') || ALLOWED.iter().any(|one| is_in(one))
}

impl SeLinux {
    fn finding(&self, asked: &[Asked<'_>]) -> Finding {
        const CHECK: &str = "selinux";
        let refused = match self.enforces {
            true => Finding::wrong,
            // It may be made to enforce at any time.
            false => Finding::note,
        };
        let would = if self.enforces {
            "lets"
        } else {
            "would, were it enforcing, let"
        };
        if self.allows == Some(false) {
            let what = format!("SELinux {would} libvirt run no hook: then no network can start");
            return refused(CHECK, what).with(ALLOW_HOOKS);
        }
        let is_labelled = |asked: &&Asked<'_>| {
            let label = asked.label.as_deref().unwrap_or_default();
            label.split(':').nth(2) == Some(HOOK_TYPE)
        };
        let stranger = asked.iter().find(|asked| !is_labelled(asked));
        match (self.allows, stranger) {
            (Some(_), Some(asked)) => {
                let path = &asked.hook.file.path;
                let label = asked.label.as_deref().unwrap_or("none");
                let what = format!(
                    "SELinux's label of {path} is {label}, not of type {HOOK_TYPE}: it {would} \
                     libvirt not run that, and no network can start"
                );
                let copy = asked
                    .hook
                    .link
                    .as_ref()
                    .map(|_| "virt-forward hook install");
                refused(CHECK, what)
                    .with_some(copy)
                    .with(format!("restorecon -v {path}"))
            }
            (Some(_), None) => Finding::ok(CHECK, "SELinux lets libvirt run the hook"),
            (None, _) => Finding::note(
                CHECK,
                "SELinux's policy here says nothing of libvirt's hooks (no boolean \
                 virt_hooks_unconfined): whether it lets libvirt run them is not to be seen",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::{
        hook::{Hooks, tests::put_hook},
        tests::said,
    };

    const HOOK: &str = "/etc/libvirt/hooks/network";

    struct Host(tempfile::TempDir);

    impl Host {
        fn new() -> Self {
            let host = Self(tempfile::tempdir().unwrap());
            put_hook(&host.root(), HOOK, "1", 0o755);
            host
        }

        fn root(&self) -> Root {
            Root::at(self.0.path())
        }

        fn found(&self, link: Option<&str>, label: Option<&str>) -> String {
            let mut hooks = Hooks::look(&self.root());
            hooks.ours[0].link = link.map(str::to_owned);
            let asked = [Asked {
                hook: &hooks.ours[0],
                label: label.map(str::to_owned),
            }];
            let found = Confinement::look(&self.root(), Some(50)).findings(&asked);
            assert_eq!(found.len(), 1);
            said(&found).concat()
        }
    }

    #[test]
    fn without_either_all_is_well() {
        assert!(
            Host::new()
                .found(Some("/opt/hook"), None)
                .starts_with("ok confinement")
        );
    }

    #[test]
    fn apparmor_judges_a_link_by_its_target() {
        let host = Host::new();
        host.root()
            .put("/sys/module/apparmor/parameters/enabled", "Y\n");
        assert!(host.found(None, None).starts_with("ok apparmor"));
        let opt = Some("/opt/virt-forward-hook");
        assert!(host.found(opt, None).starts_with("note apparmor"));
        host.root().put(
            "/sys/kernel/security/apparmor/profiles",
            "virt-aa-helper (enforce)\nlibvirtd (enforce)\n",
        );
        let denied = host.found(opt, None);
        assert!(
            denied.starts_with("wrong apparmor") && denied.contains("/opt/virt-forward-hook"),
            "{denied}"
        );
        assert!(denied.ends_with("| virt-forward hook install"));
        assert!(
            host.found(Some("/usr/lib/virt-forward/virt-forward-hook"), None)
                .starts_with("wrong")
        );
        for fine in [
            "/usr/sbin/virt-forward-hook",
            "/etc/libvirt/hooks/mine",
            "mine",
        ] {
            assert!(host.found(Some(fine), None).starts_with("ok"), "{fine}");
        }
        host.root().put("/proc/50/attr/current", "unconfined\n");
        assert!(host.found(opt, None).starts_with("ok"));
        host.root()
            .put("/proc/50/attr/current", "libvirtd (complain)\n");
        assert!(host.found(opt, None).starts_with("ok"));
        host.root()
            .put("/proc/50/attr/apparmor/current", "libvirtd (enforce)\n");
        assert!(host.found(opt, None).starts_with("wrong"));
    }

    #[test]
    fn a_hook_that_selinux_forbids_is_known_before() {
        let host = Host::new();
        let missing = || Confinement::look(&host.root(), None).missing_for_hooks();
        assert_eq!(missing(), None);
        host.root().put("/sys/fs/selinux/enforce", "1");
        assert_eq!(missing(), None, "a policy without the boolean");
        host.root().put(BOOLEAN, "0 0");
        assert_eq!(missing(), Some("setsebool -P virt_hooks_unconfined on"));
        host.root().put(BOOLEAN, "1 1");
        assert_eq!(missing(), None);
        host.root().put(BOOLEAN, "0 0");
        host.root().put("/sys/fs/selinux/enforce", "0");
        assert_eq!(missing(), None, "it does not enforce");
    }

    #[test]
    fn selinux_wants_the_boolean_and_the_label() {
        let host = Host::new();
        let (good, bad) = (
            "system_u:object_r:virt_hook_t:s0",
            "unconfined_u:object_r:user_tmp_t:s0",
        );
        host.root().put("/sys/fs/selinux/enforce", "1");
        assert!(host.found(None, Some(good)).starts_with("note selinux"));
        host.root().put(BOOLEAN, "0 0");
        let off = host.found(None, Some(good));
        assert!(
            off.starts_with("wrong selinux")
                && off.ends_with("| setsebool -P virt_hooks_unconfined on"),
            "{off}"
        );
        host.root().put(BOOLEAN, "1 1");
        assert!(host.found(None, Some(good)).starts_with("ok selinux"));
        let wrong = host.found(None, Some(bad));
        assert!(
            wrong.starts_with("wrong selinux")
                && wrong.ends_with("| restorecon -v /etc/libvirt/hooks/network"),
            "{wrong}"
        );
        assert!(
            host.found(Some("/usr/sbin/x"), Some("system_u:object_r:bin_t:s0"))
                .contains("| virt-forward hook install |")
        );
        host.root().put("/sys/fs/selinux/enforce", "0");
        assert!(host.found(None, Some(bad)).starts_with("note selinux"));
        host.root().put(BOOLEAN, "0 0");
        assert!(host.found(None, Some(good)).starts_with("note selinux"));
    }
}
