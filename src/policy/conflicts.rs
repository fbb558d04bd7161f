//! Subnets of the config that more than one may answer to, and what is done without them.
//!
//! A peer, or an end of a rule, is a subnet. Who may define networks can define one with the same
//! addresses, or with some of them, and then its guests would be meant in place of the machines that
//! the administrator had in mind. So a peer that overlaps a network is not used, and an end of a
//! rule takes in a network only where nobody else has a claim to its addresses.

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::overlap;
use crate::{
    config::{AllowRule, Config, RuleEndpoint, Selector},
    network::{Mode, Network},
};

/// A peer that is no machine outside: its subnet is, or is part of, a network's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerOverlap {
    /// The peer, as the config has it.
    pub peer: IpNet,
    /// The group that it is a peer of.
    pub group: String,
    /// The network's subnet.
    pub subnet: IpNet,
    /// The network.
    pub network: String,
}

/// Which end of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// `from`
    From,
    /// `to`
    To,
}

impl Side {
    /// The key in the config.
    pub fn key(self) -> &'static str {
        match self {
            Self::From => "from",
            Self::To => "to",
        }
    }

    /// That end.
    pub fn of(self, allow: &AllowRule) -> &RuleEndpoint {
        match self {
            Self::From => &allow.from,
            Self::To => &allow.to,
        }
    }
}

/// An end of a rule whose subnet a network has, or has a part of, and somebody else too. It takes in
/// no network: it means machines outside alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clash {
    /// The number of the rule.
    pub allow: usize,
    /// Which of its ends.
    pub side: Side,
    /// The subnet of the end, as the config has it.
    pub end: IpNet,
    /// The first network that would be meant.
    pub network: String,
    /// Its subnet.
    pub subnet: IpNet,
    /// Who else has a claim.
    pub rival: Rival,
}

/// Who else would be meant by a subnet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rival {
    /// Another network.
    Network {
        /// Its name.
        name: String,
        /// Its subnet.
        subnet: IpNet,
    },
    /// Machines behind a guest of the same network.
    OwnRoute {
        /// The `<route>`, after aggregation.
        route: IpNet,
    },
    /// Machines that this host reaches by another interface.
    Host(HostSubnet),
}

/// A subnet that this host reaches by an interface.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct HostSubnet {
    /// The interface.
    pub interface: String,
    /// The subnet.
    pub subnet: IpNet,
    /// By a route; else the interface has an address in it.
    pub is_route: bool,
}

/// What of the config is not used, as it does not fit the networks and the host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Conflicts {
    /// Peers that are left out.
    pub peers: Vec<PeerOverlap>,
    /// Ends of rules that take in no network.
    pub ends: Vec<Clash>,
}

impl Conflicts {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.peers.is_empty() && self.ends.is_empty()
    }

    /// Whether the same of the config is not used, whoever is to blame.
    pub fn are_about_the_same(&self, other: &Self) -> bool {
        let covers = |one: &Self, other: &Self| {
            let mut peers = other.peers.iter();
            let mut ends = other.ends.iter();
            peers.all(|peer| one.has_peer(peer)) && ends.all(|end| one.has_end(end.allow, end.side))
        };
        covers(self, other) && covers(other, self)
    }

    /// Whether `network` is named in them, or shares addresses with what they are about.
    pub fn concern(&self, network: &Network) -> bool {
        let subnets = network.ip_subnets();
        let has = |net: &IpNet| subnets.iter().any(|own| overlap(own, net));
        self.peers.iter().any(|one| has(&one.peer)) || self.ends.iter().any(|one| has(&one.end))
    }

    /// Those of `network` alone.
    pub fn of(self, network: &Network) -> Self {
        let subnets = network.ip_subnets();
        let has = |net: &IpNet| subnets.iter().any(|own| overlap(own, net));
        let Self { peers, ends } = self;
        Self {
            peers: peers
                .into_iter()
                .filter(|one| one.network == network.name)
                .collect(),
            ends: ends.into_iter().filter(|one| has(&one.end)).collect(),
        }
    }

    fn has_peer(&self, peer: &PeerOverlap) -> bool {
        let mut peers = self.peers.iter();
        peers.any(|one| one.peer == peer.peer && one.group == peer.group)
    }

    fn has_end(&self, allow: usize, side: Side) -> bool {
        let mut ends = self.ends.iter();
        ends.any(|one| one.allow == allow && one.side == side)
    }
}

