//! Resolution of FROM and TO.

use std::net::IpAddr;

use ipnet::IpNet;
use virt_forward_policy::network::Network;

use crate::{
    endpoint::{EndpointKind, ResolvedEndpoint},
    host::Host,
};

/// The reason for which FROM or TO is no endpoint of a forwarded packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ResolveError {
    /// No network and no guest has that name.
    Unknown(String),
    /// FROM and TO have no address family in common.
    NoCommonFamily,
    /// The address is this host's own: its packets are not forwarded.
    ThisHost(IpAddr),
}

/// A word of the command line, with the addresses that it stands for.
#[derive(Clone, Debug)]
pub(crate) struct NamedEndpoint {
    addresses: Vec<IpAddr>,
    kind: EndpointKind,
    /// The network that the word names beside an address; `None` if the address decides.
    network: Option<String>,
}

impl NamedEndpoint {
    /// Parses an address, the name of a network, or the name of a guest, whose addresses
    /// `guest_addresses` returns. `10.1.2.3@kube02` is that address in that network, whether the
    /// network has the subnet or not.
    ///
    /// # Errors
    ///
    /// [`ResolveError::Unknown`] if `word` is none of these or has no address.
    pub(crate) fn new(
        word: &str,
        networks: &[Network],
        guest_addresses: impl FnOnce() -> Vec<IpAddr>,
    ) -> Result<Self, ResolveError> {
        let named = Self::parse(word, networks).unwrap_or_else(|| Self {
            addresses: guest_addresses(),
            kind: EndpointKind::Guest(word.to_owned()),
            network: None,
        });
        if named.addresses.is_empty() {
            return Err(ResolveError::Unknown(word.to_owned()));
        }
        Ok(named)
    }

    /// Everything but the name of a guest.
    fn parse(word: &str, networks: &[Network]) -> Option<Self> {
        let with_name = |name: &str| networks.iter().find(|network| network.name == name);
        if let Ok(address) = word.parse() {
            return Some(Self::address(address, None));
        }
        if let Some((address, name)) = word.split_once('@')
            && let (Ok(address), Some(network)) = (address.parse(), with_name(name))
        {
            return Some(Self::address(address, Some(network.name.clone())));
        }
        let network = with_name(word)?;
        Some(Self {
            addresses: network.addresses.iter().filter_map(guest_address).collect(),
            kind: EndpointKind::Network,
            network: None,
        })
    }

    fn address(address: IpAddr, network: Option<String>) -> Self {
        Self {
            addresses: vec![address],
            kind: EndpointKind::Address,
            network,
        }
    }

    fn has_family(&self, is_ipv4: bool) -> bool {
        self.addresses.iter().any(|one| one.is_ipv4() == is_ipv4)
    }

    fn resolve<'a>(
        &self,
        is_ipv4: bool,
        networks: &'a [Network],
        host: &Host,
    ) -> Result<ResolvedEndpoint<'a>, ResolveError> {
        let mut addresses = self.addresses.iter();
        let address = *addresses
            .find(|one| one.is_ipv4() == is_ipv4)
            .ok_or(ResolveError::NoCommonFamily)?;
        let mut own = host.interfaces.iter().flat_map(|one| &one.addresses);
        if own.any(|own| own.addr() == address) {
            return Err(ResolveError::ThisHost(address));
        }
        let network = match &self.network {
            Some(name) => networks.iter().find(|network| network.name == *name),
            None => network_of(address, networks, host),
        };
        Ok(ResolvedEndpoint {
            address,
            network,
            kind: self.kind.clone(),
        })
    }
}

/// The network that an address belongs to: the one with its subnet, or else the one that the host
/// routes it to. libvirt does not know the addresses that a guest announces by BGP.
fn network_of<'a>(address: IpAddr, networks: &'a [Network], host: &Host) -> Option<&'a Network> {
    let has_subnet = |network: &&Network| {
        let subnets = network.subnets();
        subnets.iter().any(|net| net.contains(&address))
    };
    networks.iter().find(has_subnet).or_else(|| {
        let link = host.link_of(address)?;
        let is_behind = |network: &&Network| {
            let bridge = network.routed_bridge();
            bridge.is_some_and(|bridge| bridge.as_str() == link)
        };
        networks.iter().find(is_behind)
    })
}

