//! Which groups and rules a network belongs to, and what the config opens it for.

use std::fmt;

use ipnet::IpNet;
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

use crate::{
    config::{AllowRule, Config, Group, Pattern, RuleEndpoint, Selector, is_group_name},
    network::{Mode, Network},
};

/// What the config opens a network for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    /// The groups that it belongs to, in the order of the config.
    #[serde(deserialize_with = "group_names")]
    pub groups: Vec<String>,
    /// The numbers of the `[[allow]]` rules that let its guests open connections.
    #[serde(default, rename = "allow_from")]
    pub from: Vec<usize>,
    /// The numbers of those that let its guests be reached.
    #[serde(default, rename = "allow_to")]
    pub to: Vec<usize>,
    /// The subnets that its guests may send from; none where it is closed.
    #[serde(default)]
    pub own: Vec<IpNet>,
}

impl Access {
    /// Whether it is for nothing: the network is closed.
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty() && self.from.is_empty() && self.to.is_empty()
    }
}

/// They become parts of sets' names, be it that they come from a file.
fn group_names<'de, D: Deserializer<'de>>(source: D) -> Result<Vec<String>, D::Error> {
    let names = Vec::<String>::deserialize(source)?;
    match names.iter().all(|name| is_group_name(name)) {
        true => Ok(names),
        false => Err(D::Error::custom("no name of a group")),
    }
}

/// `open to group kube, lab, and in part: from it (allow 1), to it (allow 2, 3)`
impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let way = |word: &str, rules: &[usize]| {
            let rules: Vec<_> = rules.iter().map(ToString::to_string).collect();
            (!rules.is_empty()).then(|| format!("{word} it (allow {})", rules.join(", ")))
        };
        let ways = [way("from", &self.from), way("to", &self.to)];
        let ways: Vec<_> = ways.into_iter().flatten().collect();
        let (groups, ways) = (self.groups.join(", "), ways.join(", "));
        match (groups.is_empty(), ways.is_empty()) {
            (true, true) => write!(f, "closed"),
            (true, false) => write!(f, "open in part: {ways}"),
            (false, true) => write!(f, "open to group {groups}"),
            (false, false) => write!(f, "open to group {groups}, and in part: {ways}"),
        }
    }
}

/// What `config` opens `network` for, nothing where its definition cannot be followed or claims
/// too much; `config` is [`without`] what must not be used.
pub fn access_of(config: &Config, network: &Network) -> Access {
    if network.fault.is_some() || network.excess().is_some() {
        return Access::default();
    }
    let groups = groups_of(config, network);
    let of = |end: fn(&AllowRule) -> &RuleEndpoint| {
        let meant = config
            .numbered_allows()
            .filter(|(_, allow)| is_meant(end(allow), network, &groups));
        meant.map(|(number, _)| number).collect()
    };
    let mut access = Access {
        from: of(|allow| &allow.from),
        to: of(|allow| &allow.to),
        groups,
        own: Vec::new(),
    };
    if !access.is_empty() {
        access.own = crate::own_addresses::own(config, network);
    }
    access
}

/// The names of the groups that `network` belongs to, in the order of the config.
///
/// A network that names its groups itself is in these and no others; isolated or not, as it was
/// meant.
fn groups_of(config: &Config, network: &Network) -> Vec<String> {
    let own = network.groups.as_ref().filter(|_| config.metadata);
    let belongs = |group: &&Group| match own {
        Some(own) => own.contains(&group.name),
        None => group.networks.iter().any(|one| names(one, network)),
    };
    let groups = config.groups.iter().filter(belongs);
    groups.map(|group| group.name.clone()).collect()
}

/// A glob never takes in an isolated network: who wrote `*` did not mean the one network
/// that was cut off on purpose. Its exact name does.
fn names(pattern: &Pattern, network: &Network) -> bool {
    pattern.is_exactly(&network.name)
        || network.mode != Mode::Isolated && pattern.glob_matches(&network.name)
}

/// Whether an end of a rule takes in guests of `network`. As with a glob, no subnet takes in an
/// isolated one: it may have been written for the machines outside. Nor does it take in a network by
/// a `<route>`, which is its definer's word alone.
fn is_meant(end: &RuleEndpoint, network: &Network, groups: &[String]) -> bool {
    match &end.selector {
        Selector::Group(group) => groups.contains(group),
        Selector::Networks(pattern) => names(pattern, network),
        Selector::Subnet(net) => {
            network.mode != Mode::Isolated
                && network.ip_subnets().iter().any(|own| overlap(own, net))
        }
        Selector::Outside(_) => false,
    }
}

