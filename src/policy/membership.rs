//! The groups and rules that a network is a member or an endpoint of.

use crate::{
    access::Access,
    config::{AllowRule, Config, Group, Pattern, RuleEndpoint, RuleId, Selector, Side},
    network::{Mode, Network},
    own_addresses::own,
    subnets::overlap,
};

/// The access of `network`: empty where its definition cannot be followed or claims too many
/// addresses. `config` is without its conflicts, see [`without`](crate::without).
pub fn access_of(config: &Config, network: &Network) -> Access {
    if network.fault.is_some() || network.excess().is_some() {
        return Access::default();
    }
    let groups = groups_of(config, network);
    let rules = |side: Side| -> Vec<RuleId> {
        let is_meant = |rule: &&AllowRule| is_meant(side.of(rule), network, &groups);
        let rules = config.allows.iter().filter(is_meant);
        rules.map(|rule| rule.id.clone()).collect()
    };
    let mut access = Access {
        from: rules(Side::From),
        to: rules(Side::To),
        groups,
        own: Vec::new(),
    };
    if !access.is_empty() {
        access.own = own(config, network);
    }
    access
}

/// The names of the groups that `network` is a member of, in the order of the config.
///
/// A network that names its groups itself, isolated or not, is a member of these and no others.
fn groups_of(config: &Config, network: &Network) -> Vec<String> {
    let own = network.groups.as_ref().filter(|_| config.metadata);
    let is_member = |group: &&Group| match own {
        Some(own) => own.contains(&group.name),
        None => group
            .networks
            .iter()
            .any(|pattern| matches(pattern, network)),
    };
    let groups = config.groups.iter().filter(is_member);
    groups.map(|group| group.name.clone()).collect()
}

/// A glob never matches an isolated network: `*` is not meant for a network that was cut off on
/// purpose. Its exact name matches.
fn matches(pattern: &Pattern, network: &Network) -> bool {
    pattern.is_exactly(&network.name)
        || network.mode != Mode::Isolated && pattern.glob_matches(&network.name)
}

/// Whether an endpoint of a rule means guests of `network`. As with a glob, no subnet means an
/// isolated network: it may have been written for external hosts. Nor does a subnet mean a network
/// by a `<route>`, which is nothing but a claim of the network's definer.
fn is_meant(end: &RuleEndpoint, network: &Network, groups: &[String]) -> bool {
    match &end.selector {
        Selector::Group(group) => groups.contains(group),
        Selector::Networks(pattern) => matches(pattern, network),
        Selector::Subnet(net) => {
            network.mode != Mode::Isolated
                && network.ip_subnets().iter().any(|own| overlap(own, net))
        }
        Selector::Outside(_) => false,
    }
}

