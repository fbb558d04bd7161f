//! Checks that this host routes a network's subnets through its bridge.

use ipnet::IpNet;

use crate::{host::Host, sysctl::SysctlView};

/// The route to a subnet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RouteCheck<'a> {
    /// Through the network's bridge.
    Direct,
    /// Through another interface. Packets from the bridge are then dropped if rp_filter is 1.
    Misrouted {
        by: &'a str,
        /// The destination of the route: the subnet, a part of it, or a larger one.
        to: IpNet,
        is_dropped: bool,
    },
    /// No route.
    Missing,
}

impl Host {
    /// Checks the route to a subnet of the network behind `bridge`.
    pub(crate) fn check_route(
        &self,
        net: &IpNet,
        bridge: &str,
        settings: &dyn SysctlView,
    ) -> RouteCheck<'_> {
        match self.route_to(net.network()) {
            Some(way) if way.interface == bridge => RouteCheck::Direct,
            Some(way) => RouteCheck::Misrouted {
                by: &way.interface,
                to: way.to,
                is_dropped: net.addr().is_ipv4() && settings.is_rp_filter_strict(bridge),
            },
            None => RouteCheck::Missing,
        }
    }
}
