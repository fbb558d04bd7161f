//! Subnets of the config that more than one network or host may claim, and the config without them.
//!
//! A peer, or an endpoint of a rule, is a subnet. A user who may define networks can define one with
//! the same addresses, or with some of them, and its guests would be meant in place of the hosts that
//! the administrator had in mind. So a peer that overlaps a network is not used, and an endpoint of a
//! rule means a network only where its addresses have no other claimant.

use ipnet::IpNet;

use crate::{
    config::{AllowRule, Config, Selector, Side},
    conflict::{Clash, Conflicts, HostSubnet, PeerOverlap, Rival},
    network::{Mode, Network},
    subnets::overlap,
};

/// Whether `network`, which starts, causes a conflict that is not in `known`, or may cause one: only
/// a caller that knows all networks can tell.
pub fn may_conflict(config: &Config, known: &Conflicts, network: &Network) -> bool {
    let peers = overlaps(config, std::iter::once(network));
    if peers.iter().any(|peer| !known.has_peer(peer)) {
        return true;
    }
    if !can_be_meant(network) {
        return false;
    }
    let subnets = network.ip_subnets();
    subnet_endpoints(config).any(|end| {
        !known.has_end(&end.rule.id, end.side)
            && subnets.iter().any(|own| overlap(own, &end.subnet))
    })
}

/// All conflicts between `config`, the active networks, and the other subnets that `host` reaches.
pub fn conflicts(config: &Config, networks: &[&Network], host: &[HostSubnet]) -> Conflicts {
    let peers = overlaps(config, networks.iter().copied());
    let mut ends = Vec::new();
    let mut endpoints = subnet_endpoints(config).peekable();
    if endpoints.peek().is_some() {
        let claimants = Claimants::new(networks, host);
        ends.extend(endpoints.filter_map(|end| claimants.clash(&end)));
    }
    Conflicts { peers, ends }
}

/// The networks and hosts that may claim the addresses of an endpoint.
struct Claimants<'a> {
    networks: Vec<(&'a Network, Vec<IpNet>)>,
    /// Subnets of the host's interfaces, the networks' bridges excepted.
    host: Vec<&'a HostSubnet>,
}

impl<'a> Claimants<'a> {
    fn new(networks: &[&'a Network], host: &'a [HostSubnet]) -> Self {
        let is_bridge = |name: &str| {
            let mut bridges = networks.iter().filter_map(|one| one.bridge.as_ref());
            bridges.any(|bridge| bridge.as_str() == name)
        };
        let meant = networks.iter().filter(|network| can_be_meant(network));
        let host = host.iter().filter(|one| !is_bridge(&one.interface));
        Self {
            networks: meant.map(|one| (*one, one.ip_subnets())).collect(),
            host: host.collect(),
        }
    }

    fn clash(&self, end: &SubnetEndpoint) -> Option<Clash> {
        let mut claims = self.networks.iter().filter_map(|(network, subnets)| {
            let subnet = subnets.iter().find(|own| overlap(own, &end.subnet))?;
            Some((*network, *subnet))
        });
        let (network, subnet) = claims.next()?;
        let other_network = claims.next().map(|(other, subnet)| Rival::Network {
            name: other.name.clone(),
            subnet,
        });
        let rival = other_network
            .or_else(|| self.host_rival(&end.subnet))
            .or_else(|| route_rival(network, &end.subnet))?;
        Some(Clash {
            allow: end.rule.id.clone(),
            side: end.side,
            end: end.subnet,
            network: network.name.clone(),
            subnet,
            rival,
        })
    }

    fn host_rival(&self, end: &IpNet) -> Option<Rival> {
        let mut host = self.host.iter();
        let rival = host.find(|one| overlap(&one.subnet, end) && !is_default_route_to(one, end))?;
        Some(Rival::Host((*rival).clone()))
    }
}

/// Whether a subnet in a rule can mean `network`. As with a glob, it never means an isolated network:
/// it may have been written for external hosts. A network that the host does not route has no guests
/// here.
fn can_be_meant(network: &Network) -> bool {
    network.mode != Mode::Isolated && network.routed_bridge().is_some()
}

/// An endpoint of a rule that is a subnet and can mean networks.
struct SubnetEndpoint<'a> {
    rule: &'a AllowRule,
    side: Side,
    subnet: IpNet,
}

fn subnet_endpoints(config: &Config) -> impl Iterator<Item = SubnetEndpoint<'_>> {
    config.allows.iter().flat_map(|rule| {
        let sides = [Side::From, Side::To].into_iter();
        sides.filter_map(move |side| match side.of(rule).selector {
            Selector::Subnet(subnet) => Some(SubnetEndpoint { rule, side, subnet }),
            Selector::Outside(_) | Selector::Group(_) | Selector::Networks(_) => None,
        })
    })
}

