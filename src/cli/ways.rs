//! Checks that this host routes a network's subnets through its bridge.

use ipnet::IpNet;

use crate::{host::Host, settings::Settings};

/// The route to a subnet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Way<'a> {
    /// Through the network's bridge.
    Right,
    /// Through another interface. Packets from the bridge are then dropped if rp_filter is 1.
    Astray {
        by: &'a str,
        /// The destination of the route: the subnet, a part of it, or a larger one.
        to: IpNet,
        is_dropped: bool,
    },
    /// No route.
    None,
}

impl Host {
    /// Checks the route to a subnet of the network behind `bridge`.
    pub(crate) fn way_into(&self, net: &IpNet, bridge: &str, settings: &dyn Settings) -> Way<'_> {
        match self.way_to(net.network()) {
            Some(way) if way.interface == bridge => Way::Right,
            Some(way) => Way::Astray {
                by: &way.interface,
                to: way.to,
                is_dropped: net.addr().is_ipv4() && settings.is_strict(bridge),
            },
            None => Way::None,
        }
    }
}
