//! A packet that opens a connection.

use std::{fmt, net::IpAddr};

use serde::Serialize;

use crate::{
    access::Access,
    config::{PortRange, RuleEndpoint, Traffic},
    network::Network,
};

/// The protocol of a packet, with its destination port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Packet {
    /// TCP to that port.
    Tcp(u16),
    /// UDP to that port.
    Udp(u16),
    /// An echo request of ICMP or ICMPv6.
    Icmp,
}

/// `tcp 443`, `icmp`
impl fmt::Display for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Packet::Tcp(port) => write!(f, "tcp {port}"),
            Packet::Udp(port) => write!(f, "udp {port}"),
            Packet::Icmp => f.write_str("icmp"),
        }
    }
}

impl Packet {
    /// Whether it belongs to `traffic`.
    pub(crate) fn is_in(self, traffic: &Traffic) -> bool {
        let has = |ranges: &[PortRange], port| ranges.iter().any(|range| range.contains(port));
        match self {
            Packet::Tcp(port) => has(&traffic.tcp, port),
            Packet::Udp(port) => has(&traffic.udp, port),
            Packet::Icmp => traffic.icmp,
        }
    }
}

/// Source or destination of a packet.
#[derive(Clone, Copy, Debug)]
pub struct Endpoint<'a> {
    /// The address.
    pub address: IpAddr,
    /// The network that the endpoint is in, with its access; nothing where it is external.
    pub network: Option<(&'a Network, &'a Access)>,
}

impl<'a> Endpoint<'a> {
    pub(crate) fn network(&self) -> Option<&'a Network> {
        self.network.map(|(network, _)| network)
    }

    pub(crate) fn groups(&self) -> &'a [String] {
        self.network.map_or(&[], |(_, access)| &access.groups)
    }

    /// Whether the address is none of its network's own: a guest may send with any address.
    pub(crate) fn is_foreign(&self) -> bool {
        let Some((network, access)) = self.network else {
            return false;
        };
        let is_own = |own: &[ipnet::IpNet]| own.iter().any(|own| own.contains(&self.address));
        if access.is_empty() {
            !is_own(&network.subnets())
        } else {
            !is_own(&access.own)
        }
    }

    /// Whether a rule's endpoint means this one; `has_network` tells whether it means a network with
    /// that access.
    pub(crate) fn is_meant(
        &self,
        end: &RuleEndpoint,
        has_network: impl Fn(&Access) -> bool,
    ) -> bool {
        let has_address = end.subnet().is_none_or(|net| net.contains(&self.address));
        match self.network {
            Some((_, access)) => has_network(access) && has_address,
            None => end.subnet().is_some() && has_address,
        }
    }
}
