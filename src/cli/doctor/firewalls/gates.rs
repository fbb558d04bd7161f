//! Gates: present, effective, and only where they are needed.

use std::fmt::{self, Display, Formatter};

use strum::IntoStaticStr;
use virt_forward_policy::{config::MarkBit, netfilter::ChainName};
use virt_forward_ruleset::gates::{GateState, Owner, Site, chain_model::Chain};

use crate::doctor::{
    context::Context,
    diagnosis::{Diagnosis, Fix, Severity, Subject},
};

#[derive(Clone, Debug, PartialEq, Eq, IntoStaticStr)]
#[cfg_attr(test, derive(strum::VariantNames))]
#[strum(serialize_all = "kebab-case")]
pub(crate) enum GateFinding {
    /// All required gates are present and effective.
    Present {
        count: usize,
    },
    /// The desired state is unknown: the config is invalid.
    Skipped,
    Missing {
        chain: ChainName,
        owner: Owner,
    },
    /// Other rules precede it, or it is there twice.
    Shadowed {
        chain: ChainName,
        owner: Owner,
    },
    /// It precedes rules that drop some packets.
    TooHigh {
        chain: ChainName,
        owner: Owner,
    },
    /// The fast path at the head of a long chain is missing.
    ShortcutMissing {
        chain: ChainName,
        owner: Owner,
    },
    /// A gate where none is needed, while networks are open.
    NotNeeded {
        chain: ChainName,
    },
    /// A gate while no network is open.
    Leftover {
        chain: ChainName,
    },
    /// A gate without the table, as saved rules restore it at boot. The table clears the bit of
    /// incoming packets; without it, the gate accepts the bit from any program.
    WithoutTable {
        chain: ChainName,
        mark: MarkBit,
    },
    /// A firewall could not be inspected.
    Uninspected {
        cause: String,
    },
}

impl Diagnosis for GateFinding {
    fn subject(&self) -> Subject {
        Subject::Gates
    }

    fn kind(&self) -> &'static str {
        self.into()
    }

    fn severity(&self) -> Severity {
        match self {
            Self::Present { .. } => Severity::Ok,
            Self::Skipped | Self::Uninspected { .. } => Severity::Note,
            Self::Missing { .. }
            | Self::Shadowed { .. }
            | Self::TooHigh { .. }
            | Self::ShortcutMissing { .. }
            | Self::NotNeeded { .. }
            | Self::Leftover { .. }
            | Self::WithoutTable { .. } => Severity::Error,
        }
    }

    fn fix(&self) -> Vec<Fix> {
        match self {
            Self::Present { .. } | Self::Skipped | Self::Uninspected { .. } => Vec::new(),
            Self::Missing { .. }
            | Self::Shadowed { .. }
            | Self::TooHigh { .. }
            | Self::ShortcutMissing { .. }
            | Self::NotNeeded { .. } => vec![Fix::apply()],
            Self::Leftover { .. } | Self::WithoutTable { .. } => vec![Fix::remove_all()],
        }
    }
}

impl Display for GateFinding {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Present { count: 0 } => f.write_str("no firewall on this host needs a gate"),
            Self::Present { count: 1 } => f.write_str("the one required gate is present"),
            Self::Present { count } => write!(f, "all {count} required gates are present"),
            Self::Skipped => f.write_str("skipped: the config is invalid"),
            Self::Missing { chain, owner } => {
                write!(
                    f,
                    "no gate in {chain} ({owner}), which blocks allowed traffic"
                )
            }
            Self::Shadowed { chain, owner } => write!(
                f,
                "the gate in {chain} ({owner}) is shadowed by other rules, or is there twice"
            ),
            Self::TooHigh { chain, owner } => write!(
                f,
                "the gate in {chain} ({owner}) precedes rules that drop some packets, so allowed \
                 traffic bypasses them"
            ),
            Self::ShortcutMissing { chain, owner } => write!(
                f,
                "no shortcut at the head of {chain} ({owner}): every packet walks the rules of \
                 all networks there"
            ),
            Self::NotNeeded { chain } => {
                write!(f, "stale gate in {chain}: no gate is needed there")
            }
            Self::Leftover { chain } => write!(f, "stale gate in {chain}: no network is open"),
            Self::WithoutTable { chain, mark } => write!(
                f,
                "the gate in {chain} is present without the table inet virt_forward: it accepts \
                 every packet with fwmark {mark}, whichever program set it"
            ),
            Self::Uninspected { cause } => {
                write!(f, "cannot inspect all firewalls: {cause}")
            }
        }
    }
}

