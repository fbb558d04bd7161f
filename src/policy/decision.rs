//! The decision about a packet, as values; its texts are made here.

use std::{fmt, net::IpAddr};

use crate::{
    config::{RuleId, Traffic},
    libvirt::LibvirtVerdict,
    packet::{Endpoint, Packet},
    sanitize::escape,
};

/// What happens to a packet that opens a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Our table marks it, and the gates accept it.
    AllowedByPolicy {
        /// What allows it.
        grant: Grant,
        /// It arrives with its own address, even where libvirt masquerades.
        keeps_source: bool,
    },
    /// The config does not concern it, and libvirt's rules accept it.
    AllowedByLibvirt(LibvirtVerdict),
    /// Neither the config nor libvirt allows it.
    Denied(Denial),
}

/// The part of the config that allows a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Grant {
    /// Both networks are members of the group.
    SameGroup {
        /// Its name.
        group: String,
    },
    /// One endpoint is a peer of a group, and the other one's network a member of it.
    Peer {
        /// The peer's address.
        peer: IpAddr,
        /// The group's name.
        group: String,
    },
    /// An `[[allow]]` rule.
    Rule {
        /// The rule.
        rule: RuleId,
        /// The packet that it permits.
        packet: Packet,
    },
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SameGroup { group } => write!(f, "both are in group {group}"),
            Self::Peer { peer, group } => write!(f, "{peer} is a peer of group {group}"),
            Self::Rule { rule, packet } => write!(f, "allow {rule} permits {packet}"),
        }
    }
}

/// Why a packet is denied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denial {
    /// The source address is none of its network's own, so the config does not concern the packet.
    ForeignSource {
        /// The source address.
        source: IpAddr,
        /// The network that the packet comes from.
        network: String,
        /// Why libvirt rejects it.
        libvirt: LibvirtVerdict,
    },
    /// No group and no rule of the config allows it.
    NoGrant {
        /// Rules for the same endpoints that permit other traffic.
        other: Vec<(RuleId, Traffic)>,
        /// Why libvirt rejects it.
        libvirt: LibvirtVerdict,
        /// A rule that would allow it.
        example: ExampleRule,
    },
}

impl Denial {
    /// A rule that would allow the packet, if any could.
    pub fn example(&self) -> Option<&ExampleRule> {
        match self {
            Self::ForeignSource { .. } => None,
            Self::NoGrant { example, .. } => Some(example),
        }
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ForeignSource {
                source,
                network,
                libvirt,
            } => write!(
                f,
                "{source} is not an address of {}, so no group or rule applies, and {libvirt}",
                escape(network)
            ),
            Self::NoGrant { other, libvirt, .. } => {
                if other.is_empty() {
                    f.write_str("no group or rule allows it, ")?;
                }
                for (rule, traffic) in other {
                    write!(f, "allow {rule} is for {traffic} only, ")?;
                }
                write!(f, "and {libvirt}")
            }
        }
    }
}

/// An `[[allow]]` rule that would allow a denied packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExampleRule {
    from: String,
    to: String,
    packet: Packet,
}

impl ExampleRule {
    pub(crate) fn new(from: &Endpoint, to: &Endpoint, packet: Packet) -> Self {
        Self {
            from: selector(from),
            to: selector(to),
            packet,
        }
    }

    /// The lines to add to the config.
    pub fn lines(&self) -> Vec<String> {
        vec![
            "[[allow]]".to_owned(),
            format!("from = {:?}", self.from),
            format!("to = {:?}", self.to),
            match self.packet {
                Packet::Tcp(port) => format!("tcp = [{port}]"),
                Packet::Udp(port) => format!("udp = [{port}]"),
                Packet::Icmp => "icmp = true".to_owned(),
            },
        ]
    }
}

/// How a rule would name the endpoint.
fn selector(endpoint: &Endpoint) -> String {
    match endpoint.network() {
        Some(network) => escape(&network.name),
        None => endpoint.address.to_string(),
    }
}
