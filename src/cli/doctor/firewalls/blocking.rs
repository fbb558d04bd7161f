//! Chains that block allowed traffic and that virt-forward may not or cannot open, and chains of
//! the config that do not exist.

use std::{
    collections::BTreeMap,
    fmt::{self, Display, Formatter},
};

use strum::IntoStaticStr;
use virt_forward_policy::{netfilter::ChainName, network::BridgeName};
use virt_forward_ruleset::gates::Remedy;

use crate::doctor::{
    context::Context,
    diagnosis::{Diagnosis, Fix, Severity, Subject},
};

#[derive(Clone, Debug, PartialEq, Eq, IntoStaticStr)]
#[cfg_attr(test, derive(strum::VariantNames))]
#[strum(serialize_all = "kebab-case")]
pub(crate) enum BlockingChainFinding {
    /// It blocks whatever none of its rules accepts.
    Blocks { chain: ChainName, remedy: Remedy },
    /// It has rules that may apply to allowed traffic.
    MayBlock { chain: ChainName, remedy: Remedy },
    /// Forwarded packets do not traverse the chain that the config names.
    ExtraNotTraversed { chain: ChainName },
}

impl Diagnosis for BlockingChainFinding {
    fn subject(&self) -> Subject {
        match self {
            Self::Blocks { .. } | Self::MayBlock { .. } => Subject::Firewalls,
            Self::ExtraNotTraversed { .. } => Subject::Config,
        }
    }

    fn kind(&self) -> &'static str {
        self.into()
    }

    fn severity(&self) -> Severity {
        match self {
            Self::MayBlock { .. } => Severity::Note,
            Self::Blocks { .. } | Self::ExtraNotTraversed { .. } => Severity::Error,
        }
    }

    fn fix(&self) -> Vec<Fix> {
        match self {
            Self::Blocks { remedy, .. } | Self::MayBlock { remedy, .. } => {
                let lines = remedy.lines.iter().map(Fix::command);
                [Fix::advice(&remedy.what)]
                    .into_iter()
                    .chain(lines)
                    .collect()
            }
            Self::ExtraNotTraversed { chain } => vec![Fix::advice(format!(
                "remove \"{chain}\" from extra of [gates] in the config, or load its table"
            ))],
        }
    }
}

impl Display for BlockingChainFinding {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Blocks { chain, .. } => write!(
                f,
                "{chain} drops or rejects by default and has no gate, so allowed traffic is blocked"
            ),
            Self::MayBlock { chain, .. } => {
                write!(f, "{chain} has rules that may block allowed traffic")
            }
            Self::ExtraNotTraversed { chain } => write!(
                f,
                "{chain}, in extra of [gates], does not exist or is not traversed by forwarded packets"
            ),
        }
    }
}

pub(crate) fn check(context: &Context) -> Vec<BlockingChainFinding> {
    let mut findings = Vec::new();
    if context.is_config_valid && context.is_any_open() {
        findings.extend(blocking(context));
    }
    let absent = context.inspection.wanted.survey.absent.iter();
    findings.extend(absent.map(|chain| BlockingChainFinding::ExtraNotTraversed {
        chain: chain.clone(),
    }));
    findings
}

fn blocking(context: &Context) -> Vec<BlockingChainFinding> {
    let groups = bridges_by_group(context);
    let mut findings = Vec::new();
    for obstacle in &context.inspection.wanted.survey.obstacles {
        let chain = obstacle.chain.clone();
        let remedy = obstacle.remedy(context.config.mark, &groups);
        findings.push(if obstacle.is_certain {
            BlockingChainFinding::Blocks { chain, remedy }
        } else {
            BlockingChainFinding::MayBlock { chain, remedy }
        });
    }
    findings
}

fn bridges_by_group<'a>(context: &'a Context) -> Vec<Vec<&'a BridgeName>> {
    let mut groups: BTreeMap<&String, Vec<&BridgeName>> = BTreeMap::new();
    for record in context.records() {
        for group in &record.access.groups {
            let bridges = groups.entry(group).or_default();
            bridges.extend(record.network.routed_bridge());
        }
    }
    groups.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::fixtures::TestHost;
    use virt_forward_policy::netfilter::Family;
    use virt_forward_ruleset::gates::{BlockingChain, NoGateReason};

    #[test]
    fn a_chain_that_drops_by_default_is_an_error_and_others_are_noted() {
        let mut host = TestHost::new();
        let obstacle = |is_certain| BlockingChain {
            chain: ChainName::nft(Family::Inet, "filter", "forward"),
            why: NoGateReason::Unknown,
            is_certain,
        };
        host.inspection.wanted.survey.obstacles = vec![obstacle(true), obstacle(false)];
        let found = check(&host.context());
        let severities: Vec<_> = found.iter().map(Diagnosis::severity).collect();
        assert_eq!(severities, [Severity::Error, Severity::Note]);
        let command = Fix::command(
            "nft insert rule inet filter forward meta mark and 0x10000000 != 0 accept",
        );
        assert_eq!(found[0].fix()[1], command);
        host.inspection.wanted.table = None;
        assert_eq!(check(&host.context()), []);
    }

    #[test]
    fn a_chain_of_the_config_has_to_be_traversed() {
        let mut host = TestHost::new();
        let chain = ChainName::nft(Family::Inet, "nowhere", "forward");
        host.inspection.wanted.survey.absent = vec![chain.clone()];
        let expected = BlockingChainFinding::ExtraNotTraversed { chain };
        assert_eq!(check(&host.context()), [expected]);
    }
}
