//! The programs that write rules on this host.

use std::{
    collections::BTreeMap,
    fmt::{self, Display, Formatter},
};

use strum::IntoStaticStr;
use virt_forward_ruleset::gates::{GateState, Owner, Site};

use crate::doctor::{
    context::Context,
    diagnosis::{Diagnosis, Fix, Severity, Subject},
};

/// Firewalls that are reported even where they have no rules.
const COMMON: [Owner; 3] = [Owner::Docker, Owner::Firewalld, Owner::Ufw];

/// The prefix of the chains of a firewall that can have rules outside the survey: libvirt's
/// rules may precede them.
fn chain_prefix(firewall: Owner) -> Option<&'static str> {
    match firewall {
        Owner::Docker => Some("DOCKER"),
        Owner::Ufw => Some("ufw"),
        Owner::Admin | Owner::Firewalld | Owner::Iptables | Owner::Libvirt => None,
    }
}

fn has_chains(firewall: Owner, context: &Context) -> bool {
    let prefix = chain_prefix(firewall);
    prefix.is_some_and(|prefix| {
        let mut chains = context.chains.all();
        chains.any(|chain| chain.name.chain.starts_with(prefix))
    })
}

#[derive(Clone, Debug, PartialEq, Eq, IntoStaticStr)]
#[cfg_attr(test, derive(strum::VariantNames))]
#[strum(serialize_all = "kebab-case")]
pub(crate) enum OwnerFinding {
    /// Allowed traffic passes through its gates, or without any.
    Passes {
        firewall: Owner,
        /// The chains of its gates.
        gates: Vec<String>,
    },
    /// It has rules that forwarded packets do not meet.
    NotAffecting { firewall: Owner },
    /// These common firewalls have no rules.
    Absent { firewalls: Vec<Owner> },
}

impl Diagnosis for OwnerFinding {
    fn subject(&self) -> Subject {
        match self {
            Self::Passes { firewall, .. } | Self::NotAffecting { firewall } => match firewall {
                Owner::Admin => Subject::Admin,
                Owner::Docker => Subject::Docker,
                Owner::Firewalld => Subject::Firewalld,
                Owner::Iptables => Subject::Iptables,
                Owner::Libvirt => Subject::Libvirt,
                Owner::Ufw => Subject::Ufw,
            },
            Self::Absent { .. } => Subject::Firewalls,
        }
    }

    fn kind(&self) -> &'static str {
        self.into()
    }

    fn severity(&self) -> Severity {
        Severity::Ok
    }

    fn fix(&self) -> Vec<Fix> {
        Vec::new()
    }
}

impl Display for OwnerFinding {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passes { firewall, gates } if gates.is_empty() => f.write_str(match firewall {
                Owner::Libvirt => "its rules accept allowed traffic",
                Owner::Firewalld => "running; it accepts traffic of libvirt's networks",
                Owner::Admin | Owner::Docker | Owner::Iptables | Owner::Ufw => {
                    "has rules on this host; none blocks allowed traffic"
                }
            }),
            Self::Passes { gates, .. } => {
                let noun = if gates.len() == 1 { "gate" } else { "gates" };
                let gates = gates.join(" and ");
                write!(f, "allowed traffic passes through the {noun} in {gates}")
            }
            Self::NotAffecting { .. } => {
                f.write_str("has rules on this host; none affects forwarded traffic")
            }
            Self::Absent { firewalls } => {
                let names: Vec<_> = firewalls.iter().map(|firewall| firewall.as_str()).collect();
                write!(f, "no rules of {}", join(&names, " or "))
            }
        }
    }
}

/// Reports the firewalls that do not block allowed traffic.
pub(crate) fn check(context: &Context) -> Vec<OwnerFinding> {
    let mut sites: BTreeMap<Owner, Vec<&Site>> = BTreeMap::new();
    for site in &context.inspection.wanted.survey.sites {
        sites.entry(site.owner).or_default().push(site);
    }
    let mut findings: Vec<_> = sites
        .iter()
        .filter_map(|(firewall, sites)| passes(*firewall, sites))
        .collect();
    let (unaffecting, absent): (Vec<_>, Vec<_>) = COMMON
        .into_iter()
        .filter(|firewall| !sites.contains_key(firewall))
        .partition(|firewall| has_chains(*firewall, context));
    for firewall in unaffecting {
        if !affects_containers(firewall, context) {
            findings.push(OwnerFinding::NotAffecting { firewall });
        }
    }
    if !absent.is_empty() {
        let firewalls = absent;
        findings.push(OwnerFinding::Absent { firewalls });
    }
    findings
}

/// Whether the check of Docker reports rules about packets to containers.
fn affects_containers(firewall: Owner, context: &Context) -> bool {
    firewall == Owner::Docker && !context.inspection.wanted.host.masqueraded.is_empty()
}

/// `None` if the check of the gates reports a defect.
fn passes(firewall: Owner, sites: &[&Site]) -> Option<OwnerFinding> {
    let mut gates = Vec::new();
    for site in sites {
        match site.state {
            GateState::Present => gates.push(site.chain().to_string()),
            GateState::NotNeeded => {}
            GateState::Shadowed | GateState::High | GateState::Missing => return None,
        }
    }
    Some(OwnerFinding::Passes { firewall, gates })
}

/// The words as a list in a sentence.
pub(super) fn join(words: &[&str], conjunction: &str) -> String {
    match words {
        [] => String::new(),
        [word] => (*word).to_owned(),
        [first @ .., last] => format!("{}{conjunction}{last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::fixtures::{TestHost, forward_chain, gate};
    use virt_forward_policy::netfilter::Family;

    #[test]
    fn common_firewalls_without_rules_are_listed() {
        let host = TestHost::new();
        let firewalls = COMMON.to_vec();
        let absent = OwnerFinding::Absent { firewalls };
        assert_eq!(check(&host.context()), [absent]);
    }

    #[test]
    fn a_firewall_with_a_gate_passes() {
        let mut host = TestHost::new();
        host.set_forward_chain(true, vec![gate()]);
        let expected = OwnerFinding::Passes {
            firewall: Owner::Iptables,
            gates: vec!["ip filter FORWARD".to_owned()],
        };
        assert_eq!(check(&host.context())[0], expected);
        host.set_forward_chain(true, vec![]);
        let found = check(&host.context());
        assert!(
            !found.contains(&expected),
            "the check of the gates reports it"
        );
    }

    #[test]
    fn a_firewall_with_chains_elsewhere_does_not_affect_forwarded_traffic() {
        let mut host = TestHost::new();
        let mut chain = forward_chain(Family::Ip, false, vec![]);
        chain.base = None;
        chain.name = chain.name.beside("DOCKER-USER");
        host.chains = [chain].into_iter().collect();
        let docker = OwnerFinding::NotAffecting {
            firewall: Owner::Docker,
        };
        let absent = OwnerFinding::Absent {
            firewalls: vec![Owner::Firewalld, Owner::Ufw],
        };
        assert_eq!(check(&host.context()), [docker, absent.clone()]);
        let masqueraded = ["docker0".to_owned()].into_iter().collect();
        host.inspection.wanted.host.masqueraded = masqueraded;
        assert_eq!(check(&host.context()), [absent]);
    }

    #[test]
    fn words_are_joined() {
        assert_eq!(join(&["a"], " or "), "a");
        assert_eq!(join(&["a", "b", "c"], " or "), "a, b or c");
    }
}
