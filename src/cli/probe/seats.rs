//! Who sends from where to whom.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::{Context, Result, anyhow, bail};
use ipnet::IpNet;
use virt_forward_policy::{Packet, sanitize::shown};

use crate::{
    endpoint::{EndpointKind, ResolvedEndpoint},
    host::{Host, Interface},
};

/// How many addresses of a network are tried before it counts as full.
const MOST: usize = 8;

/// The last 128 addresses of an IPv6 subnet are every router's or reserved (RFC 2526).
const RESERVED6: u128 = 128;

/// Where a packet gets into this host.
#[derive(Clone, Debug)]
pub(super) enum Entry<'a> {
    /// By a bridge, as from a guest.
    Bridge(&'a Interface),
    /// By an interface to the outside, as from the wire.
    Wire(&'a Interface),
}

impl<'a> Entry<'a> {
    pub(super) fn interface(&self) -> &'a Interface {
        match self {
            Entry::Bridge(interface) | Entry::Wire(interface) => interface,
        }
    }

    pub(super) fn is_wire(&self) -> bool {
        matches!(self, Entry::Wire(_))
    }
}

/// All that is decided before anything is made.
#[derive(Clone, Debug)]
pub(super) struct Seats<'a> {
    pub(super) source: IpAddr,
    pub(super) target: IpAddr,
    pub(super) packet: Packet,
    pub(super) entry: Entry<'a>,
    /// The bridge that the target is made on; nothing where it is whoever has that address.
    pub(super) receiver: Option<&'a Interface>,
}

impl<'a> Seats<'a> {
    /// For two ends that [`super::settled`] has seen.
    pub(super) fn new(
        from: &ResolvedEndpoint,
        to: &ResolvedEndpoint,
        packet: Packet,
        host: &'a Host,
    ) -> Result<Self> {
        if from.network.is_none() && to.network.is_none() {
            bail!("neither end is in a network of libvirt's");
        }
        let entry = match from.network {
            Some(_) => Entry::Bridge(bridge(from, host)?),
            None => Entry::Wire(wire(from.address, host)?),
        };
        let target = to.network.map(|_| bridge(to, host)).transpose()?;
        if target.map(|one| one.index) == Some(entry.interface().index) {
            bail!("both ends are on {}", entry.interface().name);
        }
        Ok(Self {
            source: from.address,
            target: to.address,
            packet,
            entry,
            receiver: target.filter(|_| to.kind == EndpointKind::Network),
        })
    }
}

/// The bridge of a place in a network.
pub(super) fn bridge<'a>(place: &ResolvedEndpoint, host: &'a Host) -> Result<&'a Interface> {
    let network = place.network.context("it is in no network")?;
    let name = shown(&network.name);
    let bridge = network
        .routed_bridge()
        .ok_or_else(|| anyhow!("{name} has no bridge that this host routes"))?;
    host.interface(bridge.as_str())
        .ok_or_else(|| anyhow!("the bridge {bridge} of {name} is gone"))
}

fn wire(address: IpAddr, host: &Host) -> Result<&Interface> {
    let interface = host.link_of(address).and_then(|name| host.interface(name));
    let interface = interface.ok_or_else(|| anyhow!("this host has no route to {address}"))?;
    match interface.mac {
        Some(_) => Ok(interface),
        None => bail!(
            "{address} would come in by {}, which is no Ethernet: only what comes from one can be \
             sent in its place",
            interface.name
        ),
    }
}

/// Addresses of a subnet that hardly anybody has, the host's `own` and `used` ones left out. From
/// its end: libvirt's DHCP ranges, and people, begin at its start.
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
            let last = last - RESERVED6;
            Box::new(
                (first + 1..last)
                    .rev()
                    .map(|one| Ipv6Addr::from(one).into()),
            )
        }
        // No room for one more.
        _ => Box::new(std::iter::empty()),
    };
    hosts.filter(is_free).take(MOST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_free_address_is_looked_for_from_the_end() {
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
