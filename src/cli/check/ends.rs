//! Who is meant by FROM and TO.

use std::{fmt, net::IpAddr};

use ipnet::IpNet;
use virt_forward_policy::{network::Network, sanitize::escape};

use crate::host::Host;

/// One end of the way.
#[derive(Clone, Debug)]
pub(crate) struct Place<'a> {
    pub(crate) address: IpAddr,
    /// Nothing where it is outside.
    pub(crate) network: Option<&'a Network>,
    pub(crate) kind: Kind,
}

/// What was named, where an address is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The address itself.
    Address,
    /// A network: the address is one of its many.
    Network,
    /// A guest, by its name.
    Guest(String),
}

impl Place<'_> {
    /// Whether somebody should have that address.
    pub(super) fn is_asked_about(&self) -> bool {
        self.kind != Kind::Network
    }
}

/// `10.17.4.2 in kube03`, `192.168.0.30`
impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.network {
            Some(network) => write!(f, "{} in {}", self.address, escape(&network.name)),
            None => write!(f, "{}", self.address),
        }
    }
}

/// Why there is no such end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NoEnd {
    /// Nobody has that name.
    Unknown(String),
    /// The two have no addresses of one family.
    NoFamily,
    /// This host itself: what goes to it is not forwarded.
    ThisHost(IpAddr),
}

/// What a word on the command line stands for.
#[derive(Clone, Debug)]
pub(crate) struct Named {
    addresses: Vec<IpAddr>,
    kind: Kind,
    /// The network that it is in whatever its address; nothing where the address tells.
    behind: Option<String>,
}

impl Named {
    /// An address, a network's name, or a guest's: `guest` knows the addresses of guests.
    /// `10.1.2.3@kube02` is that address in that network, be it the network's own or not.
    pub(crate) fn new(
        word: &str,
        networks: &[Network],
        guest: impl FnOnce() -> Vec<IpAddr>,
    ) -> Result<Self, NoEnd> {
        let named = |name: &str| networks.iter().find(|one| one.name == name);
        let behind = word.split_once('@').and_then(|(address, name)| {
            let address = address.parse().ok()?;
            Some((address, named(name)?.name.clone()))
        });
        let (addresses, kind, behind) = match (word.parse(), behind, named(word)) {
            (Ok(address), _, _) => (vec![address], Kind::Address, None),
            (_, Some((address, name)), _) => (vec![address], Kind::Address, Some(name)),
            (_, _, Some(network)) => (
                network.addresses.iter().filter_map(some_guest).collect(),
                Kind::Network,
                None,
            ),
            _ => (guest(), Kind::Guest(word.to_owned()), None),
        };
        match addresses.is_empty() {
            true => Err(NoEnd::Unknown(word.to_owned())),
            false => Ok(Self {
                addresses,
                kind,
                behind,
            }),
        }
    }

    fn has(&self, is_ipv4: bool) -> bool {
        self.addresses.iter().any(|one| one.is_ipv4() == is_ipv4)
    }

    fn place<'a>(
        &self,
        is_ipv4: bool,
        networks: &'a [Network],
        host: &Host,
    ) -> Result<Place<'a>, NoEnd> {
        let mut mine = self.addresses.iter();
        let address = mine.find(|one| one.is_ipv4() == is_ipv4);
        let address = *address.ok_or(NoEnd::NoFamily)?;
        let mut own = host.interfaces.iter().flat_map(|one| &one.addresses);
        if own.any(|own| own.addr() == address) {
            return Err(NoEnd::ThisHost(address));
        }
        let network = match &self.behind {
            Some(name) => networks.iter().find(|network| network.name == *name),
            None => network_of(address, networks, host),
        };
        Ok(Place {
            address,
            network,
            kind: self.kind.clone(),
        })
    }
}

/// The network that an address is in: the one whose subnet it is, or else the one that the host
/// routes it to. libvirt knows nothing of an address that a guest announces by BGP.
fn network_of<'a>(address: IpAddr, networks: &'a [Network], host: &Host) -> Option<&'a Network> {
    let is_own = |network: &&Network| {
        let subnets = network.subnets();
        subnets.iter().any(|net| net.contains(&address))
    };
    networks.iter().find(is_own).or_else(|| {
        let link = host.link_of(address)?;
        let is_behind = |network: &&Network| {
            let bridge = network.routed_bridge();
            bridge.is_some_and(|bridge| bridge.as_str() == link)
        };
        networks.iter().find(is_behind)
    })
}

/// Both ends, of IPv4 if both have it, else of IPv6.
pub(crate) fn ends<'a>(
    from: &Named,
    to: &Named,
    networks: &'a [Network],
    host: &Host,
) -> Result<(Place<'a>, Place<'a>), NoEnd> {
    let mut families = [true, false].into_iter();
    let family = families.find(|is_ipv4| from.has(*is_ipv4) && to.has(*is_ipv4));
    let is_ipv4 = family.ok_or(NoEnd::NoFamily)?;
    let from = from.place(is_ipv4, networks, host)?;
    Ok((from, to.place(is_ipv4, networks, host)?))
}

/// An address of the subnet that is not the host's.
fn some_guest(own: &IpNet) -> Option<IpAddr> {
    // Of IPv6 the first address is one of the hosts', and every router's (RFC 4291, 2.6.1).
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
    fn a_name_stands_for_an_address_of_its_own() {
        let xml = "<network><name>kube</name><forward/><bridge name='br0'/>\
                   <ip address='10.17.3.1' prefix='24'/>\
                   <ip family='ipv6' address='fd00::1' prefix='64'/></network>";
        let networks = [read(xml.as_bytes()).unwrap()];
        let said = |from: &str, to: &str| {
            let named = |word: &str| {
                Named::new(word, &networks, || match word {
                    "node1" => vec!["10.17.3.9".parse().unwrap()],
                    _ => Vec::new(),
                })
            };
            let (from, to) = ends(&named(from)?, &named(to)?, &networks, &Host::default())?;
            Ok(format!("{from}, {to}"))
        };
        let is = |text: &str| Ok(text.to_owned());
        assert_eq!(said("kube", "8.8.8.8"), is("10.17.3.2 in kube, 8.8.8.8"));
        assert_eq!(said("fd01::1", "kube"), is("fd01::1, fd00::2 in kube"));
        assert_eq!(
            said("node1", "10.17.4.9"),
            is("10.17.3.9 in kube, 10.17.4.9")
        );
        assert_eq!(
            said("192.168.7.7@kube", "8.8.8.8"),
            is("192.168.7.7 in kube, 8.8.8.8")
        );
        assert_eq!(
            said("192.168.7.7@x", "8.8.8.8"),
            Err(NoEnd::Unknown("192.168.7.7@x".into()))
        );
        assert_eq!(said("kube", "nobody"), Err(NoEnd::Unknown("nobody".into())));
        assert_eq!(said("8.8.8.8", "fd01::1"), Err(NoEnd::NoFamily));
    }
}
