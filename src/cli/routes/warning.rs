//! The warnings as types.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Serialize, Serializer};

/// A subnet of a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RoutedSubnet {
    pub(crate) net: IpNet,
    /// The name of the network, unescaped.
    pub(crate) network: String,
}

/// A reason why traffic by the routes of a plan may fail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Warning {
    /// The plan has no routes, as no network that external hosts could reach is active.
    NoNetwork,
    /// The named next hop may be a typo, or the address of a translator before this host.
    ForeignNextHop { via: IpAddr },
    /// Packets to the common addresses reach only one of two networks.
    NetworksOverlap {
        first: RoutedSubnet,
        second: RoutedSubnet,
    },
    /// LAN hosts have the addresses on their own link, and send none of them to a router.
    OverlapsLink {
        subnet: RoutedSubnet,
        link: IpNet,
        interface: String,
    },
    /// The plan leaves out subnets of a family in which this host's LAN address is unknown.
    NoNextHop { subnets: Vec<IpNet> },
    /// libvirt refuses connections from external hosts, and the config allows none.
    NoInboundAccess { networks: Vec<String> },
    /// This host routes a subnet to another interface than the network's bridge.
    RoutedElsewhere {
        subnet: RoutedSubnet,
        bridge: String,
        interface: String,
        /// The bridge's rp_filter then drops packets from the subnet.
        is_dropped: bool,
    },
    /// This host has no route to a subnet of a network.
    Unrouted { subnet: RoutedSubnet },
    /// This host's route to an external subnet of the config is on another interface than the
    /// next hop of the plan.
    ExternalElsewhere {
        net: IpNet,
        /// The interface of the route, the only one on which the subnet may send.
        interface: String,
        /// The interface that has the next hop.
        uplink: String,
        /// The uplink's rp_filter drops packets from the subnet.
        is_dropped: bool,
    },
    /// With this host as the gateway, it does not see replies from the Internet.
    AsymmetricGateway,
    /// With this host as the gateway, it does not forward from its uplink.
    UplinkNotForwarding { uplink: String },
    /// A new default route was requested in a format for routers.
    RouterDefaultUnchanged,
}

/// The text, as on stderr.
impl Serialize for Warning {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
