//! The two backends of iptables: rules in one are not shown by the other, and the kernel applies
//! both.

use std::{
    fmt::{self, Display, Formatter},
    path::Path,
};

use strum::IntoStaticStr;
use virt_forward_policy::netfilter::{ChainName, Engine, Family};
use virt_forward_ruleset::COMMENT;
use virt_forward_system::exec::rule_dump::IptablesSave;

use super::{
    SysRoot,
    diagnosis::{Diagnosis, Fix, Severity, Subject},
};

/// The page that tells how to remove rules of the other backend. doctor does not print commands
/// that flush or delete rules.
const OTHER_BACKEND_GUIDE: &str = "see \"Rules left in the other backend\" in docs/firewalls.md, installed in /usr/share/doc/virt-forward";

/// The rules of both backends.
#[derive(Clone, Debug, Default)]
pub(crate) struct Iptables {
    /// The backend of the program `iptables`; `None` if it is unknown or not installed.
    default: Option<Engine>,
    nft: Tables,
    legacy: Tables,
    /// Chains that need a gate and that no installed program can write.
    unwritable: Vec<ChainName>,
}

/// The rules of one backend, of both families.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Tables {
    /// The number of rules that are not virt-forward's.
    rules: usize,
    /// The families whose FORWARD has policy DROP.
    dropping: Vec<Family>,
    has_libvirt_chains: bool,
}

impl Iptables {
    pub(crate) fn collect(
        root: &SysRoot,
        saves: &[IptablesSave],
        unwritable: Vec<ChainName>,
    ) -> Self {
        Self {
            default: default_backend(root),
            nft: Tables::parse(saves, Engine::Nft),
            legacy: Tables::parse(saves, Engine::Legacy),
            unwritable,
        }
    }

    pub(crate) fn check(&self) -> Vec<IptablesFinding> {
        let chains = self.unwritable.clone();
        let no_program = (!chains.is_empty()).then_some(IptablesFinding::NoProgram { chains });
        no_program
            .into_iter()
            .chain([self.check_backends()])
            .collect()
    }

    fn check_backends(&self) -> IptablesFinding {
        let (default, other, backend) = match self.default {
            Some(Engine::Nft) => (&self.nft, &self.legacy, Engine::Legacy),
            Some(Engine::Legacy) => (&self.legacy, &self.nft, Engine::Nft),
            None if self.legacy.is_empty() => return IptablesFinding::NoLegacyRules,
            None => return IptablesFinding::DefaultUnknown,
        };
        if other.has_libvirt_chains {
            return IptablesFinding::StaleLibvirtRules { backend };
        }
        if !other.dropping.is_empty() {
            let families = other.dropping.clone();
            return IptablesFinding::HiddenDropPolicy { backend, families };
        }
        match (other.is_empty(), default.is_empty()) {
            (true, _) if backend == Engine::Nft => IptablesFinding::DefaultIsLegacy,
            (true, _) => IptablesFinding::OneBackend,
            (false, true) => IptablesFinding::OnlyOtherBackend { backend },
            (false, false) => IptablesFinding::BothBackends { backend },
        }
    }
}

impl Tables {
    fn parse(saves: &[IptablesSave], engine: Engine) -> Self {
        let mut tables = Self::default();
        for save in saves.iter().filter(|save| save.engine == engine) {
            tables.add(save);
        }
        tables
    }

