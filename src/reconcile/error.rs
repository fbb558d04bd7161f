//! Everything that can go wrong, in words for the person who must act.

use virt_forward_policy::{
    self as policy, Claim, Clash, Conflicts, Denied, PeerOverlap, Rival, UnknownGroup,
    config::{Config, ConfigError, ConfigLocation},
    network::{KernelName, Network, XmlError},
    sanitize::escape,
};

/// This crate's result.
pub type Result<T> = std::result::Result<T, Error>;

/// What was being done, to what, what the system said, and what to do where that is known.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A peer that is no machine outside; it stays out.
    #[error(
        "{place}: peers: the peer {} of group {} overlaps {} of the network {} and is not let in",
        .overlap.peer, .overlap.group, .overlap.subnet, virt_forward_policy::sanitize::escape(&.overlap.network)
    )]
    Overlap {
        /// Where the config names it.
        place: ConfigLocation,
        /// Which.
        overlap: PeerOverlap,
    },
    /// An end of a rule that a network and somebody else have a claim to; it takes in no network.
    #[error("{place}: {}", clash_text(.clash))]
    Clash {
        /// Where the config names it.
        place: ConfigLocation,
        /// Which.
        clash: Box<Clash>,
    },
    /// What a network claims as its own and does not get.
    #[error("{}", denied_text(.denied, .place.as_ref()))]
    Denied {
        /// Where the config names the peer that is in the way.
        place: Option<ConfigLocation>,
        /// Which.
        denied: Box<Denied>,
    },
    /// A group that a network names, and the config does not.
    #[error(
        "the network {} names the group {} in its metadata, which the config does not define: \
         it is not in it", virt_forward_policy::sanitize::escape(&.0.network), virt_forward_policy::sanitize::escape(&.0.group)
    )]
    Stray(UnknownGroup),
    /// An active network whose definition cannot be followed.
    #[error("the network {} is closed: {why}", virt_forward_policy::sanitize::escape(.network))]
    Faulty {
        /// The network.
        network: String,
        /// What is wrong with its definition.
        why: XmlError,
    },
    /// An active network whose bridge is not known.
    #[error(
        "the bridge of the network {} is not known: {why}; peers, and rules with a subnet as an \
         end, open nothing while it is active", virt_forward_policy::sanitize::escape(.network)
    )]
    Unread {
        /// The network.
        network: String,
        /// Why it is not known.
        why: XmlError,
    },
    /// The bridge of a network that libvirt does not have active.
    #[error(
        "libvirt does not have the network {} active, though its bridge {bridge} exists: \
         it is closed", virt_forward_policy::sanitize::escape(.network)
    )]
    NotActive {
        /// The network.
        network: String,
        /// Its bridge.
        bridge: KernelName,
    },
    /// An end of a rule that is nobody's name.
    #[error("{place}: {key}: there is no group and no network {name}; the rule opens nothing")]
    UnknownEnd {
        /// Where the config names it.
        place: ConfigLocation,
        /// `from` or `to`.
        key: &'static str,
        /// The name, made safe.
        name: String,
    },
    /// The host.
    #[error(transparent)]
    System(#[from] virt_forward_system::Error),
    /// A gate that was put in and is not where it should be.
    #[error(
        "the gate in {place} does not stay where it belongs: another program changes that chain"
    )]
    GateLost {
        /// The chain.
        place: String,
    },
    /// More ways to who is outside than the table holds.
    #[error(
        "this host has more routes to the subnets of the config than virt-forward can hold ({}): \
         a peer is let in by the interface of the kernel's own reverse path check alone",
        virt_forward_ruleset::routing::MOST
    )]
    ManyRoutes,
    /// Several of the above: what could be done was done.
    #[error("{}", list(.0))]
    Several(Vec<Error>),
}

