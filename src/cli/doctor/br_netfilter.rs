//! br_netfilter, which passes bridged packets, such as those between guests of one network,
//! through the forward hook. Docker, Kubernetes and others load it.

use std::fmt::{self, Display, Formatter};

use strum::IntoStaticStr;
use virt_forward_policy::{
    netfilter::{ChainName, Family},
    sanitize::escape,
};
use virt_forward_ruleset::gates::chain_model::{Chain, Chains, Verdict};
use virt_forward_system::state::Record;

use super::{
    SysRoot,
    context::Context,
    diagnosis::{Diagnosis, Fix, Severity, Subject},
};

/// The sysctls that pass bridged packets of a family to its chains.
pub(super) const SYSCTLS: [BridgeSysctl; 2] = [
    BridgeSysctl {
        family: Family::Ip,
        name: "bridge-nf-call-iptables",
        program: "iptables",
    },
    BridgeSysctl {
        family: Family::Ip6,
        name: "bridge-nf-call-ip6tables",
        program: "ip6tables",
    },
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BridgeSysctl {
    family: Family,
    name: &'static str,
    /// The program that writes rules for the family.
    program: &'static str,
}

/// The sysctls that are on.
#[derive(Clone, Debug, Default)]
pub(crate) struct BridgeFilter {
    pub(super) enabled: Vec<BridgeSysctl>,
}

impl BridgeFilter {
    pub(crate) fn collect(root: &SysRoot) -> Self {
        let is_on = |sysctl: &BridgeSysctl| {
            root.number(format!("/proc/sys/net/bridge/{}", sysctl.name)) == Some(1)
        };
        Self {
            enabled: SYSCTLS.into_iter().filter(is_on).collect(),
        }
    }

    pub(crate) fn check(&self, context: &Context) -> Vec<BridgeFilterFinding> {
        let blocked: Vec<_> = self
            .enabled
            .iter()
            .filter_map(|sysctl| blocked(*sysctl, context))
            .collect();
        if !blocked.is_empty() {
            return blocked;
        }
        if self.enabled.is_empty() {
            return vec![BridgeFilterFinding::Disabled];
        }
        if context.networks.active.is_empty() {
            return vec![BridgeFilterFinding::NoNetwork];
        }
        let sysctls = self.enabled.clone();
        vec![BridgeFilterFinding::Accepted { sysctls }]
    }
}

#[derive(Clone, Debug, PartialEq, Eq, IntoStaticStr)]
#[cfg_attr(test, derive(strum::VariantNames))]
#[strum(serialize_all = "kebab-case")]
pub(crate) enum BridgeFilterFinding {
    Disabled,
    /// It is enabled, but no network is active.
    NoNetwork,
    /// It is enabled, and no chain drops packets within a network.
    Accepted {
        sysctls: Vec<BridgeSysctl>,
    },
    /// Guests of these networks cannot reach each other within their own network.
    Blocked {
        networks: Vec<String>,
        sysctl: BridgeSysctl,
        chain: ChainName,
    },
}

impl Diagnosis for BridgeFilterFinding {
    fn subject(&self) -> Subject {
        Subject::BridgeFilter
    }

    fn kind(&self) -> &'static str {
        self.into()
    }

    fn severity(&self) -> Severity {
        match self {
            Self::Disabled | Self::NoNetwork => Severity::Ok,
            Self::Accepted { .. } => Severity::Note,
            Self::Blocked { .. } => Severity::Error,
        }
    }

    fn fix(&self) -> Vec<Fix> {
        let off =
            |sysctl: &BridgeSysctl| Fix::command(format!("sysctl net.bridge.{}=0", sysctl.name));
        match self {
            Self::Disabled | Self::NoNetwork => Vec::new(),
            Self::Accepted { sysctls } => {
                let unless = Fix::advice("unless Docker or Kubernetes needs it:");
                [unless]
                    .into_iter()
                    .chain(sysctls.iter().map(off))
                    .collect()
            }
            Self::Blocked { sysctl, chain, .. } => {
                let accept = chain.is_of_iptables().then(|| {
                    Fix::advice(format!(
                        "or, if Docker or Kubernetes needs it: {} -I {} -m physdev \
                         --physdev-is-bridged -j ACCEPT",
                        sysctl.program, chain.chain
                    ))
                });
                [off(sysctl)].into_iter().chain(accept).collect()
            }
        }
    }
}

impl Display for BridgeFilterFinding {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disabled => f.write_str(
                "bridged packets are not filtered (br_netfilter is not loaded or is off)",
            ),
            Self::NoNetwork => f.write_str("br_netfilter is on, but no network is active"),
            Self::Accepted { .. } => f.write_str(
                "br_netfilter is on: packets within a network pass this host's firewalls, and none \
                 of these drops them",
            ),
            Self::Blocked {
                networks,
                sysctl,
                chain,
            } => {
                let networks: Vec<_> = networks.iter().map(|name| escape(name)).collect();
                write!(
                    f,
                    "guests of {} cannot reach each other within their network: \
                     net.bridge.{} is 1, and {chain} drops their packets",
                    networks.join(", "),
                    sysctl.name
                )
            }
        }
    }
}

