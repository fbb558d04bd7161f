//! Traffic from guests to the outside, which virt-forward does not open. libvirt accepts it in its
//! own chains, and that does not count in other base chains.

use std::fmt::{self, Display, Formatter};

use strum::IntoStaticStr;
use virt_forward_policy::{
    netfilter::{ChainName, Family},
    network::{Mode, Network},
};

use crate::doctor::{
    br_netfilter::first_dropping_chain,
    context::Context,
    diagnosis::{Diagnosis, Fix, Severity, Subject},
};

#[derive(Clone, Debug, PartialEq, Eq, IntoStaticStr)]
#[cfg_attr(test, derive(strum::VariantNames))]
#[strum(serialize_all = "kebab-case")]
pub(crate) enum EgressFinding {
    EgressBlocked {
        chain: ChainName,
        /// The chain for rules of the administrator.
        user_chain: String,
        /// The bridges of networks with access to the outside.
        bridges: Vec<String>,
    },
}

impl Diagnosis for EgressFinding {
    fn subject(&self) -> Subject {
        Subject::Firewalls
    }

    fn kind(&self) -> &'static str {
        self.into()
    }

    fn severity(&self) -> Severity {
        Severity::Note
    }

    fn fix(&self) -> Vec<Fix> {
        let Self::EgressBlocked {
            user_chain,
            bridges,
            ..
        } = self;
        let mut fix = Vec::new();
        for bridge in bridges {
            fix.push(Fix::command(format!(
                "iptables -I {user_chain} -i {bridge} -j ACCEPT"
            )));
            fix.push(Fix::command(format!(
                "iptables -I {user_chain} -o {bridge} -m conntrack --ctstate \
                 ESTABLISHED,RELATED -j ACCEPT"
            )));
        }
        fix
    }
}

impl Display for EgressFinding {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self::EgressBlocked { chain, .. } = self;
        write!(
            f,
            "{chain} drops or rejects by default: guests reach each other, but not the outside \
             unless you allow it"
        )
    }
}

pub(crate) fn check(context: &Context) -> Option<EgressFinding> {
    let outward = context
        .routed()
        .filter(|(network, _)| has_ipv4_egress(network));
    let bridges: Vec<_> = outward.map(|(_, bridge)| bridge.to_owned()).collect();
    let chain = &first_dropping_chain(context.chains, Family::Ip)?.name;
    if bridges.is_empty() || !chain.is_of_iptables() {
        return None;
    }
    let docker_user = chain.beside("DOCKER-USER");
    let user_chain = match context.chains.get(&docker_user) {
        Some(_) => docker_user.chain,
        None => chain.chain.clone(),
    };
    Some(EgressFinding::EgressBlocked {
        chain: chain.clone(),
        user_chain,
        bridges,
    })
}

fn has_ipv4_egress(network: &Network) -> bool {
    matches!(network.mode, Mode::Nat | Mode::Route) && !network.subnets4().is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::fixtures::{TestHost, gate};

    #[test]
    fn a_policy_of_drop_blocks_guests_even_beside_a_gate() {
        let mut host = TestHost::new();
        assert_eq!(check(&host.context()), None);
        host.set_forward_chain(true, vec![gate()]);
        let expected = EgressFinding::EgressBlocked {
            chain: ChainName::nft(Family::Ip, "filter", "FORWARD"),
            user_chain: "FORWARD".to_owned(),
            bridges: vec!["br2".to_owned(), "br3".to_owned()],
        };
        assert_eq!(check(&host.context()), Some(expected));
    }
}