/// Chains with a gate.
pub(crate) fn chains_with_gates<'a>(context: &Context<'a>) -> impl Iterator<Item = &'a Chain> {
    let chains = context.chains.all();
    chains.filter(|chain| chain.rules.iter().any(|rule| rule.is_ours()))
}

/// Gates without the table, unless the check of the table reports them: it does where networks
/// should be open.
pub(crate) fn check_without_table(context: &Context) -> Vec<GateFinding> {
    let is_reported = context.is_config_valid && context.is_any_open();
    if context.inspection.table.is_some() || is_reported {
        return Vec::new();
    }
    let without_table = |chain: &Chain| GateFinding::WithoutTable {
        chain: chain.name.clone(),
        mark: context.config.mark,
    };
    chains_with_gates(context).map(without_table).collect()
}

/// A firewall that could not be inspected.
pub(crate) fn uninspected(context: &Context) -> Option<GateFinding> {
    let error = context.inspection.wanted.trouble.as_ref()?;
    Some(GateFinding::Uninspected {
        cause: error.to_string(),
    })
}

/// Compares the gates with those that the firewalls need.
pub(crate) fn check(context: &Context) -> Vec<GateFinding> {
    if !context.is_config_valid {
        return vec![GateFinding::Skipped];
    }
    let is_open = context.is_any_open();
    let survey = &context.inspection.wanted.survey;
    let has_table = context.inspection.table.is_some();
    // Gates that are present without the table are reported as such.
    let is_judged = |site: &&Site| has_table || site.state == GateState::Missing;
    let sites = survey.sites.iter().filter(is_judged);
    let shortcuts = survey.shortcuts.iter().filter(is_judged);
    let mut findings: Vec<_> = sites
        .clone()
        .filter_map(|site| check_gate(site, is_open))
        .chain(shortcuts.filter_map(|site| check_shortcut(site, is_open)))
        .collect();
    if has_table {
        findings.extend(check_other_chains(context));
    }
    if is_open && has_table && findings.is_empty() {
        let present = sites.filter(|site| site.state == GateState::Present);
        let count = present.count();
        findings.push(GateFinding::Present { count });
    }
    findings
}

fn check_gate(site: &Site, is_open: bool) -> Option<GateFinding> {
    let (chain, owner) = (site.chain().clone(), site.owner);
    match (site.state, is_open) {
        (GateState::Missing, true) => Some(GateFinding::Missing { chain, owner }),
        (GateState::Shadowed, true) => Some(GateFinding::Shadowed { chain, owner }),
        (GateState::High, true) => Some(GateFinding::TooHigh { chain, owner }),
        (GateState::Present | GateState::Shadowed | GateState::High, false) => {
            Some(GateFinding::Leftover { chain })
        }
        (GateState::Present, true) | (GateState::Missing, false) | (GateState::NotNeeded, _) => {
            None
        }
    }
}

/// A shortcut may be anywhere near the head: it changes the cost only.
fn check_shortcut(site: &Site, is_open: bool) -> Option<GateFinding> {
    let (chain, owner) = (site.chain().clone(), site.owner);
    match (site.state, is_open) {
        (GateState::Missing | GateState::Shadowed, true) => {
            Some(GateFinding::ShortcutMissing { chain, owner })
        }
        (GateState::Present | GateState::Shadowed, false) => Some(GateFinding::Leftover { chain }),
        (GateState::Present, true)
        | (GateState::Missing, false)
        | (GateState::High | GateState::NotNeeded, _) => None,
    }
}

