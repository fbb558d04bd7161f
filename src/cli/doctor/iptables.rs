//! The programs, and iptables of two kinds: rules of the one are not seen by the other, and the
//! kernel obeys both.

use std::path::Path;

use virt_forward_policy::netfilter::{Engine, Family};
use virt_forward_ruleset::COMMENT;
use virt_forward_system::exec::rule_dump::Save;

use super::{Finding, Root};

const CHECK: &str = "iptables";

/// What there is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Iptables {
    /// Which kind `iptables` is; nothing where that cannot be told, or where it is not there.
    pub(crate) kind: Option<Engine>,
    pub(crate) nft: Tables,
    pub(crate) legacy: Tables,
    /// Chains with a gate that only iptables can write, for which there is no program.
    pub(crate) unwritable: Vec<String>,
}

/// The rules of one kind, of both families.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tables {
    /// How many there are that are not ours.
    rules: usize,
    /// Programs whose table `filter` has policy DROP on FORWARD.
    drops: Vec<Family>,
    /// Whether chains of libvirt are among them.
    has_libvirts: bool,
}

impl Tables {
    pub(crate) fn of(saves: &[Save], engine: Engine) -> Self {
        let mut tables = Self::default();
        for save in saves.iter().filter(|save| save.engine == engine) {
            tables.add(save);
        }
        tables
    }