fn blocked(sysctl: BridgeSysctl, context: &Context) -> Option<BridgeFilterFinding> {
    if !context.is_config_valid {
        return None;
    }
    let chain = first_dropping_chain(context.chains, sysctl.family)?;
    let has_family = |record: &&Record| match sysctl.family {
        Family::Ip6 => !record.network.subnets6().is_empty(),
        _ => !record.network.subnets4().is_empty(),
    };
    // Packets within a network of a group are marked, too, and pass through the gates.
    let unmarked = context
        .records()
        .filter(|record| record.access.groups.is_empty());
    let networks: Vec<_> = unmarked
        .filter(has_family)
        .map(|record| record.network.name.clone())
        .collect();
    (!networks.is_empty()).then(|| BridgeFilterFinding::Blocked {
        networks,
        sysctl,
        chain: chain.name.clone(),
    })
}

/// The first base chain that drops whatever none of its rules accepts. libvirt's rules accept
/// packets that stay on one bridge (LIBVIRT_FWX, guest_cross), and so do its zones of firewalld.
pub(super) fn first_dropping_chain(chains: &Chains, family: Family) -> Option<&Chain> {
    let mut bases = chains.bases();
    bases.find(|base| {
        let sees_family = base.name.family == Family::Inet || base.name.family == family;
        let accepts_bridged = ["libvirt_network", "firewalld"].contains(&base.name.table.as_str())
            || base
                .first_jump(|chain| chain.starts_with("LIBVIRT_FWX"))
                .is_some()
            || begins_with_unknown_accept(base);
        sees_family && !accepts_bridged && base.refuses_by_default()
    })
}

/// Whether the first rule accepts packets by a match that is not read, such as the one that
/// [`BridgeFilterFinding::Blocked`] advises.
fn begins_with_unknown_accept(base: &Chain) -> bool {
    let first = base.foreign().next();
    first.is_some_and(|rule| rule.verdict == Verdict::Accept && rule.mark == 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::fixtures::{TestHost, forward_chain, jump};

    fn drops(family: Family, policy_drops: bool, target: Option<&str>, seen: Family) -> bool {
        let rules = target.map(jump).into_iter().collect();
        let chains = [forward_chain(family, policy_drops, rules)]
            .into_iter()
            .collect();
        first_dropping_chain(&chains, seen).is_some()
    }

    #[test]
    fn only_a_policy_of_drop_without_libvirts_rules_blocks() {
        assert!(drops(Family::Ip, true, None, Family::Ip));
        assert!(drops(Family::Ip, true, Some("DOCKER-USER"), Family::Ip));
        assert!(!drops(Family::Ip, true, None, Family::Ip6));
        assert!(drops(Family::Inet, true, None, Family::Ip6));
        assert!(!drops(Family::Ip, false, None, Family::Ip));
        assert!(!drops(Family::Ip, true, Some("LIBVIRT_FWX"), Family::Ip));
    }

    #[test]
    fn a_network_outside_all_groups_is_blocked() {
        let mut host = TestHost::new();
        let disabled = BridgeFilter::default();
        let enabled = BridgeFilter::enabled();
        let kinds = |filter: &BridgeFilter, host: &TestHost| -> Vec<_> {
            let found = filter.check(&host.context());
            found.iter().map(Diagnosis::kind).collect()
        };
        assert_eq!(kinds(&disabled, &host), ["disabled"]);
        assert_eq!(kinds(&enabled, &host), ["accepted"]);
        host.set_forward_chain(true, vec![]);
        assert_eq!(kinds(&enabled, &host), ["accepted"], "by the gates");
        host.inspection.wanted.records[1].access.groups.clear();
        let found = enabled.check(&host.context());
        let [BridgeFilterFinding::Blocked { networks, .. }] = &found[..] else {
            panic!("{found:?}");
        };
        assert_eq!(networks, &["kube03"]);
        host.networks.active.clear();
        host.inspection.wanted.records.clear();
        assert_eq!(kinds(&enabled, &host), ["no-network"]);
    }

    #[test]
    fn the_sysctls_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let root = SysRoot::at(dir.path());
        root.put("/proc/sys/net/bridge/bridge-nf-call-iptables", "0\n");
        root.put("/proc/sys/net/bridge/bridge-nf-call-ip6tables", "1\n");
        let enabled = BridgeFilter::collect(&root).enabled;
        assert_eq!(enabled, [SYSCTLS[1]]);
    }
}
