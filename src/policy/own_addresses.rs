//! The addresses that count as a network's own: packets from other sources are not allowed.
//!
//! The network's definer sets them by `<ip>` and `<route>`. An `<ip>` is an address of the host
//! itself, so the host's own routing agrees with it. A `<route>` is only a claim: it must neither
//! make a guest a peer nor remove a peer from the config.

use ipnet::IpNet;

use crate::{
    config::Config,
    network::{Excess, Network},
    subnets::overlap,
};

/// A claim of a network that does not count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    /// The network.
    pub network: String,
    /// The claim.
    pub claim: Claim,
}

/// A claim to addresses, by what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// The network exceeds a limit, and is closed.
    Excess(Excess),
    /// Its routes of one family hold too many addresses, and none of them counts.
    BroadRoutes,
    /// A route that overlaps a peer.
    Peer {
        /// The route, after aggregation.
        route: IpNet,
        /// The peer.
        peer: IpNet,
        /// The group that it is a peer of.
        group: String,
    },
}

/// The subnets that a guest of `network` may send from.
pub(crate) fn own(config: &Config, network: &Network) -> Vec<IpNet> {
    if !config.has_peers() {
        return network.subnets();
    }
    let counts = |route: &IpNet| peer_in(config, route).is_none();
    let routes = network.own_routes().into_iter().filter(counts);
    let own: Vec<_> = network.ip_subnets().into_iter().chain(routes).collect();
    IpNet::aggregate(&own)
}

/// The claims of `networks` that do not count: at most one route of each, as there may be a thousand.
pub fn denied<'a>(config: &Config, networks: impl Iterator<Item = &'a Network>) -> Vec<Denied> {
    let mut denied = Vec::new();
    for network in networks {
        let claims = denied_claims(config, network);
        denied.extend(claims.into_iter().map(|claim| Denied {
            network: network.name.clone(),
            claim,
        }));
    }
    denied
}

fn denied_claims(config: &Config, network: &Network) -> Vec<Claim> {
    if let Some(excess) = network.excess() {
        return vec![Claim::Excess(excess)];
    }
    let mut claims = Vec::new();
    if network.is_without_routes() {
        claims.push(Claim::BroadRoutes);
    }
    let overlap = network.own_routes().into_iter().find_map(|route| {
        let (peer, group) = peer_in(config, &route)?;
        Some(Claim::Peer { route, peer, group })
    });
    claims.extend(overlap);
    claims
}

/// The first peer that overlaps `route`, with its group.
fn peer_in(config: &Config, route: &IpNet) -> Option<(IpNet, String)> {
    config.groups.iter().find_map(|group| {
        let peer = group.peers.iter().find(|peer| overlap(peer, route))?;
        Some((*peer, group.name.clone()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        access_of,
        fixtures::{config, network, with},
        network::Mode,
        overlaps,
    };

    #[test]
    fn a_route_neither_makes_a_guest_a_peer_nor_removes_a_peer() {
        let config = config(
            "[[group]]\nname='kube'\nnetworks=['kube*']\npeers=['192.168.0.0/24','fd01::/64']",
        );
        let mut kube = with(network("kube", Mode::Nat), &["10.17.3.1/24"]);
        let own = |network: &Network| {
            let own = access_of(&config, network).own;
            own.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        for routes in [
            ["192.168.0.208/28", "10.244.0.0/16"],
            ["192.168.0.0/16", "10.244.0.0/16"],
            ["fd01::30/128", "10.244.0.0/16"],
            ["fd00::/8", "10.244.0.0/16"],
        ] {
            kube.routes = routes.iter().map(|net| net.parse().unwrap()).collect();
            assert_eq!(own(&kube), ["10.17.3.0/24", "10.244.0.0/16"], "{routes:?}");
            let denied = denied(&config, [&kube].into_iter());
            assert_eq!(denied.len(), 1, "{denied:?}");
            assert!(matches!(denied[0].claim, Claim::Peer { .. }));
            assert!(overlaps(&config, [&kube].into_iter()).is_empty());
        }
        // What is on the bridge itself is the network's, and then the peer is none.
        kube.addresses = vec!["192.168.0.129/26".parse().unwrap()];
        assert_eq!(overlaps(&config, [&kube].into_iter()).len(), 1);
    }

    #[test]
    fn too_many_addresses_close_the_network_or_exclude_its_routes() {
        let config = Config::default();
        let with_routes = |routes: &[&str]| {
            let mut kube = with(network("kube", Mode::Nat), &["10.17.3.1/24"]);
            kube.routes = routes.iter().map(|net| net.parse().unwrap()).collect();
            kube
        };
        let halves = with_routes(&["0.0.0.0/1", "128.0.0.0/1"]);
        let access = access_of(&config, &halves);
        assert_eq!(access.own, ["10.17.3.0/24".parse().unwrap()]);
        assert!(!access.is_empty());
        let claims = |network: &Network| {
            let denied = denied(&config, [network].into_iter()).into_iter();
            denied.map(|one| one.claim).collect::<Vec<_>>()
        };
        assert_eq!(claims(&halves), [Claim::BroadRoutes]);
        let broad = with(network("kube", Mode::Nat), &["8.0.0.1/5"]);
        assert!(access_of(&config, &broad).is_empty());
        assert_eq!(claims(&broad), [Claim::Excess(Excess::Addresses)]);
        let many = (0..1200).map(|at| format!("10.{}.{}.1/32", at / 250, at % 250));
        let many: Vec<_> = many.collect();
        let many: Vec<_> = many.iter().map(String::as_str).collect();
        let many = with_routes(&many);
        assert!(access_of(&config, &many).is_empty());
        assert_eq!(claims(&many), [Claim::Excess(Excess::Subnets)]);
        assert!(claims(&with_routes(&["10.244.0.0/16"])).is_empty());
    }
}
