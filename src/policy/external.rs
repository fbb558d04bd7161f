//! Reachability between networks and external subnets.

use ipnet::IpNet;

use crate::{
    access::Access,
    config::{Config, RuleEndpoint, Selector},
    libvirt::libvirt_verdict,
    matrix::MatrixCell,
    network::Network,
    reachability::MatrixEndpoint,
    reason::{LibvirtEffect, Reason, RuleGrant},
};

/// The external subnets that the config names: peers first, then endpoints of rules. A subnet within
/// a network's own is not external, unless it is known to mean external hosts only.
pub fn external_endpoints<'a>(
    config: &Config,
    networks: impl Iterator<Item = &'a Network>,
) -> Vec<IpNet> {
    let own: Vec<_> = networks.flat_map(Network::ip_subnets).collect();
    let is_own = |subnet: &IpNet| own.iter().any(|net| net.contains(subnet));
    let mut all = Vec::new();
    for group in &config.groups {
        all.extend(group.peers.iter().filter(|peer| !is_own(peer)));
    }
    for end in config.allows.iter().flat_map(|rule| [&rule.from, &rule.to]) {
        match end.selector {
            Selector::Outside(net) => all.push(net),
            Selector::Subnet(net) if !is_own(&net) => all.push(net),
            Selector::Subnet(_) | Selector::Group(_) | Selector::Networks(_) => {}
        }
    }
    let mut unique: Vec<IpNet> = Vec::new();
    for subnet in all {
        if !unique.contains(&subnet) {
            unique.push(subnet);
        }
    }
    unique
}

/// The cells of every network with every one of the external `subnets`, both ways, where the two
/// have an address family in common.
pub fn external_matrix(
    config: &Config,
    networks: &[(&Network, &Access)],
    subnets: &[IpNet],
) -> Vec<MatrixCell> {
    let mut cells = Vec::new();
    for &(network, access) in networks {
        let own = network.subnets();
        for subnet in subnets {
            let is_ipv4 = subnet.addr().is_ipv4();
            if !own.iter().any(|own| own.addr().is_ipv4() == is_ipv4) {
                continue;
            }
            let pair = Pair {
                config,
                network,
                access,
                subnet,
            };
            cells.push(pair.cell(Direction::Outbound));
            cells.push(pair.cell(Direction::Inbound));
        }
    }
    cells
}

/// The direction of new connections, seen from the network.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Outbound,
    Inbound,
}

struct Pair<'a> {
    config: &'a Config,
    network: &'a Network,
    access: &'a Access,
    subnet: &'a IpNet,
}