/// Whether `network`, which starts, makes for a conflict that is not in `known`, or may do so: only
/// who knows all networks can tell.
pub fn may_conflict(config: &Config, known: &Conflicts, network: &Network) -> bool {
    let new = overlaps(config, std::iter::once(network));
    let is_new_peer = new.iter().any(|peer| !known.has_peer(peer));
    let subnets = network.ip_subnets();
    is_new_peer
        || subnet_ends(config).any(|(allow, side, end)| {
            !known.has_end(allow, side)
                && may_be_meant(network)
                && subnets.iter().any(|own| overlap(own, &end))
        })
}

/// All conflicts between `config`, the networks that are active, and what else `host` reaches.
pub fn conflicts(config: &Config, networks: &[&Network], host: &[HostSubnet]) -> Conflicts {
    let is_bridge = |name: &str| {
        let mut bridges = networks.iter().filter_map(|one| one.bridge.as_ref());
        bridges.any(|bridge| bridge.as_str() == name)
    };
    let mut ends = subnet_ends(config).peekable();
    if ends.peek().is_none() {
        let peers = overlaps(config, networks.iter().copied());
        return Conflicts {
            peers,
            ends: Vec::new(),
        };
    }
    let meant = networks.iter().filter(|network| may_be_meant(network));
    let meant: Vec<_> = meant.map(|one| (*one, one.ip_subnets())).collect();
    let host: Vec<_> = host
        .iter()
        .filter(|one| !is_bridge(&one.interface))
        .collect();
    Conflicts {
        peers: overlaps(config, networks.iter().copied()),
        ends: ends
            .filter_map(|(allow, side, end)| {
                let mut fit = meant.iter().filter_map(|(network, subnets)| {
                    let subnet = subnets.iter().find(|own| overlap(own, &end))?;
                    Some((*network, *subnet))
                });
                let (network, subnet) = fit.next()?;
                let another = fit.next().map(|(other, subnet)| Rival::Network {
                    name: other.name.clone(),
                    subnet,
                });
                let rival = another
                    .or_else(|| outside_rival(&end, &host))
                    .or_else(|| own_route(network, &end))?;
                Some(Clash {
                    allow,
                    side,
                    end,
                    network: network.name.clone(),
                    subnet,
                    rival,
                })
            })
            .collect(),
    }
}

/// As with a glob, no subnet takes in an isolated network: it may have been written for the machines
/// outside. One that the host does not route has no guests here.
fn may_be_meant(network: &Network) -> bool {
    network.mode != Mode::Isolated && network.routed_bridge().is_some()
}

/// The ends that are subnets and may take in networks.
fn subnet_ends(config: &Config) -> impl Iterator<Item = (usize, Side, IpNet)> {
    config.numbered_allows().flat_map(|(number, allow)| {
        let ends = [Side::From, Side::To].into_iter();
        ends.filter_map(move |side| match side.of(allow).selector {
            Selector::Subnet(net) => Some((number, side, net)),
            Selector::Outside(_) | Selector::Group(_) | Selector::Networks(_) => None,
        })
    })
}

fn outside_rival(end: &IpNet, host: &[&HostSubnet]) -> Option<Rival> {
    let mut host = host.iter();
    let rival = host.find(|one| overlap(&one.subnet, end) && !one.is_as_a_default_to(end))?;
    Some(Rival::Host((*rival).clone()))
}