    fn add(&mut self, save: &Save) {
        let mut table = "";
        for line in save.text.lines() {
            if let Some(name) = line.strip_prefix('*') {
                table = name;
            } else if table == "filter" && line.starts_with(":FORWARD DROP") {
                self.drops.push(save.family);
            } else if line.starts_with(":LIBVIRT_") {
                self.has_libvirts = true;
            } else if line.starts_with("-A ") && !line.contains(&format!("--comment {COMMENT} ")) {
                self.rules += 1;
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.rules == 0 && self.drops.is_empty()
    }
}

/// Which kind `iptables` is: each distribution has it as a link to a program that says so in
/// its name.
pub(crate) fn kind(root: &Root) -> Option<Engine> {
    let mut folders = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"].into_iter();
    let path = folders.find_map(|folder| {
        let path = root.path(Path::new(folder).join("iptables"));
        path.canonicalize().ok()
    })?;
    let name = path.file_name()?.to_string_lossy();
    match () {
        () if name.contains("nft") => Some(Engine::Nft),
        () if name.contains("legacy") => Some(Engine::Legacy),
        () => None,
    }
}

impl Iptables {
    pub(crate) fn findings(&self) -> Vec<Finding> {
        let mut found = Vec::new();
        if !self.unwritable.is_empty() {
            let what = format!(
                "there is no program for {}: no gate can be put there",
                self.unwritable.join(", ")
            );
            found.push(Finding::wrong(CHECK, what).with("# install the package iptables"));
        }
        found.push(self.mixed());
        found
    }

    fn mixed(&self) -> Finding {
        let (own, other, name) = match self.kind {
            Some(Engine::Nft) => (&self.nft, &self.legacy, "legacy"),
            Some(Engine::Legacy) => (&self.legacy, &self.nft, "nft"),
            None if self.legacy.is_empty() => {
                return Finding::ok(CHECK, "there are no rules of iptables-legacy");
            }
            None => {
                let what = "there are rules of iptables-legacy, which nft does not show, and which kind `iptables` is could not be seen";
                return Finding::note(CHECK, what);
            }
        };
        let is_legacy = name == "nft";
        match () {
            () if other.has_libvirts => stale(name),
            () if !other.drops.is_empty() => dropped(other, name),
            () if other.is_empty() && is_legacy => Finding::note(
                CHECK,
                "iptables is iptables-legacy here: nft does not show its rules, and nobody tells of changes to them, so that the watching service looks once a minute",
            ),
            () if other.is_empty() => Finding::ok(CHECK, "all its rules are of one kind"),
            () if own.is_empty() => Finding::note(
                CHECK,
                format!("all rules are of iptables-{name}, which `iptables` does not show here"),
            )
            .with(format!("iptables-{name}-save")),
            () => Finding::note(
                CHECK,
                format!("there are rules of iptables-{name} too, which `iptables` does not show here; the kernel obeys both"),
            )
            .with(format!("iptables-{name}-save")),
        }
    }
}

fn program(family: Family, kind: &str) -> String {
    let name = if family == Family::Ip6 {
        "ip6tables"
    } else {
        "iptables"
    };
    format!("{name}-{kind}")
}

/// The section that tells how to remove rules of the other backend. No command that flushes or
/// deletes rules is printed.
const OTHER_BACKEND_GUIDE: &str = "# see \"Rules left in the other backend\" in docs/firewalls.md, \
                                   installed in /usr/share/doc/virt-forward";

/// libvirt writes to one backend; what it wrote to the other is never updated.
fn stale(kind: &str) -> Finding {
    Finding::wrong(
        CHECK,
        format!(
            "libvirt's rules are in the tables of iptables-{kind}, and `iptables` is of the \
             other kind: they refuse, and nobody changes them any more"
        ),
    )
    .with(format!("iptables-{kind}-save"))
    .with(OTHER_BACKEND_GUIDE)
}

fn dropped(other: &Tables, kind: &str) -> Finding {
    let programs = other.drops.iter().map(|family| program(*family, kind));
    Finding::wrong(
        CHECK,
        format!(
            "the policy of FORWARD is DROP in the tables of iptables-{kind}, and `iptables`, \
             which is of the other kind, does not show that: what nothing of virt-forward's \
             opens is dropped, the guests' way out among it"
        ),
    )
    .with_all(programs.map(|program| format!("{program} -S FORWARD")))
    .with(OTHER_BACKEND_GUIDE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::tests::said;
    use std::{fs, os::unix::fs::symlink};

    fn tables(text: &str) -> Tables {
        let save = Save {
            engine: Engine::Nft,
            family: Family::Ip,
            text: text.to_owned(),
        };
        Tables::of(&[save], Engine::Nft)
    }

    fn found(kind: Option<Engine>, nft: &str, legacy: &str) -> String {
        let iptables = Iptables {
            kind,
            nft: tables(nft),
            legacy: tables(legacy),
            unwritable: Vec::new(),
        };
        said(&iptables.findings()).concat()
    }

    const LIBVIRT: &str =
        "*filter\n:FORWARD ACCEPT [0:0]\n:LIBVIRT_FWI - [0:0]\n-A FORWARD -j LIBVIRT_FWI\nCOMMIT\n";
    const DROP: &str = "*filter\n:FORWARD DROP [0:0]\nCOMMIT\n";
    const OURS: &str = "*filter\n:FORWARD ACCEPT [0:0]\n-A FORWARD -m mark --mark 0x1/0x1 -m comment --comment virt-forward -j ACCEPT\n";

    #[test]
    fn the_two_kinds_are_told_apart() {
        assert!(found(Some(Engine::Nft), LIBVIRT, "").starts_with("ok iptables"));
        assert!(found(Some(Engine::Nft), LIBVIRT, OURS).starts_with("ok iptables"));
        assert!(
            found(Some(Engine::Legacy), "", LIBVIRT)
                .starts_with("note iptables: iptables is iptables-legacy")
        );
        let stale = found(Some(Engine::Nft), LIBVIRT, LIBVIRT);
        assert!(
            stale.starts_with("wrong iptables: libvirt's rules"),
            "{stale}"
        );
        assert!(stale.contains("| iptables-legacy-save | # see"), "{stale}");
        let drops = found(Some(Engine::Nft), LIBVIRT, DROP);
        assert!(
            drops.starts_with("wrong") && drops.contains("| iptables-legacy -S FORWARD | # see"),
            "{drops}"
        );
        let own = "*nat\n-A POSTROUTING -j MASQUERADE\n";
        assert!(found(Some(Engine::Nft), LIBVIRT, own).starts_with("note"));
        assert!(found(None, LIBVIRT, own).starts_with("note"));
        assert!(found(None, LIBVIRT, "").starts_with("ok"));
    }

    #[test]
    fn the_kind_is_in_the_name_behind_the_link() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::at(dir.path());
        assert_eq!(kind(&root), None);
        root.put("/usr/sbin/xtables-nft-multi", "");
        symlink("xtables-nft-multi", root.path("/usr/sbin/iptables")).unwrap();
        assert_eq!(kind(&root), Some(Engine::Nft));
        fs::remove_file(root.path("/usr/sbin/iptables")).unwrap();
        root.put("/usr/sbin/xtables-legacy-multi", "");
        symlink("xtables-legacy-multi", root.path("/usr/sbin/iptables")).unwrap();
        assert_eq!(kind(&root), Some(Engine::Legacy));
    }
}