    fn add(&mut self, save: &IptablesSave) {
        let own_comment = format!("--comment {COMMENT} ");
        let mut table = "";
        for line in save.text.lines() {
            if let Some(name) = line.strip_prefix('*') {
                table = name;
            } else if table == "filter" && line.starts_with(":FORWARD DROP") {
                self.dropping.push(save.family);
            } else if line.starts_with(":LIBVIRT_") {
                self.has_libvirt_chains = true;
            } else if line.starts_with("-A ") && !line.contains(&own_comment) {
                self.rules += 1;
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.rules == 0 && self.dropping.is_empty()
    }
}

/// The backend of the program `iptables`: in each distribution it is a link to a program that has
/// the backend in its name.
fn default_backend(root: &SysRoot) -> Option<Engine> {
    let mut directories = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"].into_iter();
    let path = directories.find_map(|directory| {
        let path = root.path(Path::new(directory).join("iptables"));
        path.canonicalize().ok()
    })?;
    let name = path.file_name()?.to_string_lossy();
    if name.contains("nft") {
        return Some(Engine::Nft);
    }
    name.contains("legacy").then_some(Engine::Legacy)
}

#[derive(Clone, Debug, PartialEq, Eq, IntoStaticStr)]
#[cfg_attr(test, derive(strum::VariantNames))]
#[strum(serialize_all = "kebab-case")]
pub(crate) enum IptablesFinding {
    OneBackend,
    NoLegacyRules,
    /// There are rules of iptables-legacy, and the default backend is unknown.
    DefaultUnknown,
    /// All rules are of the default backend, which is legacy.
    DefaultIsLegacy,
    /// All rules are of the backend that is not the default.
    OnlyOtherBackend {
        backend: Engine,
    },
    BothBackends {
        backend: Engine,
    },
    /// libvirt writes to one backend only; what it wrote to the other is never updated.
    StaleLibvirtRules {
        backend: Engine,
    },
    /// A policy that the default `iptables` does not show.
    HiddenDropPolicy {
        backend: Engine,
        families: Vec<Family>,
    },
    NoProgram {
        chains: Vec<ChainName>,
    },
}

impl Diagnosis for IptablesFinding {
    fn subject(&self) -> Subject {
        Subject::Iptables
    }

    fn kind(&self) -> &'static str {
        self.into()
    }

    fn severity(&self) -> Severity {
        match self {
            Self::OneBackend | Self::NoLegacyRules => Severity::Ok,
            Self::DefaultUnknown
            | Self::DefaultIsLegacy
            | Self::OnlyOtherBackend { .. }
            | Self::BothBackends { .. } => Severity::Note,
            Self::StaleLibvirtRules { .. }
            | Self::HiddenDropPolicy { .. }
            | Self::NoProgram { .. } => Severity::Error,
        }
    }

    fn fix(&self) -> Vec<Fix> {
        let show = |backend: &Engine| Fix::command(format!("iptables-{}-save", suffix(*backend)));
        let guide = || Fix::advice(OTHER_BACKEND_GUIDE);
        match self {
            Self::OneBackend
            | Self::NoLegacyRules
            | Self::DefaultUnknown
            | Self::DefaultIsLegacy => Vec::new(),
            Self::OnlyOtherBackend { backend } | Self::BothBackends { backend } => {
                vec![show(backend)]
            }
            Self::StaleLibvirtRules { backend } => vec![show(backend), guide()],
            Self::HiddenDropPolicy { backend, families } => {
                let programs = families.iter().map(|family| program(*family, *backend));
                let show = |program| Fix::command(format!("{program} -S FORWARD"));
                programs.map(show).chain([guide()]).collect()
            }
            Self::NoProgram { .. } => vec![Fix::advice("install the package iptables")],
        }
    }
}

impl Display for IptablesFinding {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::OneBackend => f.write_str("all rules are of one backend"),
            Self::NoLegacyRules => f.write_str("no rules of iptables-legacy"),
            Self::DefaultUnknown => f.write_str(
                "there are rules of iptables-legacy, which nft does not show; cannot tell which \
                 backend `iptables` uses",
            ),
            Self::DefaultIsLegacy => f.write_str(
                "`iptables` is iptables-legacy: nft does not show its rules, and the kernel does \
                 not report changes to them, so virt-forward watch checks them once a minute",
            ),
            Self::OnlyOtherBackend { backend } => write!(
                f,
                "all rules are of iptables-{}, which the default `iptables` (other backend) does \
                 not show",
                suffix(*backend)
            ),
            Self::BothBackends { backend } => write!(
                f,
                "there are also rules of iptables-{}, which the default `iptables` (other \
                 backend) does not show; the kernel applies both",
                suffix(*backend)
            ),
            Self::StaleLibvirtRules { backend } => write!(
                f,
                "iptables-{} has stale rules of libvirt, which the default `iptables` (other \
                 backend) does not show; they still reject traffic, and libvirt no longer updates \
                 them",
                suffix(*backend)
            ),
            Self::HiddenDropPolicy { backend, .. } => write!(
                f,
                "iptables-{} has FORWARD policy DROP, which the default `iptables` (other \
                 backend) does not show; guests' Internet traffic is dropped",
                suffix(*backend)
            ),
            Self::NoProgram { chains } => {
                let chains: Vec<_> = chains.iter().map(ToString::to_string).collect();
                write!(
                    f,
                    "no installed program can add a gate to {}",
                    chains.join(", ")
                )
            }
        }
    }
}

