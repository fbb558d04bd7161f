//! Which addresses count as a network's own: a guest that sends with another opens nothing.
//!
//! The network's definer says so with `<ip>` and `<route>`. An `<ip>` is an address of the host
//! itself, so the host's own routing agrees with it. A `<route>` is a claim and no more: it must not
//! make a guest a peer, nor take a peer out of the config.

use ipnet::IpNet;

use crate::{
    config::Config,
    network::{Excess, Network},
    subnets::overlap,
};

/// What a network claims and does not get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    /// The network.
    pub network: String,
    /// What, and why.
    pub claim: Claim,
}

/// A claim that is not believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// It has too much for anything to be opened for it.
    Excess(Excess),
    /// All its routes of one family: they hold too many addresses.
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
pub(super) fn own(config: &Config, network: &Network) -> Vec<IpNet> {
    if !config.has_peers() {
        return network.subnets();
    }
    let is_believed = |route: &IpNet| peer_in(config, route).is_none();
    let routes = network.own_routes().into_iter().filter(is_believed);
    let own: Vec<_> = network.ip_subnets().into_iter().chain(routes).collect();
    IpNet::aggregate(&own)
}

/// What of their claims some of `networks` do not get: one route of each at most, as there may be a
/// thousand.
pub fn denied<'a>(config: &Config, networks: impl Iterator<Item = &'a Network>) -> Vec<Denied> {
    let of = |network: &Network| {
        let excess = network.excess().map(Claim::Excess);
        let broad = || network.is_without_routes().then_some(Claim::BroadRoutes);
        let peer = || {
            let mut routes = network.own_routes().into_iter();
            routes.find_map(|route| {
                let (peer, group) = peer_in(config, &route)?;
                Some(Claim::Peer { route, peer, group })
            })
        };
        let claims = match excess {
            Some(excess) => [Some(excess), None],
            None => [broad(), peer()],
        };
        let denied = claims.into_iter().flatten().map(|claim| Denied {
            network: network.name.clone(),
            claim,
        });
        denied.collect::<Vec<_>>()
    };
    networks.flat_map(of).collect()
}

/// The first peer that has addresses of `route`, with its group.
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
    fn a_route_makes_nobody_a_peer_and_takes_no_peer_away() {
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
    fn too_much_closes_or_costs_the_routes() {
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
