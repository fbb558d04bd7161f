//! Who may talk to whom: [`Config`] and [`Network`]s in, groups and verdicts out.

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::{
    config::{Config, Group},
    network::{Mode, Network},
};

/// The names of the groups that `network` belongs to, in the order of the config.
///
/// A glob never takes in an isolated network: who wrote `*` did not mean the one network
/// that was cut off on purpose. Its exact name does.
pub fn groups_of(config: &Config, network: &Network) -> Vec<String> {
    let isolated = network.mode == Mode::Isolated;
    let belongs = |group: &&Group| {
        group.networks.iter().any(|pattern| {
            pattern.is_exactly(&network.name) || !isolated && pattern.globs(&network.name)
        })
    };
    let groups = config.groups.iter().filter(belongs);
    groups.map(|group| group.name.clone()).collect()
}

/// A peer that is no machine outside: its subnet is, or is part of, a network's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overlap {
    /// The peer, as the config has it.
    pub peer: IpNet,
    /// The group that it is a peer of.
    pub group: String,
    /// The network's subnet.
    pub subnet: IpNet,
    /// The network.
    pub network: String,
}

/// The peers that some of `networks` has in it. They must not be used: what is meant for
/// machines outside would open a network that may be closed.
pub fn overlaps<'a>(config: &Config, networks: impl Iterator<Item = &'a Network>) -> Vec<Overlap> {
    let mut overlaps = Vec::new();
    if !config.has_peers() {
        return overlaps;
    }
    for network in networks {
        let subnets = network.subnets();
        for group in &config.groups {
            for peer in &group.peers {
                let shares = |subnet: &&IpNet| subnet.contains(peer) || peer.contains(*subnet);
                overlaps.extend(subnets.iter().find(shares).map(|subnet| Overlap {
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

/// `config` without the peers that must not be used.
pub fn without(config: &Config, overlaps: &[Overlap]) -> Config {
    let mut config = config.clone();
    for group in &mut config.groups {
        let is_meant = |overlap: &&Overlap| overlap.group == group.name;
        let unused: Vec<_> = overlaps
            .iter()
            .filter(is_meant)
            .map(|one| one.peer)
            .collect();
        group.peers.retain(|peer| !unused.contains(peer));
    }
    config
}

/// The outside subnets that `groups` may talk to.
pub fn peers_of<'a>(config: &'a Config, groups: &[String]) -> impl Iterator<Item = &'a IpNet> {
    let groups = groups.to_vec();
    let config = config.groups.iter();
    let meant = config.filter(move |group| groups.contains(&group.name));
    meant.flat_map(|group| &group.peers)
}

/// Whether new connections pass one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Everything passes.
    Open,
    /// Some of it passes.
    Limited,
    /// Nothing passes.
    Closed,
}

/// One cell of the matrix of who reaches whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reach {
    /// The network that opens the connection.
    pub from: String,
    /// The network that is reached.
    pub to: String,
    /// Whether it is.
    pub verdict: Verdict,
    /// What decides it.
    pub why: String,
}

/// What a [`Reach`] begins with where no group opens it.
pub const NO_GROUP: &str = "in no common group";

/// Every ordered pair of `networks`, each with the groups that it is open for now.
pub fn matrix(networks: &[(&Network, &[String])]) -> Vec<Reach> {
    let mut cells = Vec::new();
    for (from, from_groups) in networks {
        for (to, to_groups) in networks {
            if from.name != to.name {
                cells.push(reach((from, from_groups), (to, to_groups)));
            }
        }
    }
    cells
}

fn reach(from: (&Network, &[String]), to: (&Network, &[String])) -> Reach {
    let shared = from.1.iter().find(|group| to.1.contains(group));
    let (verdict, why) = match shared {
        Some(group) => (Verdict::Open, format!("both in group {group}")),
        None => without_us(from.0, to.0),
    };
    Reach {
        from: from.0.name.clone(),
        to: to.0.name.clone(),
        verdict,
        why,
    }
}

/// What libvirt's own rules do with a new IPv4 connection between two networks, its answers
/// included (src/network/network_nftables.c and network_iptables.c: what the rules of the
/// receiving network accept is not seen by those of the sending one).
fn without_us(from: &Network, to: &Network) -> (Verdict, String) {
    let closed = |why: &str| (Verdict::Closed, format!("{NO_GROUP}, and {why}"));
    let open = |why: &str| {
        let hidden = match from.mode {
            Mode::Nat => ", with the host's address as source",
            _ => "",
        };
        (Verdict::Open, format!("{NO_GROUP}, but {why}{hidden}"))
    };
    if from.mode == Mode::Isolated {
        return closed("libvirt lets no answer into an isolated network");
    }
    if from.forward_dev.is_some() {
        return closed("libvirt forwards the first through its forward dev alone");
    }
    match (to.mode, &to.forward_dev) {
        (Mode::Nat | Mode::Isolated, _) => closed("libvirt rejects what comes in"),
        (_, Some(_)) => closed("libvirt forwards the second through its forward dev alone"),
        (Mode::Route, None) => open("libvirt routes to the second"),
        (Mode::Open | Mode::Unrouted, None) => open("libvirt has no rules for the second"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(name: &str, mode: Mode) -> Network {
        Network {
            name: name.into(),
            mode,
            bridge: Some(format!("br_{name}").parse().unwrap()),
            forward_dev: None,
            nat_ipv6: false,
            addresses: vec![],
            routes: vec![],
        }
    }

    #[test]
    fn a_glob_leaves_isolated_networks_alone_and_a_name_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c");
        let text = "[[group]]\nname='g'\nnetworks=['k*']\n[[group]]\nname='h'\nnetworks=['kiso']";
        std::fs::write(&path, text).unwrap();
        let config = Config::load(&path).unwrap();
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
        let left = without(&config, &found);
        assert_eq!(left.groups[0].peers, ["192.168.0.0/24".parse().unwrap()]);
        assert!(overlaps(&left, [&kube].into_iter()).is_empty());
        // A part of a network is no better.
        config.groups[0].peers = vec!["10.17.3.9/32".parse().unwrap()];
        assert_eq!(overlaps(&config, [&kube].into_iter()).len(), 1);
    }

    #[test]
    fn the_matrix_tells_what_a_group_opens_from_what_libvirt_lets_through() {
        let (nat, routed, iso) = (
            network("nat", Mode::Nat),
            network("routed", Mode::Route),
            network("iso", Mode::Isolated),
        );
        let groups = vec!["all".to_owned()];
        let verdict = |from: (&Network, &[String]), to: (&Network, &[String])| {
            let cell = reach(from, to);
            (cell.verdict, cell.why)
        };
        let (open, why) = verdict((&routed, &groups), (&nat, &groups));
        assert_eq!((open, why.as_str()), (Verdict::Open, "both in group all"));
        let (open, why) = verdict((&nat, &[]), (&routed, &groups));
        assert_eq!(open, Verdict::Open);
        assert!(why.contains("host's address"), "{why}");
        assert_eq!(verdict((&routed, &[]), (&nat, &[])).0, Verdict::Closed);
        assert_eq!(verdict((&nat, &groups), (&iso, &[])).0, Verdict::Closed);
        assert_eq!(verdict((&iso, &[]), (&routed, &[])).0, Verdict::Closed);
        assert_eq!(matrix(&[(&nat, &groups[..]), (&iso, &[])]).len(), 2);
    }
}