impl HostSubnet {
    /// A default route says nothing about a subnet, nor does one that VPN programs make in its place
    /// (`0.0.0.0/1`, `2000::/3`).
    fn is_as_a_default_to(&self, end: &IpNet) -> bool {
        let length = self.subnet.prefix_len();
        let is_broad = match self.subnet {
            IpNet::V4(_) => length < 8,
            IpNet::V6(_) => length < 7,
        };
        self.is_route && (length == 0 || is_broad && length < end.prefix_len())
    }
}

/// A route of the network itself into the end, beyond its own subnets: whom it leads to, only the
/// network's definer knows.
fn own_route(network: &Network, end: &IpNet) -> Option<Rival> {
    let ip = network.ip_subnets();
    let routes = network.own_routes().into_iter();
    let mut routes = routes.filter(|route| !ip.iter().any(|own| own.contains(route)));
    let route = routes.find(|route| overlap(route, end))?;
    Some(Rival::OwnRoute { route })
}

/// The peers that some of `networks` has in it, or is in. They must not be used: what is meant for
/// machines outside would open a network that may be closed.
pub fn overlaps<'a>(
    config: &Config,
    networks: impl Iterator<Item = &'a Network>,
) -> Vec<PeerOverlap> {
    let mut overlaps = Vec::new();
    if !config.has_peers() {
        return overlaps;
    }
    for network in networks {
        let subnets = network.ip_subnets();
        for group in &config.groups {
            for peer in &group.peers {
                let own = subnets.iter().find(|subnet| overlap(subnet, peer));
                overlaps.extend(own.map(|subnet| PeerOverlap {
                    peer: *peer,
                    group: group.name.clone(),
                    subnet: *subnet,
                    network: network.name.clone(),
                }));
            }
        }
    }
    overlaps
}