/// Whether the host reaches `end` by a default route only, or by one of the routes that VPN programs
/// make in its place (`0.0.0.0/1`, `2000::/3`): such a route is no claim to a subnet.
fn is_default_route_to(host: &HostSubnet, end: &IpNet) -> bool {
    let length = host.subnet.prefix_len();
    let is_broad = match host.subnet {
        IpNet::V4(_) => length < 8,
        IpNet::V6(_) => length < 7,
    };
    host.is_route && (length == 0 || is_broad && length < end.prefix_len())
}

/// A route of the network itself into `end`, outside of its own subnets: only the network's definer
/// knows which hosts it leads to.
fn route_rival(network: &Network, end: &IpNet) -> Option<Rival> {
    let subnets = network.ip_subnets();
    let is_beyond = |route: &IpNet| !subnets.iter().any(|own| own.contains(route));
    let mut routes = network.own_routes().into_iter();
    let route = routes.find(|route| is_beyond(route) && overlap(route, end))?;
    Some(Rival::OwnRoute { route })
}

/// The peers that overlap a subnet of `networks`. They must not be used: access that is meant for
/// external hosts would open a network that may be closed.
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

/// `config` without the peers and the endpoints of rules that are in `conflicts`: such an endpoint
/// means external hosts only.
pub fn without(config: &Config, conflicts: &Conflicts) -> Config {
    let mut config = config.clone();
    for group in &mut config.groups {
        let is_unused = |peer: &IpNet| {
            let mut overlaps = conflicts.peers.iter();
            overlaps.any(|one| one.group == group.name && one.peer == *peer)
        };
        group.peers.retain(|peer| !is_unused(peer));
    }
    for rule in &mut config.allows {
        for (side, end) in [(Side::From, &mut rule.from), (Side::To, &mut rule.to)] {
            if let Selector::Subnet(net) = end.selector
                && conflicts.has_end(&rule.id, side)
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
        access::Access,
        fixtures::{config, network, rules, with},
        membership::access_of,
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
    fn a_network_inside_the_lan_is_not_meant_by_its_subnet() {
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
                accesses[1].is_empty() && accesses[0].to == rules(&[1]),
                "{addresses:?}"
            );
        }
        // A route does not make the network an endpoint, so nothing conflicts.
        let taker = routes(nat("n2", &["10.55.1.1/24"]), &["192.168.0.208/28"]);
        let (accesses, ends) = decided(LAN, &[&kube, &taker], &host);
        assert_eq!(ends, "");
        assert!(accesses[1].is_empty());
        // Without another claimant the subnet means the network.
        let sole = nat("n1", &["192.168.0.1/24"]);
        let (accesses, ends) = decided(LAN, &[&kube, &sole], &[]);
        assert_eq!(accesses[1].from, rules(&[1]));
        assert_eq!(ends, "");
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
            assert_eq!(accesses[0].to, rules(&[1]), "{to}");
            // An isolated network, which no subnet means, is no claimant.
            let mut isolated = taker.clone();
            isolated.mode = Mode::Isolated;
            let (accesses, ends) = decided(&text, &[&kube, &isolated], &[]);
            assert_eq!(accesses[0].to, rules(&[1]));
            assert_eq!(ends, "");
            assert!(accesses[1].is_empty());
            // Nor does a route of another network.
            let route = taker.addresses[0].trunc().to_string();
            let other = routes(nat("n2", &["10.55.1.1/24"]), &[&route]);
            let (accesses, ends) = decided(&text, &[&kube, &other], &[]);
            assert_eq!(accesses[0].to, rules(&[1]));
            assert_eq!(ends, "");
        }
    }

    #[test]
    fn a_route_of_the_network_into_the_endpoint_is_a_conflict() {
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
    fn a_subnet_of_another_interface_is_a_conflict() {
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
    fn all_addresses_mean_external_hosts() {
        let kube = nat("kube", &["10.17.4.1/24", "fd00::1/64"]);
        for all in ["0.0.0.0/0", "::/0"] {
            let text = format!("[[allow]]\nfrom='{all}'\nto='kube'\ntcp=[443]");
            let dmz = nat("dmz", &["10.18.4.1/24", "fd01::1/64"]);
            let (accesses, ends) = decided(&text, &[&kube, &dmz], &[]);
            assert_eq!(ends, "");
            assert!(accesses[1].is_empty() && accesses[0].to == rules(&[1]));
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
        assert_eq!(accesses[0].from, rules(&[1]));
        assert!(accesses[2].is_empty());
        let (accesses, _) = decided(text, &[&kube, &dmz], &[]);
        assert_eq!(accesses[0].from, rules(&[1, 2]));
    }

    #[test]
    fn only_a_new_conflict_needs_a_rebuild() {
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

    #[test]
    fn a_peer_that_overlaps_a_network_is_not_used() {
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
        // Nor is a peer that is part of a network.
        config.groups[0].peers = vec!["10.17.3.9/32".parse().unwrap()];
        assert_eq!(overlaps(&config, [&kube].into_iter()).len(), 1);
    }
}
