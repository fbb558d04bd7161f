//! What is outside of all networks: who of there reaches whom, and who is reached there.

use ipnet::IpNet;

use crate::{Access, MatrixCell, Reachability, evaluate::alone};
use crate::{
    config::{Config, RuleEndpoint, Selector},
    network::Network,
};

/// What a [`MatrixCell`] begins with where no group has that end as a peer.
pub const NO_PEER: &str = "no peer";

/// The subnets outside that the config names: peers first, then ends of rules. One that is part
/// of a network's own is not outside, unless it is known to mean who is outside alone.
pub fn external_endpoints<'a>(
    config: &Config,
    networks: impl Iterator<Item = &'a Network>,
) -> Vec<IpNet> {
    let own: Vec<_> = networks.flat_map(Network::ip_subnets).collect();
    let is_own = |end: &IpNet| own.iter().any(|net| net.contains(end));
    let peers = config.groups.iter().flat_map(|group| &group.peers).copied();
    let of_rules = config.allows.iter();
    let of_rules = of_rules.flat_map(|allow| [&allow.from, &allow.to]);
    let of_rules = of_rules.filter_map(|end| match end.selector {
        Selector::Outside(net) => Some(net),
        Selector::Subnet(net) => (!is_own(&net)).then_some(net),
        Selector::Group(_) | Selector::Networks(_) => None,
    });
    let mut ends: Vec<IpNet> = Vec::new();
    for end in peers.filter(|peer| !is_own(peer)).chain(of_rules) {
        if !ends.contains(&end) {
            ends.push(end);
        }
    }
    ends
}

/// Every network with every one of `ends`, both ways, where they have a family in common.
pub fn external_matrix(
    config: &Config,
    networks: &[(&Network, &Access)],
    ends: &[IpNet],
) -> Vec<MatrixCell> {
    let mut cells = Vec::new();
    for &(network, access) in networks {
        let subnets = network.subnets();
        for end in ends {
            let is_ipv4 = end.addr().is_ipv4();
            if !subnets.iter().any(|own| own.addr().is_ipv4() == is_ipv4) {
                continue;
            }
            let pair = Pair {
                config,
                network,
                access,
                end,
            };
            cells.push(pair.reach(true));
            cells.push(pair.reach(false));
        }
    }
    cells
}

struct Pair<'a> {
    config: &'a Config,
    network: &'a Network,
    access: &'a Access,
    end: &'a IpNet,
}

impl Pair<'_> {
    fn reach(&self, is_outward: bool) -> MatrixCell {
        let (verdict, is_ours, why) = self.verdict(is_outward);
        let (network, end) = (self.network.name.clone(), self.end.to_string());
        let (from, to) = match is_outward {
            true => (network, end),
            false => (end, network),
        };
        MatrixCell {
            from,
            to,
            verdict,
            why,
            is_ours,
        }
    }

    fn verdict(&self, is_outward: bool) -> (Reachability, bool, String) {
        let is_ipv4 = self.end.addr().is_ipv4();
        let mut groups = self.config.groups.iter().filter(|group| {
            self.access.groups.contains(&group.name)
                && group.peers.iter().any(|peer| peer.contains(self.end))
        });
        if let Some(group) = groups.next() {
            let source = self.source(is_outward, group.keep_source);
            let why = format!("a peer of group {}{source}", group.name);
            return (Reachability::Open, true, why);
        }
        let network = Some(self.network);
        let alone = match is_outward {
            true => alone(network, None, is_ipv4),
            false => alone(None, network, is_ipv4),
        };
        match (alone, self.rules(is_outward)) {
            (Ok(why), _) => {
                let source = self.source(is_outward, false);
                (
                    Reachability::Open,
                    false,
                    format!("{NO_PEER}, but {why}{source}"),
                )
            }
            (Err(_), Some(rules)) => (Reachability::Limited, true, rules),
            (Err(why), None) => (Reachability::Closed, false, format!("{NO_PEER}, and {why}")),
        }
    }

    /// Whom the other side sees.
    fn source(&self, is_outward: bool, is_kept: bool) -> &'static str {
        let is_masqueraded = self.network.is_masqueraded(self.end.addr().is_ipv4());
        match is_outward && is_masqueraded && !is_kept {
            true => ", with the host's address as source",
            false => "",
        }
    }

    /// The rules that let something pass.
    fn rules(&self, is_outward: bool) -> Option<String> {
        let fits = |end: &RuleEndpoint| end.subnet().is_some_and(|net| net.contains(self.end));
        let mut said = Vec::new();
        for (number, allow) in self.config.numbered_allows() {
            let (there, here, numbers) = match is_outward {
                true => (&allow.to, &allow.from, &self.access.from),
                false => (&allow.from, &allow.to, &self.access.to),
            };
            if fits(there) && numbers.contains(&number) {
                let word = if is_outward { "from" } else { "to" };
                let part = here.subnet().map(|net| format!(", {word} {net}"));
                let part = part.unwrap_or_default();
                said.push(format!("allow {number}: {allow}{part}"));
            }
        }
        (!said.is_empty()).then(|| said.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        access_of,
        fixtures::{config, network, with},
        network::Mode,
    };

    #[test]
    fn what_is_outside_is_told_both_ways_and_by_family() {
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
            let cell = cells.iter().find(|cell| cell.from == from && cell.to == to);
            cell.map(|cell| (cell.verdict, cell.why.as_str()))
        };
        let peer = "192.168.0.30/32";
        let masked = "a peer of group kube, with the host's address as source";
        assert_eq!(said("kube03", peer), Some((Reachability::Open, masked)));
        assert_eq!(
            said(peer, "kube03"),
            Some((Reachability::Open, "a peer of group kube"))
        );
        // A part of a rule's subnet is meant by the rule, a subnet with a peer in it is no peer.
        assert_eq!(
            said(peer, "iso"),
            Some((Reachability::Limited, "allow 1: tcp 443"))
        );
        assert_eq!(
            said("192.168.0.0/24", "kube03").unwrap().0,
            Reachability::Closed
        );
        assert_eq!(
            said("iso", "fd01::/64"),
            Some((Reachability::Limited, "allow 2: icmp"))
        );
        assert_eq!(said("kube03", "fd01::/64"), None);
        assert_eq!(said("0.0.0.0/0", "routed").unwrap().0, Reachability::Open);
        let out = "no peer, but libvirt lets its networks out, with the host's address \
                   as source";
        assert_eq!(said("kube03", "0.0.0.0/0"), Some((Reachability::Open, out)));
        assert_eq!(said("iso", "0.0.0.0/0").unwrap().0, Reachability::Closed);
    }
}