fn suffix(backend: Engine) -> &'static str {
    match backend {
        Engine::Nft => "nft",
        Engine::Legacy => "legacy",
    }
}

fn program(family: Family, backend: Engine) -> String {
    let name = if family == Family::Ip6 {
        "ip6tables"
    } else {
        "iptables"
    };
    format!("{name}-{}", suffix(backend))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::symlink};

    const LIBVIRT: &str =
        "*filter\n:FORWARD ACCEPT [0:0]\n:LIBVIRT_FWI - [0:0]\n-A FORWARD -j LIBVIRT_FWI\nCOMMIT\n";
    const DROP: &str = "*filter\n:FORWARD DROP [0:0]\nCOMMIT\n";
    const GATE: &str = "*filter\n:FORWARD ACCEPT [0:0]\n-A FORWARD -m mark --mark 0x1/0x1 -m comment --comment virt-forward -j ACCEPT\n";
    const NAT: &str = "*nat\n-A POSTROUTING -j MASQUERADE\n";

    fn save(engine: Engine, text: &str) -> IptablesSave {
        IptablesSave {
            engine,
            family: Family::Ip,
            text: text.to_owned(),
        }
    }

    fn check(default: Option<Engine>, nft: &str, legacy: &str) -> IptablesFinding {
        let saves = [save(Engine::Nft, nft), save(Engine::Legacy, legacy)];
        let iptables = Iptables {
            default,
            nft: Tables::parse(&saves, Engine::Nft),
            legacy: Tables::parse(&saves, Engine::Legacy),
            unwritable: Vec::new(),
        };
        iptables.check_backends()
    }

    #[test]
    fn rules_in_the_other_backend_are_found() {
        let backend = Engine::Legacy;
        let nft = Some(Engine::Nft);
        assert_eq!(check(nft, LIBVIRT, ""), IptablesFinding::OneBackend);
        assert_eq!(check(nft, LIBVIRT, GATE), IptablesFinding::OneBackend);
        assert_eq!(
            check(nft, LIBVIRT, NAT),
            IptablesFinding::BothBackends { backend }
        );
        assert_eq!(
            check(nft, "", NAT),
            IptablesFinding::OnlyOtherBackend { backend }
        );
        assert_eq!(
            check(nft, LIBVIRT, LIBVIRT),
            IptablesFinding::StaleLibvirtRules { backend }
        );
        let families = vec![Family::Ip];
        assert_eq!(
            check(nft, LIBVIRT, DROP),
            IptablesFinding::HiddenDropPolicy { backend, families }
        );
        let legacy = Some(Engine::Legacy);
        assert_eq!(check(legacy, "", LIBVIRT), IptablesFinding::DefaultIsLegacy);
        assert_eq!(check(None, LIBVIRT, NAT), IptablesFinding::DefaultUnknown);
        assert_eq!(check(None, LIBVIRT, ""), IptablesFinding::NoLegacyRules);
    }

    #[test]
    fn a_chain_that_no_program_can_write_is_an_error() {
        let chains = vec![ChainName::nft(Family::Ip, "filter", "FORWARD")];
        let iptables = Iptables {
            unwritable: chains.clone(),
            ..Iptables::default()
        };
        assert_eq!(iptables.check()[0], IptablesFinding::NoProgram { chains });
    }

    #[test]
    fn the_backend_is_in_the_name_behind_the_link() {
        let dir = tempfile::tempdir().unwrap();
        let root = SysRoot::at(dir.path());
        assert_eq!(default_backend(&root), None);
        root.put("/usr/sbin/xtables-nft-multi", "");
        symlink("xtables-nft-multi", root.path("/usr/sbin/iptables")).unwrap();
        assert_eq!(default_backend(&root), Some(Engine::Nft));
        fs::remove_file(root.path("/usr/sbin/iptables")).unwrap();
        root.put("/usr/sbin/xtables-legacy-multi", "");
        symlink("xtables-legacy-multi", root.path("/usr/sbin/iptables")).unwrap();
        assert_eq!(default_backend(&root), Some(Engine::Legacy));
    }
}