/// `config` without external hosts: no peers, and no subnet as an endpoint of a rule. While the
/// bridge of an active network is not known, its guests could pass for external hosts. Rules keep
/// their numbers.
pub fn without_outside(config: &Config) -> Config {
    let mut config = config.clone();
    for group in &mut config.groups {
        group.peers.clear();
    }
    for rule in &mut config.allows {
        for end in [&mut rule.from, &mut rule.to] {
            if end.subnet().is_some() {
                end.selector = Selector::Networks(Pattern::none());
            }
        }
    }
    config
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        fixtures::{config, network, rules, with},
        matrix::matrix,
        reachability::Reachability,
        unknown_groups::{UnknownGroup, unknown_groups},
    };

    #[test]
    fn a_rule_means_networks_by_name_group_and_subnet_but_an_isolated_one_by_name_only() {
        let config = config(
            "[[group]]\nname='kube'\nnetworks=['kube*']\n\
             [[allow]]\nfrom='dmz'\nto='kube'\ntcp=[443]\n\
             [[allow]]\nfrom='10.17.0.0/16'\nto='iso'\nicmp=true\n\
             [[allow]]\nfrom='i*'\nto='10.17.4.21'\nicmp=true",
        );
        let kube = with(network("kube03", Mode::Nat), &["10.17.4.1/24"]);
        let dmz = with(network("dmz", Mode::Nat), &["10.18.4.1/24", "fd00::1/64"]);
        let iso = with(network("iso", Mode::Isolated), &["10.17.9.1/24"]);
        let access = |network: &Network| access_of(&config, network).to_string();
        assert_eq!(
            access(&kube),
            "open to group kube, and in part: allow 2 (out), allow 1, 3 (in)"
        );
        assert_eq!(access(&dmz), "open in part: allow 1 (out)");
        assert_eq!(access(&iso), "open in part: allow 2 (in)");
        assert!(access_of(&config, &network("x", Mode::Nat)).is_empty());
        let reach = |from: &Network, to: &Network| {
            let (a, b) = (access_of(&config, from), access_of(&config, to));
            let cells = matrix(&config, &[(from, &a), (to, &b)]);
            (cells[0].reachability(), cells[0].reason.to_string())
        };
        let limited = |why: &str| (Reachability::Limited, why.to_owned());
        assert_eq!(reach(&dmz, &kube), limited("allow 1: tcp 443"));
        assert_eq!(
            reach(&kube, &iso),
            limited("allow 2: icmp, from 10.17.0.0/16")
        );
        assert_eq!(reach(&kube, &dmz).0, Reachability::Closed);
        assert_eq!(reach(&iso, &kube).0, Reachability::Closed);
    }

    #[test]
    fn without_external_hosts_only_networks_reach_networks() {
        let config = config(
            "[[group]]\nname='kube'\nnetworks=['kube*']\npeers=['192.168.0.30','fd01::/64']\n\
             [[allow]]\nfrom='192.168.0.0/24'\nto='dmz'\ntcp=[443]\n\
             [[allow]]\nfrom='dmz'\nto='10.17.0.0/16'\nicmp=true\n\
             [[allow]]\nfrom='dmz'\nto='kube'\nudp=[53]",
        );
        let shut = without_outside(&config);
        assert!(!shut.references_subnets());
        let dmz = with(network("dmz", Mode::Nat), &["10.17.4.1/24"]);
        assert_eq!(
            access_of(&shut, &dmz).to_string(),
            "open in part: allow 2, 3 (out), allow 1 (in)"
        );
        for name in ["kube03", "", "*", "/"] {
            let network = with(network("kube03", Mode::Nat), &["10.17.3.1/24"]);
            let network = Network {
                name: name.to_owned(),
                ..network
            };
            let access = access_of(&shut, &network);
            assert!(
                access.from.is_empty() && !access.to.contains(&rules(&[2])[0]),
                "{name}"
            );
        }
    }

    #[test]
    fn a_network_whose_xml_has_a_fault_is_closed() {
        let config = config(
            "[[group]]\nname='a'\nnetworks=['*', 'n']\n[[allow]]\nfrom='n'\nto='a'\nicmp=true",
        );
        let network = network("n", Mode::Nat);
        assert!(!access_of(&config, &network).is_empty());
        let fault = Some(crate::network::XmlError::Truncated);
        assert!(access_of(&config, &Network { fault, ..network }).is_empty());
    }

    #[test]
    fn a_network_may_name_its_groups_itself_unless_the_config_says_no() {
        let text = "[[group]]\nname='a'\nnetworks=['*']\n[[group]]\nname='b'\nnetworks=[]";
        let of = |names: &[&str], mode| Network {
            groups: Some(names.iter().map(|name| (*name).to_owned()).collect()),
            ..network("n", mode)
        };
        let ours = config(text);
        assert_eq!(groups_of(&ours, &of(&["b"], Mode::Nat)), ["b"]);
        assert_eq!(
            groups_of(&ours, &of(&["b", "a"], Mode::Isolated)),
            ["a", "b"]
        );
        assert!(groups_of(&ours, &of(&[], Mode::Nat)).is_empty());
        assert!(groups_of(&ours, &of(&["c"], Mode::Nat)).is_empty());
        let networks = [of(&["b", "c"], Mode::Nat), network("m", Mode::Nat)];
        let unknown = UnknownGroup {
            network: "n".to_owned(),
            group: "c".to_owned(),
        };
        assert_eq!(unknown_groups(&ours, networks.iter()), [unknown]);
        let off = config(&format!("metadata = false\n{text}"));
        assert_eq!(groups_of(&off, &of(&["b"], Mode::Nat)), ["a"]);
        assert!(groups_of(&off, &of(&["a"], Mode::Isolated)).is_empty());
        assert!(unknown_groups(&off, networks.iter()).is_empty());
    }

    #[test]
    fn a_glob_leaves_isolated_networks_alone_and_a_name_does_not() {
        let config =
            config("[[group]]\nname='g'\nnetworks=['k*']\n[[group]]\nname='h'\nnetworks=['kiso']");
        assert_eq!(groups_of(&config, &network("kube", Mode::Nat)), ["g"]);
        assert_eq!(groups_of(&config, &network("kiso", Mode::Isolated)), ["h"]);
        assert_eq!(
            groups_of(&config, &network("kiso", Mode::Route)),
            ["g", "h"]
        );
        assert!(groups_of(&config, &network("other", Mode::Nat)).is_empty());
        assert!(groups_of(&Config::default(), &network("x", Mode::Isolated)).is_empty());
    }
}
