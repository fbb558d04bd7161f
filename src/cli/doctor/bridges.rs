//! br_netfilter, which sends what one guest says to another of the same network through the
//! rules for forwarded packets. Docker, Kubernetes and others load it.

use virt_forward_policy::{netfilter::Family, sanitize::escape};
use virt_forward_ruleset::gates::chain_model::{Chain, Chains};

use super::{Finding, Root, Scene, or_ok};

const CHECK: &str = "bridge-nf";
const FOLDER: &str = "/proc/sys/net/bridge";

/// A family that bridged frames are filtered for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Filtered {
    family: Family,
    setting: &'static str,
}

const ALL: [Filtered; 2] = [
    Filtered {
        family: Family::Ip,
        setting: "bridge-nf-call-iptables",
    },
    Filtered {
        family: Family::Ip6,
        setting: "bridge-nf-call-ip6tables",
    },
];

pub(crate) fn findings(scene: &Scene, root: &Root) -> Vec<Finding> {
    let is_on = |one: &Filtered| root.number(format!("{FOLDER}/{}", one.setting)) == Some(1);
    let filtered: Vec<_> = ALL.into_iter().filter(is_on).collect();
    let mut found = Vec::new();
    for one in &filtered {
        // What a group opens is marked on a bridge too, and passes by the gates.
        let unmarked = scene
            .records()
            .filter(|record| record.access.groups.is_empty());
        let in_family = unmarked.filter(|record| match one.family {
            Family::Ip6 => !record.network.subnets6().is_empty(),
            _ => !record.network.subnets4().is_empty(),
        });
        let names: Vec<_> = in_family
            .map(|record| escape(&record.network.name))
            .collect();
        if let Some(chain) = refusing(scene.chains, one.family)
            && !names.is_empty()
            && scene.is_config_right
        {
            found.push(blocked(*one, chain, &names));
        }
    }
    let what = match filtered.is_empty() {
        true => "what guests of one network say to each other passes no firewall",
        false => {
            "br_netfilter is loaded: what guests of one network say to each other passes this host's firewalls, none of which refuses it"
        }
    };
    if !filtered.is_empty() && found.is_empty() && !scene.networks.active.is_empty() {
        let off = filtered
            .iter()
            .map(|one| format!("sysctl net.bridge.{}=0", one.setting));
        return vec![
            Finding::note(CHECK, what)
                .with("# where neither Docker nor Kubernetes needs it:")
                .with_all(off),
        ];
    }
    or_ok(found, CHECK, what)
}

fn blocked(one: Filtered, chain: &Chain, names: &[String]) -> Finding {
    let chain = &chain.name;
    let setting = one.setting;
    let finding = Finding::wrong(
        CHECK,
        format!(
            "guests of {} do not reach each other in their own network: net.bridge.{setting} is 1, and {chain} refuses what they say",
            names.join(", ")
        ),
    );
    let program = if one.family == Family::Ip6 {
        "ip6tables"
    } else {
        "iptables"
    };
    let keep = chain.is_of_iptables().then(|| {
        format!(
            "# or, where that is needed: {program} -I {} -m physdev --physdev-is-bridged -j ACCEPT",
            chain.chain
        )
    });
    finding
        .with(format!("sysctl net.bridge.{setting}=0"))
        .with_some(keep)
}

/// A chain that refuses what none of its rules knows. libvirt's own rules let pass what stays on
/// one bridge (LIBVIRT_FWX, guest_cross), and so do the zones of firewalld that it uses.
pub(super) fn refusing(chains: &Chains, family: Family) -> Option<&Chain> {
    let mut bases = chains.bases();
    bases.find(|base| {
        let sees = base.name.family == Family::Inet || base.name.family == family;
        let is_known = ["libvirt_network", "firewalld"].contains(&base.name.table.as_str());
        let has_libvirts = base
            .first_jump(|chain| chain.starts_with("LIBVIRT_FWX"))
            .is_some();
        sees && !is_known && !has_libvirts && base.refuses_by_default() && !passes_bridged(base)
    })
}

/// Whether it begins with a rule that is not understood here, such as the one of the remedy.
fn passes_bridged(base: &Chain) -> bool {
    use virt_forward_ruleset::gates::chain_model::Verdict;
    let first = base.foreign().next();
    first.is_some_and(|rule| rule.verdict == Verdict::Accept && rule.mark == 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use virt_forward_policy::netfilter::ChainName;
    use virt_forward_ruleset::gates::chain_model::{Base, Rule, Verdict};

    fn forward(family: Family, drops: bool, jump: Option<&str>) -> Chains {
        let jump = jump.map(|to| Rule {
            verdict: Verdict::Jump(to.to_owned()),
            ..Rule::default()
        });
        let chain = Chain {
            name: ChainName::nft(family, "filter", "FORWARD"),
            base: Some(Base { priority: 0, drops }),
            is_owned: false,
            rules: jump.into_iter().collect(),
        };
        [chain].into_iter().collect()
    }

    #[test]
    fn only_a_policy_of_drop_without_libvirts_rules_blocks() {
        let blocks = |chains: &Chains, family| refusing(chains, family).is_some();
        assert!(blocks(&forward(Family::Ip, true, None), Family::Ip));
        assert!(blocks(
            &forward(Family::Ip, true, Some("DOCKER-USER")),
            Family::Ip
        ));
        assert!(!blocks(&forward(Family::Ip, true, None), Family::Ip6));
        assert!(blocks(&forward(Family::Inet, true, None), Family::Ip6));
        assert!(!blocks(&forward(Family::Ip, false, None), Family::Ip));
        assert!(!blocks(
            &forward(Family::Ip, true, Some("LIBVIRT_FWX")),
            Family::Ip
        ));
    }
}
