//! Conflicts between the config, the networks and the host, as values.

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::{
    config::{RuleId, Side},
    network::Network,
    subnets::overlap,
};

/// A peer that is not external: it overlaps a network's own subnet.
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

/// An endpoint of a rule whose subnet a network claims, in whole or in part, and another claimant,
/// too. It means no network, only external hosts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clash {
    /// The rule.
    pub allow: RuleId,
    /// The endpoint.
    pub side: Side,
    /// The subnet of the endpoint, as the config has it.
    pub end: IpNet,
    /// The first network that would be meant.
    pub network: String,
    /// Its subnet.
    pub subnet: IpNet,
    /// The other claimant.
    pub rival: Rival,
}

/// Another claimant of an endpoint's subnet.
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
    /// Hosts behind a guest of the same network.
    OwnRoute {
        /// The `<route>`, after aggregation.
        route: IpNet,
    },
    /// Hosts that this host reaches by another interface.
    Host(HostSubnet),
}

/// A subnet that this host reaches by an interface.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct HostSubnet {
    /// The interface.
    pub interface: String,
    /// The subnet.
    pub subnet: IpNet,
    /// Whether it is reached by a route; otherwise the interface has an address in it.
    pub is_route: bool,
}

/// The parts of the config that are not used, as they conflict with the networks or the host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Conflicts {
    /// Peers that are left out.
    pub peers: Vec<PeerOverlap>,
    /// Endpoints of rules that mean no network.
    pub ends: Vec<Clash>,
}

impl Conflicts {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.peers.is_empty() && self.ends.is_empty()
    }

    /// Whether the same parts of the config are not used, whatever they conflict with.
    pub fn are_about_the_same(&self, other: &Self) -> bool {
        self.covers(other) && other.covers(self)
    }

    fn covers(&self, other: &Self) -> bool {
        let mut peers = other.peers.iter();
        let mut ends = other.ends.iter();
        peers.all(|peer| self.has_peer(peer)) && ends.all(|end| self.has_end(&end.allow, end.side))
    }

    /// Whether they name `network`, or concern addresses that it has.
    pub fn concern(&self, network: &Network) -> bool {
        let subnets = network.ip_subnets();
        let has = |net: &IpNet| subnets.iter().any(|own| overlap(own, net));
        self.peers.iter().any(|one| has(&one.peer)) || self.ends.iter().any(|one| has(&one.end))
    }

    /// Those of `network` alone.
    #[must_use]
    pub fn of(self, network: &Network) -> Self {
        let subnets = network.ip_subnets();
        let Self {
            mut peers,
            mut ends,
        } = self;
        peers.retain(|one| one.network == network.name);
        ends.retain(|one| subnets.iter().any(|own| overlap(own, &one.end)));
        Self { peers, ends }
    }

    pub(crate) fn has_peer(&self, peer: &PeerOverlap) -> bool {
        let mut peers = self.peers.iter();
        peers.any(|one| one.peer == peer.peer && one.group == peer.group)
    }

    pub(crate) fn has_end(&self, rule: &RuleId, side: Side) -> bool {
        let mut ends = self.ends.iter();
        ends.any(|one| one.allow == *rule && one.side == side)
    }
}
