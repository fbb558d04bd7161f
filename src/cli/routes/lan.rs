//! The addresses of this host and of the router on the LAN.

use std::net::IpAddr;

use ipnet::IpNet;
use virt_forward_policy::{self as policy, config::Config, network::Network};

use super::{
    family::IpFamily,
    model::{AddressOption, PlanError, RouteOptions},
};
use crate::host::{Host, Route};

/// This host and the router, as LAN hosts address them: at most one address of each family.
#[derive(Debug)]
pub(super) struct LanInfo {
    host: Vec<IpAddr>,
    router: Vec<IpAddr>,
}

impl LanInfo {
    /// The addresses that `options` name. Determines others from the routes of `host`: its own on
    /// the route to a peer, else on the default route, whose next hop is the router.
    ///
    /// Fails if an option names an address that cannot be a next hop, or two of one family.
    pub(super) fn determine(
        config: &Config,
        networks: &[Network],
        host: &Host,
        options: &RouteOptions,
    ) -> Result<Self, PlanError> {
        let mut info = Self {
            host: Vec::new(),
            router: Vec::new(),
        };
        for family in IpFamily::BOTH {
            let named = named_address(&options.via, family, AddressOption::Via)?;
            let own = named.or_else(|| own_address(config, networks, host, family));
            info.host.extend(own);
            let named = named_address(&options.router, family, AddressOption::Router)?;
            let default = || host.route_to(family.unspecified())?.gateway;
            info.router.extend(named.or_else(default));
        }
        Ok(info)
    }

    pub(super) fn host(&self, family: IpFamily) -> Option<IpAddr> {
        of_family(&self.host, family)
    }

    pub(super) fn router(&self, family: IpFamily) -> Option<IpAddr> {
        of_family(&self.router, family)
    }

    /// This host's address that is the next hop to `net`.
    pub(super) fn next_hop(&self, net: &IpNet) -> Option<IpAddr> {
        let mut addresses = self.host.iter();
        let found = addresses.find(|address| address.is_ipv4() == net.addr().is_ipv4());
        found.copied()
    }
}

fn of_family(addresses: &[IpAddr], family: IpFamily) -> Option<IpAddr> {
    let found = addresses.iter().find(|address| family.contains(address));
    found.copied()
}

fn named_address(
    addresses: &[IpAddr],
    family: IpFamily,
    option: AddressOption,
) -> Result<Option<IpAddr>, PlanError> {
    let mut of_family = addresses
        .iter()
        .copied()
        .filter(|address| family.contains(address));
    match (of_family.next(), of_family.next()) {
        (None, _) => Ok(None),
        (Some(first), Some(second)) => Err(PlanError::TwoAddresses {
            option,
            first,
            second,
        }),
        (Some(address), None) if is_next_hop(&address) => Ok(Some(address)),
        (Some(address), None) => Err(PlanError::UnusableAddress { option, address }),
    }
}

/// Whether other hosts can use the address as a next hop. A link-local one would need the name of
/// their interface.
fn is_next_hop(address: &IpAddr) -> bool {
    if address.is_unspecified() || address.is_loopback() || address.is_multicast() {
        return false;
    }
    match address {
        IpAddr::V4(address) => !address.is_broadcast(),
        IpAddr::V6(address) => !address.is_unicast_link_local(),
    }
}

/// This host's address on the first route that leads out of the host: to an external subnet of
/// the config, else the default route.
fn own_address(
    config: &Config,
    networks: &[Network],
    host: &Host,
    family: IpFamily,
) -> Option<IpAddr> {
    let external = networks.iter().flat_map(|network| {
        let access = policy::access_of(config, network);
        policy::external_subnets(config, &access)
    });
    let mut targets = external
        .map(|net| net.network())
        .filter(|address| family.contains(address))
        .chain([family.unspecified()]);
    targets.find_map(|target| {
        let route = host.route_to(target)?;
        let is_to_a_network = networks.iter().any(|network| {
            let bridge = network.routed_bridge();
            bridge.is_some_and(|bridge| bridge.as_str() == route.interface)
        });
        if is_to_a_network {
            return None;
        }
        source_address(host, route, family)
    })
}

/// The source address of `route`: the preferred one, the one in the subnet of its next hop, or the
/// first of its interface.
fn source_address(host: &Host, route: &Route, family: IpFamily) -> Option<IpAddr> {
    if route.source.is_some() {
        return route.source;
    }
    let addresses = &host.interface(&route.interface)?.addresses;
    if let Some(gateway) = route.gateway
        && let Some(own) = addresses.iter().find(|net| net.contains(&gateway))
    {
        return Some(own.addr());
    }
    let mut all = addresses.iter().map(IpNet::addr);
    all.find(|address| family.contains(address))
}