/// Resolves both endpoints, to IPv4 addresses if both have one, else to IPv6 addresses.
///
/// # Errors
///
/// If they have no family in common, or if an address is this host's own.
pub(crate) fn resolve_endpoints<'a>(
    from: &NamedEndpoint,
    to: &NamedEndpoint,
    networks: &'a [Network],
    host: &Host,
) -> Result<(ResolvedEndpoint<'a>, ResolvedEndpoint<'a>), ResolveError> {
    let has_both = |is_ipv4| from.has_family(is_ipv4) && to.has_family(is_ipv4);
    let mut families = [true, false].into_iter();
    let is_ipv4 = families
        .find(|is_ipv4| has_both(*is_ipv4))
        .ok_or(ResolveError::NoCommonFamily)?;
    let from = from.resolve(is_ipv4, networks, host)?;
    let to = to.resolve(is_ipv4, networks, host)?;
    Ok((from, to))
}

/// An example of the guests' addresses in a subnet of this host.
fn guest_address(own: &IpNet) -> Option<IpAddr> {
    // The first address of an IPv6 subnet is the anycast address of its routers (RFC 4291, 2.6.1).
    let is_free = |one: &IpAddr| *one != own.addr() && *one != own.network();
    own.hosts().take(3).find(is_free)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Route;
    use virt_forward_policy::network::read;

    #[test]
    fn an_address_behind_a_guest_is_in_the_network_that_the_host_routes_it_to() {
        let xml = "<network><name>kube</name><forward/><bridge name='br0'/>\
                   <ip address='10.17.3.1' prefix='24'/></network>";
        let networks = [read(xml.as_bytes()).unwrap()];
        let host = Host {
            routes: vec![Route {
                to: "10.99.0.0/24".parse().unwrap(),
                interface: "br0".to_owned(),
                gateway: Some("10.17.3.21".parse().unwrap()),
                source: None,
                metric: 0,
            }],
            ..Host::default()
        };
        let is_in_kube =
            |address: &str| network_of(address.parse().unwrap(), &networks, &host).is_some();
        assert!(is_in_kube("10.17.3.9"));
        assert!(is_in_kube("10.99.0.1"));
        assert!(!is_in_kube("10.98.0.1"));
    }

    #[test]
    fn a_name_resolves_to_an_address_of_the_family_in_common() {
        let xml = "<network><name>kube</name><forward/><bridge name='br0'/>\
                   <ip address='10.17.3.1' prefix='24'/>\
                   <ip family='ipv6' address='fd00::1' prefix='64'/></network>";
        let networks = [read(xml.as_bytes()).unwrap()];
        let resolved = |from: &str, to: &str| {
            let named = |word: &str| {
                NamedEndpoint::new(word, &networks, || match word {
                    "node1" => vec!["10.17.3.9".parse().unwrap()],
                    _ => Vec::new(),
                })
            };
            let (from, to) =
                resolve_endpoints(&named(from)?, &named(to)?, &networks, &Host::default())?;
            Ok(format!("{from}, {to}"))
        };
        let is = |text: &str| Ok(text.to_owned());
        assert_eq!(
            resolved("kube", "8.8.8.8"),
            is("10.17.3.2 in kube, 8.8.8.8")
        );
        assert_eq!(resolved("fd01::1", "kube"), is("fd01::1, fd00::2 in kube"));
        assert_eq!(
            resolved("node1", "10.17.4.9"),
            is("10.17.3.9 in kube, 10.17.4.9")
        );
        assert_eq!(
            resolved("192.168.7.7@kube", "8.8.8.8"),
            is("192.168.7.7 in kube, 8.8.8.8")
        );
        assert_eq!(
            resolved("192.168.7.7@x", "8.8.8.8"),
            Err(ResolveError::Unknown("192.168.7.7@x".into()))
        );
        assert_eq!(
            resolved("kube", "unknown"),
            Err(ResolveError::Unknown("unknown".into()))
        );
        assert_eq!(
            resolved("8.8.8.8", "fd01::1"),
            Err(ResolveError::NoCommonFamily)
        );
    }
}