/// The addresses that are in both.
fn both(one: &IpNet, other: &IpNet) -> Option<IpNet> {
    match (one.contains(other), other.contains(one)) {
        (true, _) => Some(*other),
        (false, true) => Some(*one),
        (false, false) => None,
    }
}

/// Whether there are addresses in both.
pub fn overlap(one: &IpNet, other: &IpNet) -> bool {
    one.contains(other) || other.contains(one)
}

/// A group that a network names in its metadata, and the config does not define.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownGroup {
    /// The network.
    pub network: String,
    /// What it calls the group.
    pub group: String,
}

/// The groups that some of `networks` name and nobody defines. Nothing is opened for them.
pub fn unknown_groups<'a>(
    config: &Config,
    networks: impl Iterator<Item = &'a Network>,
) -> Vec<UnknownGroup> {
    let is_defined = |name: &String| config.groups.iter().any(|group| group.name == *name);
    let named = networks.filter(|_| config.metadata).flat_map(|network| {
        let groups = network.groups.iter().flatten();
        groups.map(|group| (&network.name, group))
    });
    let unknown = named.filter(|(_, group)| !is_defined(group));
    let unknown = unknown.map(|(network, group)| UnknownGroup {
        network: network.clone(),
        group: group.clone(),
    });
    unknown.collect()
}

/// `config` as if it named no machine outside: no peers, and no subnet as an end of a rule. While
/// the bridge of an active network is not known, its guests could pass for such machines. Rules
/// keep their numbers.
pub fn without_outside(config: &Config) -> Config {
    let mut config = config.clone();
    for group in &mut config.groups {
        group.peers.clear();
    }
    for allow in &mut config.allows {
        for end in [&mut allow.from, &mut allow.to] {
            if end.subnet().is_some() {
                end.selector = Selector::Networks(Pattern::of_none());
            }
        }
    }
    config
}

/// The subnets, outside or not, that a network with this access reaches or is reached by.
pub fn external_subnets(config: &Config, access: &Access) -> Vec<IpNet> {
    let mut subnets: Vec<_> = peers_of(config, &access.groups).collect();
    for (number, allow) in config.numbered_allows() {
        if access.from.contains(&number) {
            subnets.extend(allow.to.subnet());
        }
        if access.to.contains(&number) {
            subnets.extend(allow.from.subnet());
        }
    }
    subnets
}

/// What may come in from one subnet to another, which is a network's own or part of it.
#[derive(Clone, Debug)]
pub struct InboundGrant<'a> {
    /// Where it comes from.
    pub from: IpNet,
    /// What it reaches there.
    pub to: IpNet,
    /// The rule that limits it; nothing where everything may pass.
    pub allow: Option<&'a AllowRule>,
}

/// What may come in to `network` from outside.
pub fn inbound_grants<'a>(
    config: &'a Config,
    network: &Network,
    access: &Access,
) -> Vec<InboundGrant<'a>> {
    let subnets = &access.own;
    let on_bridge = network.ip_subnets();
    let mut all = Vec::new();
    for from in peers_of(config, &access.groups) {
        let allow = None;
        all.extend(subnets.iter().map(|&to| InboundGrant { from, to, allow }));
    }
    for (number, allow) in config.numbered_allows() {
        if let Some(from) = allow.from.subnet()
            && access.to.contains(&number)
        {
            let meant: Vec<_> = match allow.to.subnet() {
                None => subnets.clone(),
                Some(to) => on_bridge.iter().filter_map(|own| both(own, &to)).collect(),
            };
            let allow = Some(allow);
            let meant = meant.into_iter();
            all.extend(meant.map(|to| InboundGrant { from, to, allow }));
        }
    }
    let is_one_family = |one: &InboundGrant| one.from.addr().is_ipv4() == one.to.addr().is_ipv4();
    all.retain(is_one_family);
    all
}

