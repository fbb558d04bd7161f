//! Disagreements between the configuration and the networks, which the administrator resolves.

use virt_forward_policy::{
    self as policy, Claim, Clash, Conflicts, Denied, PeerOverlap, Rival, UnknownGroup,
    config::{Config, ConfigLocation},
    network::{KernelName, Network, XmlError},
    sanitize::escape,
};

/// A part of the configuration or of a network's definition that has no effect. Everything else is
/// in effect, so this is no error.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigConflict {
    /// A peer that overlaps a network. It is ignored.
    #[error(
        "{place}: peers: peer {} of group {} overlaps {} of network {}; ignoring the peer",
        .overlap.peer, .overlap.group, .overlap.subnet, escape(&.overlap.network)
    )]
    PeerOverlap {
        /// The position in the configuration.
        place: ConfigLocation,
        /// The peer and the network.
        overlap: PeerOverlap,
    },
    /// A subnet as the end of a rule that both a network and something else have. It selects no
    /// network.
    #[error("{place}: {}", clash_text(.clash))]
    AmbiguousEnd {
        /// The position in the configuration.
        place: ConfigLocation,
        /// The end and its claimants.
        clash: Box<Clash>,
    },
    /// Addresses that a network's definition claims and that it does not get.
    #[error("{}", denied_text(.denied, .place.as_ref()))]
    DeniedClaim {
        /// The position of the peer in the way, if there is one.
        place: Option<ConfigLocation>,
        /// The claim.
        denied: Box<Denied>,
    },
    /// A network names a group that the configuration does not define.
    #[error(
        "network {}: its metadata names group {}, which the configuration does not define; \
         ignoring it", escape(&.0.network), escape(&.0.group)
    )]
    UnknownGroup(UnknownGroup),
    /// An active network has an invalid definition. It is closed.
    #[error("network {} is closed: {why}", escape(.network))]
    InvalidNetwork {
        /// The network.
        network: String,
        /// The fault of its definition.
        why: XmlError,
    },
    /// An active network has no known bridge. While it is active, nothing external is let in.
    #[error(
        "the bridge of network {} is not known: {why}; peers and rules with a subnet have no effect \
         while it is active", escape(.network)
    )]
    UnknownBridge {
        /// The network.
        network: String,
        /// Why its bridge is not known.
        why: XmlError,
    },
    /// A network's bridge exists, and libvirt does not have the network active. It is closed.
    #[error(
        "network {} is closed: its bridge {bridge} exists, but libvirt does not have it active", escape(.network)
    )]
    NotActive {
        /// The network.
        network: String,
        /// Its bridge.
        bridge: KernelName,
    },
    /// An end of a rule that names no group and no network.
    #[error("{place}: {key}: no group or network is named {name}; the rule has no effect")]
    UnresolvedName {
        /// The position in the configuration.
        place: ConfigLocation,
        /// `from` or `to`.
        key: &'static str,
        /// The name, escaped for a terminal.
        name: String,
    },
}

/// The conflicts between `config` and `networks`. `conflicts` are the parts of the configuration
/// that are not in use because of the networks or the host.
pub fn config_conflicts<'a>(
    config: &Config,
    conflicts: Conflicts,
    networks: impl Iterator<Item = &'a Network> + Clone,
) -> Vec<ConfigConflict> {
    let mut found = Vec::new();
    for overlap in conflicts.peers {
        let place = config.peer_location(&overlap.group, &overlap.peer);
        found.push(ConfigConflict::PeerOverlap { place, overlap });
    }
    for clash in conflicts.ends {
        let place = config.endpoint_location(&clash.allow, clash.side);
        let clash = Box::new(clash);
        found.push(ConfigConflict::AmbiguousEnd { place, clash });
    }
    for denied in policy::denied(config, networks.clone()) {
        let place = match &denied.claim {
            Claim::Peer { peer, group, .. } => Some(config.peer_location(group, peer)),
            Claim::Excess(_) | Claim::BroadRoutes => None,
        };
        let denied = Box::new(denied);
        found.push(ConfigConflict::DeniedClaim { place, denied });
    }
    let strays = policy::unknown_groups(config, networks.clone());
    found.extend(strays.into_iter().map(ConfigConflict::UnknownGroup));
    for network in networks {
        if let Some(why) = network.fault.clone() {
            let network = network.name.clone();
            found.push(ConfigConflict::InvalidNetwork { network, why });
        }
    }
    found
}

