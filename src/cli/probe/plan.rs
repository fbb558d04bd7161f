//! What a probe sends, and where.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::{Context, Result, anyhow, bail};
use ipnet::IpNet;
use virt_forward_policy::{Packet, sanitize::escape};

use crate::{
    endpoint::{EndpointKind, ResolvedEndpoint},
    host::{Host, Interface},
};

/// The number of addresses that are tried before a network counts as full.
const MAX_CANDIDATES: usize = 8;

/// The last 128 addresses of an IPv6 subnet are reserved for anycast (RFC 2526).
const RESERVED_ANYCAST: u128 = 128;

/// The interface that the packet arrives on.
#[derive(Clone, Debug)]
pub(super) enum Ingress<'a> {
    /// A bridge, as for a packet of a guest.
    Bridge(&'a Interface),
    /// An uplink, as for a packet of an external host.
    Uplink(&'a Interface),
}

impl<'a> Ingress<'a> {
    pub(super) fn interface(&self) -> &'a Interface {
        match self {
            Ingress::Bridge(interface) | Ingress::Uplink(interface) => interface,
        }
    }

    pub(super) fn is_uplink(&self) -> bool {
        matches!(self, Ingress::Uplink(_))
    }
}

/// The decisions that precede any change to the host.
#[derive(Clone, Debug)]
pub(super) struct ProbePlan<'a> {
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    pub(super) packet: Packet,
    pub(super) ingress: Ingress<'a>,
    /// The bridge for a temporary destination; `None` if the packet goes to the host that has the
    /// address.
    pub(super) receiver: Option<&'a Interface>,
}

impl<'a> ProbePlan<'a> {
    /// Plans a probe between endpoints that [`super::prepare`] has chosen.
    ///
    /// # Errors
    ///
    /// If no path between the endpoints leads through this host, or if the packet cannot be made to
    /// arrive like one of the source's.
    pub(super) fn new(
        from: &ResolvedEndpoint,
        to: &ResolvedEndpoint,
        packet: Packet,
        host: &'a Host,
    ) -> Result<Self> {
        if from.network.is_none() && to.network.is_none() {
            bail!("neither endpoint is in a virtual network");
        }
        let ingress = match from.network {
            Some(_) => Ingress::Bridge(bridge(from, host)?),
            None => Ingress::Uplink(uplink(from.address, host)?),
        };
        let receiver = to.network.map(|_| bridge(to, host)).transpose()?;
        if receiver.map(|bridge| bridge.index) == Some(ingress.interface().index) {
            bail!("both endpoints are on {}", ingress.interface().name);
        }
        Ok(Self {
            source: from.address,
            destination: to.address,
            packet,
            ingress,
            receiver: receiver.filter(|_| to.kind == EndpointKind::Network),
        })
    }
}

/// The bridge of an endpoint in a virtual network.
pub(super) fn bridge<'a>(endpoint: &ResolvedEndpoint, host: &'a Host) -> Result<&'a Interface> {
    let network = endpoint
        .network
        .context("the endpoint is in no virtual network")?;
    let name = escape(&network.name);
    let bridge = network
        .routed_bridge()
        .ok_or_else(|| anyhow!("this host does not route {name}"))?;
    host.interface(bridge.as_str())
        .ok_or_else(|| anyhow!("bridge {bridge} of {name} does not exist"))
}

fn uplink(address: IpAddr, host: &Host) -> Result<&Interface> {
    let interface = host.link_of(address).and_then(|name| host.interface(name));
    let interface = interface.ok_or_else(|| anyhow!("this host has no route to {address}"))?;
    match interface.mac {
        Some(_) => Ok(interface),
        None => bail!(
            "packets from {address} arrive on {}, which is no Ethernet interface: they cannot be \
             impersonated",
            interface.name
        ),
    }
}

/// Addresses of the subnet of `own` that are probably free, without the host's `own` and the `used`
/// ones. They are taken from its end: DHCP ranges and manual assignments begin at its start.
pub(super) fn candidates(own: &IpNet, used: &[IpAddr]) -> Vec<IpAddr> {
    let is_free = |one: &IpAddr| *one != own.addr() && !used.contains(one);
    let hosts: Box<dyn Iterator<Item = IpAddr>> = match own {
        IpNet::V4(net) if net.prefix_len() < 31 => {
            let (first, last) = (u32::from(net.network()), u32::from(net.broadcast()));
            Box::new(
                (first + 1..last)
                    .rev()
                    .map(|one| Ipv4Addr::from(one).into()),
            )
        }
        IpNet::V6(net) if net.prefix_len() < 120 => {
            let (first, last) = (u128::from(net.network()), u128::from(net.broadcast()));
            let last = last - RESERVED_ANYCAST;
            Box::new(
                (first + 1..last)
                    .rev()
                    .map(|one| Ipv6Addr::from(one).into()),
            )
        }
        // No room for another address.
        _ => Box::new(std::iter::empty()),
    };
    hosts.filter(is_free).take(MAX_CANDIDATES).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn candidates_are_taken_from_the_end() {
        let all = |net: &str| {
            let found = candidates(&net.parse().unwrap(), &["10.17.9.254".parse().unwrap()]);
            found.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(all("10.17.3.1/24")[..2], ["10.17.3.254", "10.17.3.253"]);
        assert_eq!(all("10.17.3.254/24")[0], "10.17.3.253");
        assert_eq!(all("10.17.9.1/24")[0], "10.17.9.253");
        assert_eq!(all("10.17.3.1/30"), ["10.17.3.2"]);
        assert!(all("10.17.3.1/31").is_empty());
        assert!(all("10.17.3.1/32").is_empty());
        assert_eq!(all("fd00::1/64")[0], "fd00::ffff:ffff:ffff:ff7e");
        assert!(all("fd00::1/127").is_empty());
    }
}
