//! Who is meant by FROM and TO.

use std::{fmt, net::IpAddr};

use ipnet::IpNet;
use virt_forward_core::{network::Network, text::shown};

use crate::host::Host;

/// One end of the way.
#[derive(Clone, Debug)]
pub(crate) struct Place<'a> {
    pub(crate) address: IpAddr,
    /// Nothing where it is outside.
    pub(crate) network: Option<&'a Network>,
    /// A network was named, and the address is one of its many.
    pub(crate) is_any: bool,
}

/// `kube03 (10.17.4.2)`, `192.168.0.30`
impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.network {
            Some(network) => write!(f, "{} in {}", self.address, shown(&network.name)),
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
    /// Any of a network's.
    is_any: bool,
}

impl Named {
    /// An address, a network's name, or a guest's: `guest` knows the addresses of guests.
    pub(crate) fn new(
        word: &str,
        networks: &[Network],
        guest: impl FnOnce() -> Vec<IpAddr>,
    ) -> Result<Self, NoEnd> {
        let network = networks.iter().find(|one| one.name == word);
        let addresses = match (word.parse(), network) {
            (Ok(address), _) => vec![address],
            (_, Some(network)) => network.addresses.iter().filter_map(some_guest).collect(),
            _ => guest(),
        };
        match addresses.is_empty() {
            true => Err(NoEnd::Unknown(word.to_owned())),
            false => Ok(Self {
                addresses,
                is_any: network.is_some(),
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
        let is_in = |network: &&Network| {
            let subnets = network.subnets();
            subnets.iter().any(|net| net.contains(&address))
        };
        Ok(Place {
            address,
            network: networks.iter().find(is_in),
            is_any: self.is_any,
        })
    }
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
    use virt_forward_core::network::read;

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
        assert_eq!(said("kube", "nobody"), Err(NoEnd::Unknown("nobody".into())));
        assert_eq!(said("8.8.8.8", "fd01::1"), Err(NoEnd::NoFamily));
    }
}