/// The outside subnets that `groups` may talk to.
fn peers_of(config: &Config, groups: &[String]) -> impl Iterator<Item = IpNet> {
    let groups = config
        .groups
        .iter()
        .filter(|group| groups.contains(&group.name));
    groups.flat_map(|group| group.peers.iter().copied())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Conflicts, Reachability,
        fixtures::{config, network, with},
        matrix, overlaps, without,
    };

    #[test]
    fn a_rule_takes_in_networks_by_name_group_and_subnet_but_an_isolated_one_by_name_alone() {
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
            "open to group kube, and in part: from it (allow 2), to it (allow 1, 3)"
        );
        assert_eq!(access(&dmz), "open in part: from it (allow 1)");
        assert_eq!(access(&iso), "open in part: to it (allow 2)");
        assert!(access_of(&config, &network("x", Mode::Nat)).is_empty());
        let reach = |from: &Network, to: &Network| {
            let (a, b) = (access_of(&config, from), access_of(&config, to));
            let cells = matrix(&config, &[(from, &a), (to, &b)]);
            (cells[0].verdict, cells[0].why.clone())
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
    fn without_an_outside_only_networks_reach_networks() {
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
            "open in part: from it (allow 2, 3), to it (allow 1)"
        );
        for name in ["kube03", "", "*", "/"] {
            let network = with(network("kube03", Mode::Nat), &["10.17.3.1/24"]);
            let network = Network {
                name: name.to_owned(),
                ..network
            };
            let access = access_of(&shut, &network);
            assert!(access.from.is_empty() && !access.to.contains(&2), "{name}");
        }
    }

    #[test]
    fn a_network_that_cannot_be_followed_is_open_to_nobody() {
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
        let stray = UnknownGroup {
            network: "n".to_owned(),
            group: "c".to_owned(),
        };
        assert_eq!(unknown_groups(&ours, networks.iter()), [stray]);
        let off = config(&format!("metadata = false\n{text}"));
        assert_eq!(groups_of(&off, &of(&["b"], Mode::Nat)), ["a"]);
        assert!(groups_of(&off, &of(&["a"], Mode::Isolated)).is_empty());
        assert!(unknown_groups(&off, networks.iter()).is_empty());
    }

    #[test]
    fn what_comes_in_is_told_by_subnets_of_one_family() {
        let config = config(
            "[[group]]\nname='kube'\nnetworks=['kube*']\npeers=['192.168.0.30','fd01::/64']\n\
             [[allow]]\nfrom='192.168.0.0/24'\nto='kube'\ntcp=[443]\n\
             [[allow]]\nfrom='0.0.0.0/0'\nto='10.17.4.21'\nicmp=true\n\
             [[allow]]\nfrom='kube'\nto='172.16.0.0/12'\nicmp=true",
        );
        let kube = with(
            network("kube03", Mode::Nat),
            &["10.17.4.1/24", "fd00::1/64"],
        );
        let access = access_of(&config, &kube);
        let inward: Vec<_> = inbound_grants(&config, &kube, &access)
            .iter()
            .map(|one| {
                let limit = one.allow.map_or("all".to_owned(), ToString::to_string);
                format!("{} {} {limit}", one.from, one.to)
            })
            .collect();
        assert_eq!(
            inward,
            [
                "192.168.0.30/32 10.17.4.0/24 all",
                "fd01::/64 fd00::/64 all",
                "192.168.0.0/24 10.17.4.0/24 tcp 443",
                "0.0.0.0/0 10.17.4.21/32 icmp",
            ]
        );
        let outside: Vec<_> = external_subnets(&config, &access)
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(
            outside,
            [
                "192.168.0.30/32",
                "fd01::/64",
                "192.168.0.0/24",
                "0.0.0.0/0",
                "172.16.0.0/12"
            ]
        );
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

    #[test]
    fn a_peer_with_a_network_in_it_is_not_used() {
        let mut config = Config::default();
        config.groups[0].peers = ["10.17.0.0/16", "192.168.0.0/24"]
            .map(|peer| peer.parse().unwrap())
            .to_vec();
        let mut kube = network("kube", Mode::Nat);
        kube.addresses = vec![
            "10.17.3.1/24".parse().unwrap(),
            "fd00::1/64".parse().unwrap(),
        ];
        let found = overlaps(&config, [&kube].into_iter());
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].peer.to_string(), "10.17.0.0/16");
        assert_eq!(found[0].subnet.to_string(), "10.17.3.0/24");
        let left = without(
            &config,
            &Conflicts {
                peers: found,
                ..Conflicts::default()
            },
        );
        assert_eq!(left.groups[0].peers, ["192.168.0.0/24".parse().unwrap()]);
        assert!(overlaps(&left, [&kube].into_iter()).is_empty());
        // A part of a network is no better.
        config.groups[0].peers = vec!["10.17.3.9/32".parse().unwrap()];
        assert_eq!(overlaps(&config, [&kube].into_iter()).len(), 1);
    }
}
