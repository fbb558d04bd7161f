//! The options, the plan and its errors.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;
use serde::Serialize;

use super::{family::IpFamily, warning::Warning};

/// Lower than the metrics of DHCP clients (NetworkManager 100, networkd 1024), higher than that of
/// a route without one.
pub(super) const METRIC: u32 = 10;

/// The next hop of the LAN hosts' default route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Gateway {
    /// This host, which routes to the networks and to the router
    Host,
    /// The router, beside routes to the networks via this host
    Router,
}

/// The part of the command line that decides on routes.
#[derive(Clone, Debug, Default)]
pub(crate) struct RouteOptions {
    /// This host's LAN address, at most one per family; a missing one is determined.
    pub(crate) via: Vec<IpAddr>,
    /// None leaves default routes unchanged.
    pub(crate) gateway: Option<Gateway>,
    /// The router's LAN address, at most one per family; a missing one is determined.
    pub(crate) router: Vec<IpAddr>,
}

/// The routes that a LAN host needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// One for each subnet of each network.
    pub(crate) routes: Vec<PlannedRoute>,
    /// The next hop of a new default route, for each family that has a route; empty unless
    /// requested.
    pub(crate) defaults: Vec<IpAddr>,
    /// The next hops that `defaults` has with the other gateway.
    pub(crate) replaced_defaults: Vec<IpAddr>,
    /// The next hop of the IPv4 default route, requested or not: some formats require it.
    pub(crate) default4: Option<Ipv4Addr>,
    pub(crate) warnings: Vec<Warning>,
}

impl Plan {
    /// Removes the default routes, for a format that configures the router itself.
    pub(crate) fn without_defaults(mut self) -> Self {
        if !self.defaults.is_empty() {
            self.defaults.clear();
            self.replaced_defaults.clear();
            self.warnings.push(Warning::RouterDefaultUnchanged);
        }
        self
    }

    pub(super) fn routes_of(&self, family: IpFamily) -> impl Iterator<Item = &PlannedRoute> {
        let routes = self.routes.iter();
        routes.filter(move |route| family.contains(&route.via))
    }
}

/// A route to a subnet of a network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct PlannedRoute {
    /// The name of the libvirt network, unescaped.
    pub(crate) network: String,
    pub(crate) to: IpNet,
    /// This host's LAN address.
    pub(crate) via: IpAddr,
}

/// An option that takes a LAN address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AddressOption {
    Via,
    Router,
}

/// The reason why there is no plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PlanError {
    /// Other hosts cannot use the address as a next hop.
    UnusableAddress {
        option: AddressOption,
        address: IpAddr,
    },
    /// The option names two addresses of one family.
    TwoAddresses {
        option: AddressOption,
        first: IpAddr,
        second: IpAddr,
    },
    /// No option names this host's LAN address, and no route leads to it.
    NoAddress,
}

impl PlanError {
    /// Whether the command line is wrong.
    pub(crate) fn is_usage(&self) -> bool {
        match self {
            Self::UnusableAddress { .. } | Self::TwoAddresses { .. } => true,
            Self::NoAddress => false,
        }
    }
}