impl Pair<'_> {
    fn cell(&self, direction: Direction) -> MatrixCell {
        let network = MatrixEndpoint::Network(self.network.name.clone());
        let external = MatrixEndpoint::External(*self.subnet);
        let reason = self.reason(direction);
        let (from, to) = match direction {
            Direction::Outbound => (network, external),
            Direction::Inbound => (external, network),
        };
        MatrixCell { from, to, reason }
    }

    /// Rules count only where libvirt rejects connections: otherwise they limit nothing.
    fn reason(&self, direction: Direction) -> Reason {
        let is_masqueraded = direction == Direction::Outbound
            && self.network.is_masqueraded(self.subnet.addr().is_ipv4());
        let mut groups = self.config.groups.iter().filter(|group| {
            self.access.groups.contains(&group.name)
                && group.peers.iter().any(|peer| peer.contains(self.subnet))
        });
        if let Some(group) = groups.next() {
            let keeps_source = group.keep_source || groups.any(|group| group.keep_source);
            return Reason::Peer {
                group: group.name.clone(),
                masqueraded: is_masqueraded && !keeps_source,
            };
        }
        let (from, to) = match direction {
            Direction::Outbound => (Some(self.network), None),
            Direction::Inbound => (None, Some(self.network)),
        };
        let verdict = libvirt_verdict(from, to, self.subnet.addr().is_ipv4());
        let rules = self.grants(direction);
        if !verdict.allows() && !rules.is_empty() {
            return Reason::AllowRules { rules };
        }
        Reason::NotAPeer {
            libvirt: LibvirtEffect::new(verdict, is_masqueraded),
        }
    }

    /// The rules that permit traffic, each with the part of the network that it means.
    fn grants(&self, direction: Direction) -> Vec<RuleGrant> {
        let is_meant =
            |end: &RuleEndpoint| end.subnet().is_some_and(|net| net.contains(self.subnet));
        let mut grants = Vec::new();
        for rule in &self.config.allows {
            match direction {
                Direction::Outbound => {
                    if is_meant(&rule.to) && self.access.from.contains(&rule.id) {
                        grants.push(RuleGrant::new(rule, rule.from.subnet(), None));
                    }
                }
                Direction::Inbound => {
                    if is_meant(&rule.from) && self.access.to.contains(&rule.id) {
                        grants.push(RuleGrant::new(rule, None, rule.to.subnet()));
                    }
                }
            }
        }
        grants
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        fixtures::{config, network, with},
        membership::access_of,
        network::Mode,
        reachability::Reachability,
    };

    #[test]
    fn external_subnets_have_cells_both_ways_by_family() {
        let config = config(
            "[[group]]\nname='kube'\nnetworks=['kube*']\npeers=['192.168.0.30']\n\
             [[allow]]\nfrom='192.168.0.0/24'\nto='iso'\ntcp=[443]\n\
             [[allow]]\nfrom='iso'\nto='fd01::/64'\nicmp=true\n\
             [[allow]]\nfrom='kube'\nto='10.17.9.21'\nicmp=true",
        );
        let kube = with(network("kube03", Mode::Nat), &["10.17.4.1/24"]);
        let routed = with(network("routed", Mode::Route), &["10.17.3.1/24"]);
        let iso = with(
            network("iso", Mode::Isolated),
            &["10.17.9.1/24", "fd00::1/64"],
        );
        let networks = [&kube, &routed, &iso];
        let mut ends = external_endpoints(&config, networks.into_iter());
        let named: Vec<_> = ends.iter().map(ToString::to_string).collect();
        assert_eq!(named, ["192.168.0.30/32", "192.168.0.0/24", "fd01::/64"]);
        ends.push("0.0.0.0/0".parse().unwrap());
        let accesses = networks.map(|network| access_of(&config, network));
        let pairs: Vec<_> = networks.into_iter().zip(&accesses).collect();
        let cells = external_matrix(&config, &pairs, &ends);
        let said = |from: &str, to: &str| {
            let has_ends =
                |cell: &&MatrixCell| cell.from.to_string() == from && cell.to.to_string() == to;
            let cell = cells.iter().find(has_ends)?;
            Some((cell.reachability(), cell.reason.to_string()))
        };
        let peer = "192.168.0.30/32";
        let masked = "a peer of group kube, source masqueraded";
        assert_eq!(
            said("kube03", peer),
            Some((Reachability::Open, masked.to_owned()))
        );
        assert_eq!(
            said(peer, "kube03"),
            Some((Reachability::Open, "a peer of group kube".to_owned()))
        );
        // A part of a rule's subnet is meant by the rule, a subnet with a peer in it is no peer.
        assert_eq!(
            said(peer, "iso"),
            Some((Reachability::Limited, "allow 1: tcp 443".to_owned()))
        );
        assert_eq!(
            said("192.168.0.0/24", "kube03").unwrap().0,
            Reachability::Closed
        );
        assert_eq!(
            said("iso", "fd01::/64"),
            Some((Reachability::Limited, "allow 2: icmp".to_owned()))
        );
        assert_eq!(said("kube03", "fd01::/64"), None);
        assert_eq!(said("0.0.0.0/0", "routed").unwrap().0, Reachability::Open);
        let out = "not a peer, but libvirt accepts outbound connections, source masqueraded";
        assert_eq!(
            said("kube03", "0.0.0.0/0"),
            Some((Reachability::Open, out.to_owned()))
        );
        assert_eq!(said("iso", "0.0.0.0/0").unwrap().0, Reachability::Closed);
    }
}