/// The rules of `config` that name neither a group nor a network. `is_network` says whether libvirt
/// has a network of that name, active or not.
pub fn unresolved_names(config: &Config, is_network: impl Fn(&str) -> bool) -> Vec<ConfigConflict> {
    let mut unresolved = Vec::new();
    for (place, key, name) in config.endpoint_names() {
        if !is_network(name) {
            let name = escape(name);
            unresolved.push(ConfigConflict::UnresolvedName { place, key, name });
        }
    }
    unresolved
}

/// `to: allow 1: 192.168.0.0/24 selects no network, because it overlaps both 192.168.0.128/26 of …`
fn clash_text(clash: &Clash) -> String {
    let Clash {
        allow,
        side,
        end,
        network,
        subnet,
        rival,
    } = clash;
    let rival = match rival {
        Rival::Network { name, subnet } => {
            format!("{subnet} of network {}", escape(name))
        }
        Rival::OwnRoute { route } => {
            format!("the route to {route} through a guest of that network")
        }
        Rival::Host(host) if host.is_route => {
            format!("the host's route to {} via {}", host.subnet, host.interface)
        }
        Rival::Host(host) => format!("{} of the host's interface {}", host.subnet, host.interface),
    };
    format!(
        "{}: allow {allow}: {end} selects no network, because it overlaps both {subnet} of network \
         {} and {rival}; it applies to external hosts only",
        side.key(),
        escape(network)
    )
}

fn denied_text(denied: &Denied, place: Option<&ConfigLocation>) -> String {
    let network = escape(&denied.network);
    match &denied.claim {
        Claim::Excess(excess) => {
            format!("network {network} stays closed: {excess}")
        }
        Claim::BroadRoutes => format!(
            "network {network}: ignoring its <route> elements: with its <ip> elements they contain more \
             than 2^25 IPv4 or 2^121 IPv6 addresses"
        ),
        Claim::Peer { route, peer, group } => {
            let place = place.map(|place| format!("{place}: ")).unwrap_or_default();
            format!(
                "{place}peers: peer {peer} of group {group} overlaps route {route} of network {network}; \
                 the peer is allowed, and guests must not send from that route"
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use virt_forward_policy::{HostSubnet, conflicts, network::read};

    use super::*;

    const LAN: &str = "[[allow]]\nfrom='192.168.0.0/24'\nto='kube'\ntcp=[6443]";

    fn nat(name: &str, address: &str, prefix: u8) -> Network {
        let xml = format!(
            "<network><name>{name}</name><forward mode='nat'/><bridge name='br_{name}'/>\
             <ip address='{address}' prefix='{prefix}'/></network>"
        );
        read(xml.as_bytes()).unwrap()
    }

    fn lan(interface: &str, subnet: &str, is_route: bool) -> HostSubnet {
        HostSubnet {
            interface: interface.to_owned(),
            subnet: subnet.parse().unwrap(),
            is_route,
        }
    }

    #[test]
    fn a_conflict_names_its_line_and_both_sides() {
        let config = Config::read(LAN, "/etc/c.toml".to_owned()).unwrap();
        let said = |networks: &[&Network], host: &[HostSubnet]| {
            let found = conflicts(&config, networks, host);
            let networks = networks.iter().copied();
            let conflicts = config_conflicts(&config, found, networks);
            conflicts
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
        };
        let taker = nat("n1", "192.168.0.129", 26);
        assert_eq!(
            said(&[&taker], &[lan("lan0", "192.168.0.0/24", false)]),
            [
                "/etc/c.toml, line 2: from: allow 1: 192.168.0.0/24 selects no network, because it overlaps \
              both 192.168.0.128/26 of network n1 and 192.168.0.0/24 of the host's interface lan0; it \
              applies to external hosts only"
            ]
        );
        let mut other = nat("n2", "192.168.0.1", 25);
        other.name = "n\n2".to_owned();
        let both = said(&[&taker, &other], &[]);
        assert!(both[0].contains("192.168.0.0/25 of network n"), "{both:?}");
        assert!(!both[0].contains('\n'), "{both:?}");
        let by_route = said(&[&taker], &[lan("wg0", "192.168.0.0/16", true)]);
        assert!(
            by_route[0].contains("host's route to 192.168.0.0/16 via wg0"),
            "{by_route:?}"
        );
    }
}