/// `config` without what must not be used.
pub fn without(config: &Config, conflicts: &Conflicts) -> Config {
    let mut config = config.clone();
    for group in &mut config.groups {
        let peers = conflicts.peers.iter();
        let unused: Vec<_> = peers
            .filter(|overlap| overlap.group == group.name)
            .map(|overlap| overlap.peer)
            .collect();
        group.peers.retain(|peer| !unused.contains(peer));
    }
    for (number, allow) in (1..).zip(&mut config.allows) {
        for (side, end) in [(Side::From, &mut allow.from), (Side::To, &mut allow.to)] {
            if let Selector::Subnet(net) = end.selector
                && conflicts.has_end(number, side)
            {
                end.selector = Selector::Outside(net);
            }
        }
    }
    config
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Access, access_of,
        fixtures::{config, network, with},
    };

    const LAN: &str = "[[allow]]\nfrom='192.168.0.0/24'\nto='kube'\ntcp=[6443]";

    fn routes(mut network: Network, routes: &[&str]) -> Network {
        network.routes = routes.iter().map(|net| net.parse().unwrap()).collect();
        network
    }

    fn nat(name: &str, addresses: &[&str]) -> Network {
        with(network(name, Mode::Nat), addresses)
    }

    fn lan(interface: &str, subnet: &str, is_route: bool) -> HostSubnet {
        HostSubnet {
            interface: interface.to_owned(),
            subnet: subnet.parse().unwrap(),
            is_route,
        }
    }

    /// The access of each network, and the ends that take in none: `1 from`.
    fn decided(text: &str, networks: &[&Network], host: &[HostSubnet]) -> (Vec<Access>, String) {
        let config = config(text);
        let found = conflicts(&config, networks, host);
        let usable = without(&config, &found);
        let accesses = networks.iter().map(|one| access_of(&usable, one)).collect();
        let ends = found.ends.iter();
        let ends: Vec<_> = ends
            .map(|one| format!("{} {}", one.allow, one.side.key()))
            .collect();
        assert!(conflicts(&usable, networks, host).is_empty());
        (accesses, ends.join(", "))
    }

    #[test]
    fn a_network_inside_the_lan_is_not_the_lan() {
        let kube = nat("kube", &["10.17.4.1/24"]);
        let host = [lan("lan0", "192.168.0.0/24", false)];
        for addresses in [
            &["192.168.0.129/26"][..],
            &["192.168.0.1/24"],
            &["192.168.1.1/16"],
            &["192.168.0.30/32"],
            &["10.55.1.1/24", "192.168.0.129/26"],
        ] {
            let taker = nat("n1", addresses);
            let (accesses, ends) = decided(LAN, &[&kube, &taker], &host);
            assert_eq!(ends, "1 from", "{addresses:?}");
            assert!(
                accesses[1].is_empty() && accesses[0].to == [1],
                "{addresses:?}"
            );
        }
        // By a route it is no end at all, so nothing conflicts.
        let taker = routes(nat("n2", &["10.55.1.1/24"]), &["192.168.0.208/28"]);
        let (accesses, ends) = decided(LAN, &[&kube, &taker], &host);
        assert_eq!(ends, "");
        assert!(accesses[1].is_empty());
        // Nobody else has it: that is how a network is named by its subnet.
        let sole = nat("n1", &["192.168.0.1/24"]);
        let (accesses, ends) = decided(LAN, &[&kube, &sole], &[]);
        assert_eq!((accesses[1].from.as_slice(), ends.as_str()), (&[1][..], ""));
    }

    #[test]
    fn a_network_inside_a_target_does_not_answer_for_it() {
        let kube = nat("kube03", &["10.17.4.1/24", "fd00:4::1/64"]);
        for (to, taker) in [
            ("10.17.4.0/24", "10.17.4.129/25"),
            ("10.17.4.21", "10.17.4.21/32"),
            ("10.17.4.21", "10.17.0.1/16"),
            ("fd00:4::/64", "fd00:4::8000:1/113"),
            ("fd00:4::21", "fd00:4::21/128"),
            ("fd00::/16", "fd00:5::1/64"),
        ] {
            let text = format!("[[allow]]\nfrom='dmz'\nto='{to}'\ntcp=[443]");
            let taker = nat("n1", &[taker]);
            for networks in [[&kube, &taker], [&taker, &kube]] {
                let (accesses, ends) = decided(&text, &networks, &[]);
                assert_eq!(ends, "1 to", "{to}");
                assert!(accesses.iter().all(Access::is_empty), "{to}");
            }
            let (accesses, _) = decided(&text, &[&kube], &[]);
            assert_eq!(accesses[0].to, [1], "{to}");
            // One that no rule can mean by its subnet takes nothing away.
            let mut isolated = taker.clone();
            isolated.mode = Mode::Isolated;
            let (accesses, ends) = decided(&text, &[&kube, &isolated], &[]);
            assert_eq!((accesses[0].to.as_slice(), ends.as_str()), (&[1][..], ""));
            assert!(accesses[1].is_empty());
            // Nor does a route, whoever wrote it.
            let route = taker.addresses[0].trunc().to_string();
            let other = routes(nat("n2", &["10.55.1.1/24"]), &[&route]);
            let (accesses, ends) = decided(&text, &[&kube, &other], &[]);
            assert_eq!((accesses[0].to.as_slice(), ends.as_str()), (&[1][..], ""));
        }
    }

    #[test]
    fn a_route_of_ones_own_into_the_end_is_a_conflict() {
        let text = "[[allow]]\nfrom='dmz'\nto='10.0.0.0/8'\ntcp=[443]";
        let wide = routes(nat("n1", &["10.55.1.1/24"]), &["10.1.0.0/16"]);
        let (accesses, ends) = decided(text, &[&wide], &[]);
        assert_eq!(ends, "1 to");
        assert!(accesses[0].is_empty());
        for harmless in ["10.55.1.128/25", "172.16.0.0/12"] {
            let network = routes(nat("n1", &["10.55.1.1/24"]), &[harmless]);
            assert_eq!(decided(text, &[&network], &[]).1, "", "{harmless}");
        }
    }

    #[test]
    fn what_the_host_reaches_elsewhere_is_not_a_network() {
        let kube = nat("kube03", &["10.17.4.1/24"]);
        let text = "[[allow]]\nfrom='dmz'\nto='10.17.4.0/24'\ntcp=[443]";
        let of = |host: HostSubnet| decided(text, &[&kube], &[host]).1;
        for (interface, subnet, is_route) in [
            ("lan0", "10.17.4.0/24", false),
            ("lan0", "10.17.4.40/32", false),
            ("docker0", "10.17.0.0/16", false),
            ("lan0", "0.0.0.0/1", false),
            ("wg0", "10.0.0.0/8", true),
            ("wg0", "10.17.4.128/25", true),
        ] {
            let said = of(lan(interface, subnet, is_route));
            assert_eq!(said, "1 to", "{interface} {subnet}");
        }
        for (interface, subnet, is_route) in [
            // The network's own bridge.
            ("br_kube03", "10.17.4.0/24", false),
            ("br_kube03", "10.17.4.0/24", true),
            ("lan0", "10.17.5.0/24", false),
            ("lan0", "0.0.0.0/0", true),
            ("tun0", "0.0.0.0/1", true),
            ("tun0", "8.0.0.0/7", true),
            ("lan0", "fd00::/8", false),
        ] {
            let said = of(lan(interface, subnet, is_route));
            assert_eq!(said, "", "{interface} {subnet}");
        }
    }

    #[test]
    fn everything_there_is_means_the_outside() {
        let kube = nat("kube", &["10.17.4.1/24", "fd00::1/64"]);
        for all in ["0.0.0.0/0", "::/0"] {
            let text = format!("[[allow]]\nfrom='{all}'\nto='kube'\ntcp=[443]");
            let dmz = nat("dmz", &["10.18.4.1/24", "fd01::1/64"]);
            let (accesses, ends) = decided(&text, &[&kube, &dmz], &[]);
            assert_eq!(ends, "");
            assert!(accesses[1].is_empty() && accesses[0].to == [1]);
        }
    }

    #[test]
    fn a_name_holds_where_a_subnet_does_not() {
        let text = "[[allow]]\nfrom='kube'\nto='dmz'\ntcp=[1]\n\
                    [[allow]]\nfrom='10.17.4.0/24'\nto='dmz'\ntcp=[2]";
        let (kube, dmz) = (
            nat("kube", &["10.17.4.1/24"]),
            nat("dmz", &["10.18.4.1/24"]),
        );
        let taker = nat("n1", &["10.17.4.129/25"]);
        let (accesses, ends) = decided(text, &[&kube, &dmz, &taker], &[]);
        assert_eq!(ends, "2 from");
        assert_eq!(accesses[0].from, [1]);
        assert!(accesses[2].is_empty());
        let (accesses, _) = decided(text, &[&kube, &dmz], &[]);
        assert_eq!(accesses[0].from, [1, 2]);
    }

    #[test]
    fn only_what_makes_a_new_conflict_is_worth_a_rebuild() {
        let config = config(LAN);
        let none = Conflicts::default();
        let taker = nat("n1", &["192.168.0.129/26"]);
        let host = [lan("lan0", "192.168.0.0/24", false)];
        let known = conflicts(&config, &[&taker], &host);
        assert!(may_conflict(&config, &none, &taker));
        assert!(!may_conflict(&config, &known, &taker));
        assert!(known.concern(&taker) && !known.concern(&nat("x", &["10.1.1.1/24"])));
        for other in [
            nat("x", &["10.1.1.1/24"]),
            routes(nat("x", &["10.1.1.1/24"]), &["192.168.0.0/28"]),
            with(network("x", Mode::Isolated), &["192.168.0.129/26"]),
        ] {
            assert!(!may_conflict(&config, &none, &other), "{other:?}");
        }
        assert!(!may_conflict(&Config::default(), &none, &taker));
        let other = conflicts(&config, &[&nat("n9", &["192.168.0.1/25"])], &host);
        assert!(other.are_about_the_same(&known) && other != known);
        assert!(!none.are_about_the_same(&known) && !known.are_about_the_same(&none));
    }
}