impl Error {
    /// What `config` and these networks do not agree in, each for who has to change it;
    /// `conflicts` are what is not used of the config.
    pub fn misfits<'a>(
        config: &Config,
        conflicts: Conflicts,
        networks: impl Iterator<Item = &'a Network> + Clone,
    ) -> Vec<Self> {
        let faulty = networks.clone().filter_map(|network| {
            Some(Self::Faulty {
                network: network.name.clone(),
                why: network.fault.clone()?,
            })
        });
        let faulty: Vec<_> = faulty.collect();
        let overlaps = conflicts.peers.into_iter().map(|overlap| {
            let place = config.peer_location(&overlap.group, &overlap.peer);
            Self::Overlap { place, overlap }
        });
        let clashes = conflicts.ends.into_iter().map(|clash| {
            let place = config.endpoint_location(&clash.allow, clash.side);
            let clash = Box::new(clash);
            Self::Clash { place, clash }
        });
        let denied = policy::denied(config, networks.clone()).into_iter();
        let denied = denied.map(|denied| {
            let place = match &denied.claim {
                Claim::Peer { peer, group, .. } => Some(config.peer_location(group, peer)),
                Claim::Excess(_) | Claim::BroadRoutes => None,
            };
            let denied = Box::new(denied);
            Self::Denied { place, denied }
        });
        let strays = policy::unknown_groups(config, networks).into_iter();
        let all = overlaps.chain(clashes).chain(denied);
        all.chain(strays.map(Self::Stray)).chain(faulty).collect()
    }

    /// Whether the config is at fault, or the definition of a network, and nothing else.
    pub fn is_of_config(&self) -> bool {
        match self {
            Error::Config(_)
            | Error::Overlap { .. }
            | Error::Clash { .. }
            | Error::Denied { .. }
            | Error::Stray(_)
            | Error::Faulty { .. }
            | Error::Unread { .. }
            | Error::NotActive { .. }
            | Error::UnknownEnd { .. } => true,
            Error::Several(errors) => errors.iter().all(Error::is_of_config),
            _ => false,
        }
    }

    /// The rules of `config` that name who is not there. Only who can ask libvirt knows.
    pub fn unknown_ends(config: &Config, is_known: impl Fn(&str) -> bool) -> Vec<Self> {
        let unknown = config
            .endpoint_names()
            .filter(|(_, _, name)| !is_known(name));
        let error = |(place, key, name): (ConfigLocation, &'static str, &str)| Self::UnknownEnd {
            place,
            key,
            name: virt_forward_policy::sanitize::escape(name),
        };
        unknown.map(error).collect()
    }

    /// One error of many, or none.
    pub fn all(mut errors: Vec<Error>) -> Result<()> {
        match errors.len() {
            0 => Ok(()),
            1 => Err(errors.remove(0)),
            _ => Err(Error::Several(errors)),
        }
    }
}

/// `allow 1: to: 192.168.0.0/24 takes in no network: it is 192.168.0.128/26 of the network n1, and …`
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
            format!("{subnet} of the network {}", escape(name))
        }
        Rival::OwnRoute { route } => {
            format!("the route to {route} through a guest of that network")
        }
        Rival::Host(host) if host.is_route => {
            format!("the host's route to {} by {}", host.subnet, host.interface)
        }
        Rival::Host(host) => format!("{} of the host's interface {}", host.subnet, host.interface),
    };
    format!(
        "{}: allow {allow} takes in no network by {end}, which overlaps both {subnet} of the network \
         {} and {rival}; it holds for machines outside alone",
        side.key(),
        escape(network)
    )
}

fn denied_text(denied: &Denied, place: Option<&ConfigLocation>) -> String {
    let network = escape(&denied.network);
    match &denied.claim {
        Claim::Excess(excess) => {
            format!("the network {network} stays closed: {excess}")
        }
        Claim::BroadRoutes => format!(
            "the <route> elements of the network {network} are ignored: with its <ip> elements they \
             hold more than 2^25 IPv4 or 2^121 IPv6 addresses"
        ),
        Claim::Peer { route, peer, group } => {
            let place = place.map(|place| format!("{place}: ")).unwrap_or_default();
            format!(
                "{place}peers: the peer {peer} of group {group} overlaps the route {route} of the \
                 network {network}; the peer is let in, and guests may not send from that route"
            )
        }
    }
}

fn list(errors: &[Error]) -> String {
    let texts: Vec<_> = errors.iter().map(ToString::to_string).collect();
    texts.join("; ")
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
            let errors = Error::misfits(&config, found, networks);
            assert!(errors.iter().all(Error::is_of_config));
            errors.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let taker = nat("n1", "192.168.0.129", 26);
        assert_eq!(
            said(&[&taker], &[lan("lan0", "192.168.0.0/24", false)]),
            [
                "/etc/c.toml, line 2: from: allow 1 takes in no network by 192.168.0.0/24, which overlaps \
              both 192.168.0.128/26 of the network n1 and 192.168.0.0/24 of the host's interface lan0; \
              it holds for machines outside alone"
            ]
        );
        let mut other = nat("n2", "192.168.0.1", 25);
        other.name = "n\n2".to_owned();
        let both = said(&[&taker, &other], &[]);
        assert!(
            both[0].contains("192.168.0.0/25 of the network n"),
            "{both:?}"
        );
        assert!(!both[0].contains('\n'), "{both:?}");
        let by_route = said(&[&taker], &[lan("wg0", "192.168.0.0/16", true)]);
        assert!(
            by_route[0].contains("host's route to 192.168.0.0/16 by wg0"),
            "{by_route:?}"
        );
    }
}
