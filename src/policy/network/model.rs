//! A libvirt network, as far as forwarding is concerned.

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};

use super::{
    bounds::{self, Bounded, Excess, MOST_SUBNETS, owned},
    bridge::{BridgeName, KernelName},
    mode::Mode,
    xml_error::XmlError,
};

/// A libvirt network, as its `<network>` element defines it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// The name, unescaped: any characters except `/` and newline.
    pub name: String,
    /// The forward mode.
    pub mode: Mode,
    /// The bridge; absent in modes without one, in definitions edited by hand, and where rules cannot
    /// contain its name.
    pub bridge: Option<BridgeName>,
    /// `<bridge zone=…>`: firewalld's zone for it.
    #[serde(default)]
    pub zone: Option<String>,
    /// `<forward dev=…>`: libvirt then forwards through that interface alone.
    pub forward_dev: Option<String>,
    /// `<nat ipv6='yes'>`: IPv6 is masqueraded too, not routed.
    pub nat_ipv6: bool,
    /// The host's own address in each `<ip>`, with its prefix length.
    pub addresses: Vec<IpNet>,
    /// `<route>` destinations: subnets behind a guest.
    pub routes: Vec<IpNet>,
    /// The groups that the policy in its metadata names, which replace those of the config; absent
    /// where there is no such policy.
    #[serde(default)]
    pub groups: Option<Vec<String>>,
    /// An error in the rest of its XML, for which it is closed whatever the config says.
    #[serde(default)]
    pub fault: Option<XmlError>,
}

impl Network {
    /// The bridge, where the host routes this network, so that it can be opened.
    pub fn routed_bridge(&self) -> Option<&BridgeName> {
        match self.mode {
            Mode::Unrouted => None,
            _ => self.bridge.as_ref(),
        }
    }

    /// The bridge that the host may route, whether or not rules can open it: hosts behind it are not
    /// external. Absent where not even a set can hold its name.
    pub fn known_bridge(&self) -> Option<KernelName> {
        match (&self.mode, &self.fault) {
            (Mode::Unrouted, _) => None,
            (_, Some(XmlError::BadBridge(name))) => name.in_nft().map(|_| name.clone()),
            _ => self.bridge.as_ref().map(KernelName::from),
        }
    }

    /// Whether the bridge that the host routes for it is unknown.
    pub fn is_without_bridge(&self) -> bool {
        // No interface can have that name, so there is no bridge.
        let is_impossible = matches!(self.fault, Some(XmlError::NoInterface(_)));
        self.mode != Mode::Unrouted && !is_impossible && self.known_bridge().is_none()
    }

    /// Whether libvirt masquerades packets of that family from the network.
    pub fn is_masqueraded(&self, is_ipv4: bool) -> bool {
        self.mode == Mode::Nat && (is_ipv4 || self.nat_ipv6)
    }

    /// The IPv4 subnets that are this network's own by its `<ip>` and `<route>` elements, aggregated;
    /// none where it has too many. Policy may count fewer: see [`Access::own`].
    ///
    /// [`Access::own`]: crate::Access::own
    pub fn subnets4(&self) -> Vec<Ipv4Net> {
        match self.excess() {
            None => self.bounded4().subnets,
            Some(_) => Vec::new(),
        }
    }

    /// The same for IPv6.
    pub fn subnets6(&self) -> Vec<Ipv6Net> {
        match self.excess() {
            None => self.bounded6().subnets,
            Some(_) => Vec::new(),
        }
    }

    /// The same for both families.
    pub fn subnets(&self) -> Vec<IpNet> {
        match self.excess() {
            None => join(self.bounded4().subnets, self.bounded6().subnets),
            Some(_) => Vec::new(),
        }
    }

    /// The subnets of its `<ip>` elements alone, which are on the bridge itself.
    pub fn ip_subnets(&self) -> Vec<IpNet> {
        match self.excess() {
            None => IpNet::aggregate(&owned(&self.addresses).collect()),
            Some(_) => Vec::new(),
        }
    }

