//! Which way this host sends to a network.

use ipnet::IpNet;

use crate::{host::Host, settings::Settings};

/// What its routes say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Way<'a> {
    /// By the network's bridge.
    Right,
    /// By another interface; what comes from the bridge is then dropped where rp_filter is 1.
    Astray {
        by: &'a str,
        /// What the route is for: that subnet, a part of it, or more.
        to: IpNet,
        is_dropped: bool,
    },
    /// None.
    None,
}

impl Host {
    /// The way to that subnet of the network behind `bridge`.
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