/// Gates in chains that need none.
fn check_other_chains(context: &Context) -> Vec<GateFinding> {
    let survey = &context.inspection.wanted.survey;
    let is_site = |name: &ChainName| survey.all().any(|site| site.chain() == name);
    let others = chains_with_gates(context).filter(|chain| !is_site(&chain.name));
    let is_open = context.is_any_open();
    others
        .map(|chain| {
            let chain = chain.name.clone();
            if is_open {
                GateFinding::NotNeeded { chain }
            } else {
                GateFinding::Leftover { chain }
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::fixtures::{TestHost, gate};
    use virt_forward_policy::netfilter::Family;
    use virt_forward_ruleset::gates::{Survey, chain_model::Chains};

    fn forward() -> ChainName {
        ChainName::nft(Family::Ip, "filter", "FORWARD")
    }

    #[test]
    fn gates_are_compared_with_what_the_firewalls_need() {
        let mut host = TestHost::new();
        let chain = forward();
        let owner = Owner::Iptables;
        host.set_forward_chain(true, vec![]);
        let missing = GateFinding::Missing {
            chain: forward(),
            owner,
        };
        assert_eq!(check(&host.context()), [missing]);
        host.set_forward_chain(true, vec![gate(), gate()]);
        let shadowed = GateFinding::Shadowed {
            chain: forward(),
            owner,
        };
        assert_eq!(check(&host.context()), [shadowed]);
        host.set_forward_chain(false, vec![gate()]);
        let not_needed = GateFinding::NotNeeded { chain: forward() };
        assert_eq!(check(&host.context()), [not_needed]);
        host.set_forward_chain(true, vec![gate()]);
        assert_eq!(check(&host.context()), [GateFinding::Present { count: 1 }]);
        host.inspection.wanted.table = None;
        assert_eq!(check(&host.context()), [GateFinding::Leftover { chain }]);
    }

    fn site(state: GateState) -> Site {
        Site {
            owner: Owner::Libvirt,
            base: forward(),
            placement: None,
            state,
            refuses: true,
        }
    }

    #[test]
    fn a_gate_above_denials_is_an_error() {
        let (chain, owner) = (forward(), Owner::Libvirt);
        let too_high = GateFinding::TooHigh { chain, owner };
        assert_eq!(check_gate(&site(GateState::High), true), Some(too_high));
        assert_eq!(check_gate(&site(GateState::NotNeeded), true), None);
        assert_eq!(check_gate(&site(GateState::Missing), false), None);
    }

    #[test]
    fn a_shortcut_is_required_while_networks_are_open() {
        let (chain, owner) = (forward(), Owner::Libvirt);
        let missing = GateFinding::ShortcutMissing { chain, owner };
        for state in [GateState::Missing, GateState::Shadowed] {
            assert_eq!(check_shortcut(&site(state), true), Some(missing.clone()));
        }
        assert_eq!(check_shortcut(&site(GateState::Present), true), None);
        let leftover = GateFinding::Leftover { chain: forward() };
        assert_eq!(
            check_shortcut(&site(GateState::Present), false),
            Some(leftover)
        );
    }

    #[test]
    fn a_firewall_that_could_not_be_inspected_is_noted() {
        let mut host = TestHost::new();
        assert_eq!(uninspected(&host.context()), None);
        let error = virt_forward_reconcile::Error::from(virt_forward_system::Error::LockTimeout(
            "/run/lock".into(),
        ));
        host.inspection.wanted.trouble = Some(error.into());
        let found = uninspected(&host.context()).unwrap();
        assert_eq!(found.severity(), Severity::Note);
    }

    #[test]
    fn a_gate_without_the_table_is_reported_once() {
        let mut host = TestHost::new();
        host.set_forward_chain(true, vec![gate()]);
        host.inspection.table = None;
        let found = |context: &Context| [check_without_table(context), check(context)].concat();
        // The check of the table reports it.
        assert_eq!(found(&host.context()), []);
        let without_table = GateFinding::WithoutTable {
            chain: forward(),
            mark: host.config.mark,
        };
        let mut context = host.context();
        context.is_config_valid = false;
        assert_eq!(
            found(&context),
            [without_table.clone(), GateFinding::Skipped]
        );
        host.inspection.wanted.table = None;
        assert_eq!(found(&host.context()), [without_table]);
        host.chains = Chains::default();
        host.inspection.wanted.survey = Survey::default();
        assert_eq!(found(&host.context()), []);
    }
}
