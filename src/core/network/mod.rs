//! A libvirt network, as far as forwarding is concerned.

mod bridge;
mod xml;

pub use bridge::BridgeName;
pub use xml::{MAX_XML, NAMESPACE, XmlError, read};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};

/// How libvirt connects a network to the outside: `<forward mode=…>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// No `<forward>` element.
    Isolated,
    /// Masqueraded towards everything; new connections inwards are rejected.
    Nat,
    /// Routed both ways, no masquerade.
    Route,
    /// A bridge without any rule of libvirt's.
    Open,
    /// A bridge that the admin made (`bridge`), or no bridge at all (`private`, `vepa`,
    /// `passthrough`, `hostdev`): the host does not route it, so there is nothing to open.
    Unrouted,
}

impl Mode {
    /// The word that libvirt's XML uses, `isolated` and `unrouted` being ours.
    pub fn word(self) -> &'static str {
        match self {
            Mode::Isolated => "isolated",
            Mode::Nat => "nat",
            Mode::Route => "route",
            Mode::Open => "open",
            Mode::Unrouted => "unrouted",
        }
    }
}

/// What one `<network>` element says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// As the admin wrote it, unescaped: any character but `/` and newline.
    pub name: String,
    /// How it is connected.
    pub mode: Mode,
    /// Absent in modes without one, and in definitions edited by hand.
    pub bridge: Option<BridgeName>,
    /// `<forward dev=…>`: libvirt then forwards through that interface alone.
    pub forward_dev: Option<String>,
    /// `<nat ipv6='yes'>`: IPv6 is masqueraded too, not routed.
    pub nat_ipv6: bool,
    /// The host's own address in each `<ip>`, with its prefix length.
    pub addresses: Vec<IpNet>,
    /// `<route>` destinations: subnets behind a guest.
    pub routes: Vec<IpNet>,
    /// The groups that the policy in its metadata names, in place of those that the config has
    /// for it; nothing where there is no such policy.
    #[serde(default)]
    pub groups: Option<Vec<String>>,
}

impl Network {
    /// The bridge, where the host routes this network and so something can be opened.
    pub fn routed_bridge(&self) -> Option<&BridgeName> {
        match self.mode {
            Mode::Unrouted => None,
            _ => self.bridge.as_ref(),
        }
    }

    /// Whether libvirt hides its guests behind the host's address, for that family.
    pub fn is_masqueraded(&self, is_ipv4: bool) -> bool {
        self.mode == Mode::Nat && (is_ipv4 || self.nat_ipv6)
    }

    /// The IPv4 subnets whose addresses are this network's own, without overlaps.
    pub fn subnets4(&self) -> Vec<Ipv4Net> {
        let own = self.own().filter_map(|net| match net {
            IpNet::V4(net) => Some(net),
            IpNet::V6(_) => None,
        });
        Ipv4Net::aggregate(&own.collect())
    }

    /// The IPv6 subnets whose addresses are this network's own, without overlaps.
    pub fn subnets6(&self) -> Vec<Ipv6Net> {
        let own = self.own().filter_map(|net| match net {
            IpNet::V4(_) => None,
            IpNet::V6(net) => Some(net),
        });
        Ipv6Net::aggregate(&own.collect())
    }

    /// Both families, for people.
    pub fn subnets(&self) -> Vec<IpNet> {
        let four = self.subnets4().into_iter().map(IpNet::V4);
        four.chain(self.subnets6().into_iter().map(IpNet::V6))
            .collect()
    }

    /// A default route through a guest (`<route address='0.0.0.0' prefix='0'>`) would make
    /// every address in the world this network's own, and no source a forged one.
    fn own(&self) -> impl Iterator<Item = IpNet> + '_ {
        let all = self.addresses.iter().chain(&self.routes);
        all.map(IpNet::trunc).filter(|net| net.prefix_len() > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(addresses: &[&str], routes: &[&str]) -> Network {
        let parse = |list: &[&str]| list.iter().map(|net| net.parse().unwrap()).collect();
        Network {
            name: "n".into(),
            mode: Mode::Nat,
            bridge: Some("virbr0".parse().unwrap()),
            forward_dev: None,
            nat_ipv6: false,
            addresses: parse(addresses),
            routes: parse(routes),
            groups: None,
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