    /// The `<route>` elements that count: none of a family whose routes are too broad.
    pub fn own_routes(&self) -> Vec<IpNet> {
        if self.excess().is_some() {
            return Vec::new();
        }
        let (mut ipv4, mut ipv6) = (Vec::new(), Vec::new());
        if !self.bounded4().is_without_routes {
            ipv4 = Ipv4Net::aggregate(&of_ipv4(&self.routes));
        }
        if !self.bounded6().is_without_routes {
            ipv6 = Ipv6Net::aggregate(&of_ipv6(&self.routes));
        }
        join(ipv4, ipv6)
    }

    /// Whether its `<route>` elements do not count, as they hold too many addresses.
    pub fn is_without_routes(&self) -> bool {
        self.bounded4().is_without_routes || self.bounded6().is_without_routes
    }

    /// The limit that it exceeds, for which it is closed.
    pub fn excess(&self) -> Option<Excess> {
        let (four, six) = (self.bounded4(), self.bounded6());
        if four.is_too_broad || six.is_too_broad {
            return Some(Excess::Addresses);
        }
        let count = four.subnets.len() + six.subnets.len();
        (count > MOST_SUBNETS).then_some(Excess::Subnets)
    }

    fn bounded4(&self) -> Bounded<Ipv4Net> {
        bounds::ipv4(of_ipv4(&self.addresses), of_ipv4(&self.routes))
    }

    fn bounded6(&self) -> Bounded<Ipv6Net> {
        bounds::ipv6(of_ipv6(&self.addresses), of_ipv6(&self.routes))
    }

    /// Drops most subnets beyond the limit. One more than allowed stays, so that the network still
    /// exceeds it.
    pub(super) fn trimmed(mut self) -> Self {
        if self.addresses.len() + self.routes.len() <= MOST_SUBNETS {
            return self;
        }
        let own: Vec<_> = owned(&self.addresses).chain(owned(&self.routes)).collect();
        let mut all = IpNet::aggregate(&own);
        all.truncate(MOST_SUBNETS + 1);
        self.addresses.truncate(MOST_SUBNETS + 1);
        self.routes = all;
        self
    }
}

fn of_ipv4(nets: &[IpNet]) -> Vec<Ipv4Net> {
    let nets = owned(nets).filter_map(|net| match net {
        IpNet::V4(net) => Some(net),
        IpNet::V6(_) => None,
    });
    nets.collect()
}

fn of_ipv6(nets: &[IpNet]) -> Vec<Ipv6Net> {
    let nets = owned(nets).filter_map(|net| match net {
        IpNet::V4(_) => None,
        IpNet::V6(net) => Some(net),
    });
    nets.collect()
}

fn join(ipv4: Vec<Ipv4Net>, ipv6: Vec<Ipv6Net>) -> Vec<IpNet> {
    let ipv4 = ipv4.into_iter().map(IpNet::V4);
    ipv4.chain(ipv6.into_iter().map(IpNet::V6)).collect()
}

#[cfg(test)]
pub(in crate::network) mod tests {
    use super::*;

    pub(in crate::network) fn network(addresses: &[&str], routes: &[&str]) -> Network {
        let parse = |list: &[&str]| list.iter().map(|net| net.parse().unwrap()).collect();
        Network {
            name: "n".into(),
            mode: Mode::Nat,
            bridge: Some("virbr0".parse().unwrap()),
            zone: None,
            forward_dev: None,
            nat_ipv6: false,
            addresses: parse(addresses),
            routes: parse(routes),
            groups: None,
            fault: None,
        }
    }

    #[test]
    fn subnets_are_masked_and_do_not_overlap() {
        let net = network(
            &["10.17.3.1/24", "10.17.3.2/24", "fd00::1/64"],
            &["10.17.3.128/25", "10.244.0.0/16"],
        );
        let shown: Vec<_> = net.subnets().iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["10.17.3.0/24", "10.244.0.0/16", "fd00::/64"]);
    }

    #[test]
    fn a_default_route_through_a_guest_owns_nothing() {
        let net = network(&["10.0.0.1/8"], &["0.0.0.0/0", "::/0"]);
        assert_eq!(net.subnets(), ["10.0.0.0/8".parse::<IpNet>().unwrap()]);
    }
}
