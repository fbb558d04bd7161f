//! Everything that can go wrong, in words for the person who must act.

use std::{io, path::PathBuf};

use crate::{
    config::{Config, ConfigError, Place},
    network::{KernelName, Network, XmlError},
    policy::{self, Claim, Clash, Conflicts, Denied, Overlap, Rival, Stray},
    text::shown,
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
        .overlap.peer, .overlap.group, .overlap.subnet, crate::text::shown(&.overlap.network)
    )]
    Overlap {
        /// Where the config names it.
        place: Place,
        /// Which.
        overlap: Overlap,
    },
    /// An end of a rule that a network and somebody else have a claim to; it takes in no network.
    #[error("{place}: {}", clash_text(.clash))]
    Clash {
        /// Where the config names it.
        place: Place,
        /// Which.
        clash: Box<Clash>,
    },
    /// What a network claims as its own and does not get.
    #[error("{}", denied_text(.denied, .place.as_ref()))]
    Denied {
        /// Where the config names the peer that is in the way.
        place: Option<Place>,
        /// Which.
        denied: Box<Denied>,
    },
    /// A group that a network names, and the config does not.
    #[error(
        "the network {} names the group {} in its metadata, which the config does not define: \
         it is not in it", crate::text::shown(&.0.network), crate::text::shown(&.0.group)
    )]
    Stray(Stray),
    /// An active network whose definition cannot be followed.
    #[error("the network {} is closed: {why}", crate::text::shown(.network))]
    Faulty {
        /// The network.
        network: String,
        /// What is wrong with its definition.
        why: XmlError,
    },
    /// An active network whose bridge is not known.
    #[error(
        "the bridge of the network {} is not known: {why}; peers, and rules with a subnet as an \
         end, open nothing while it is active", crate::text::shown(.network)
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
         it is closed", crate::text::shown(.network)
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
        place: Place,
        /// `from` or `to`.
        key: &'static str,
        /// The name, made safe.
        name: String,
    },
    /// A program that is not installed.
    #[error("{program} is not installed (looked in {}): install the package {package}", crate::paths::PROGRAMS.join(", "))]
    NoProgram {
        /// `nft`, `iptables`.
        program: &'static str,
        /// The package of that name in most distributions.
        package: &'static str,
    },
    /// A program that could not be run.
    #[error("cannot run {program}: {why}")]
    Run {
        /// Its path.
        program: PathBuf,
        /// What the system said.
        why: io::Error,
    },
    /// A program that took too long, and was ended.
    #[error("{what} had no answer in time, and was ended")]
    TooSlow {
        /// The command.
        what: String,
    },
    /// A program that failed.
    #[error("{what} failed: {stderr}")]
    Failed {
        /// The command.
        what: String,
        /// All it had to say.
        stderr: String,
    },
    /// The kernel's own answer about rules.
    #[error("cannot read the rules of {what} from the kernel: {why}")]
    Rules {
        /// The chain.
        what: String,
        /// What the system said.
        why: io::Error,
    },
    /// The host's addresses and routes.
    #[error("cannot list the addresses and routes of this host: {0}")]
    Subnets(io::Error),
    /// A gate that was put in and is not where it should be.
    #[error(
        "the gate in {place} does not stay where it belongs: another program changes that chain"
    )]
    GateLost {
        /// The chain.
        place: String,
    },
    /// firewalld lacks what lets peers through it.
    #[error(
        "firewalld keeps the peers out, as it does not know the policy virt-forward: it belongs \
         in /usr/lib/firewalld/policies/virt-forward.xml, and is known after firewall-cmd --reload"
    )]
    NoFirewalldPolicy,
    /// More ways to who is outside than the table holds.
    #[error(
        "this host has more routes to the subnets of the config than virt-forward can hold ({}): \
         a peer is let in by the interface of the kernel's own reverse path check alone",
        crate::routing::MOST
    )]
    ManyRoutes,
    /// A kernel setting.
    #[error("cannot set {key} to {value}: {why}")]
    Sysctl {
        /// As sysctl(8) writes it.
        key: String,
        /// The value wanted.
        value: String,
        /// What the system said.
        why: io::Error,
    },
    /// A file of the state folder.
    #[error("cannot {doing} {}: {why}", .path.display())]
    State {
        /// `read`, `write`, `remove`.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        why: io::Error,
    },
    /// The lock of the state folder.
    #[error("another run of virt-forward holds {} and did not end in time", .0.display())]
    Locked(PathBuf),
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
            let place = config.place_of_peer(&overlap.group, &overlap.peer);
            Self::Overlap { place, overlap }
        });
        let clashes = conflicts.ends.into_iter().map(|clash| {
            let place = config.place_of_end(clash.allow, clash.side);
            let clash = Box::new(clash);
            Self::Clash { place, clash }
        });
        let denied = policy::denied(config, networks.clone()).into_iter();
        let denied = denied.map(|denied| {
            let place = match &denied.claim {
                Claim::Peer { peer, group, .. } => Some(config.place_of_peer(group, peer)),
                Claim::Excess(_) | Claim::BroadRoutes => None,
            };
            let denied = Box::new(denied);
            Self::Denied { place, denied }
        });
        let strays = policy::strays(config, networks).into_iter();
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
        let unknown = config.named_ends().filter(|(_, _, name)| !is_known(name));
        let error = |(place, key, name): (Place, &'static str, &str)| Self::UnknownEnd {
            place,
            key,
            name: crate::text::shown(name),
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
            format!("{subnet} of the network {}", shown(name))
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
        shown(network)
    )
}

fn denied_text(denied: &Denied, place: Option<&Place>) -> String {
    let network = shown(&denied.network);
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
