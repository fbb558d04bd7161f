//! Which routes, by way of which address.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use ipnet::IpNet;
use serde::Serialize;
use virt_forward_policy::{
    self as policy,
    config::Config,
    network::{Mode, Network},
};

use super::warnings;
use crate::{host::Host, settings::Settings};

/// Lower than what DHCP clients give theirs (NetworkManager 100, networkd 1024), higher than a
/// route that somebody set by hand.
pub(crate) const METRIC: u32 = 10;

/// Where the LAN machines' default route leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Gateway {
    /// To this host, which knows the networks and the router
    Host,
    /// To the router, with routes for the networks beside it
    Router,
}

/// What was asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wish {
    /// This host's address in the LAN; of a family that is not named it is found.
    pub(crate) via: Vec<IpAddr>,
    /// Nothing leaves the default routes alone.
    pub(crate) gateway: Option<Gateway>,
    /// As `via`.
    pub(crate) router: Vec<IpAddr>,
}

/// The routes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// For each subnet of each network.
    pub(crate) routes: Vec<Route>,
    /// Where the default route is asked to lead, for each family with a route.
    pub(crate) defaults: Vec<IpAddr>,
    /// Where it would lead if the other were asked for.
    pub(crate) replaced: Vec<IpAddr>,
    /// Where it leads in any case, for IPv4: some formats cannot leave it out.
    pub(crate) default4: Option<Ipv4Addr>,
    /// What will not work, or might not.
    pub(crate) warnings: Vec<String>,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Route {
    /// The libvirt network, by its raw name.
    pub(crate) network: String,
    /// The subnet.
    pub(crate) to: IpNet,
    /// This host, in the LAN.
    pub(crate) via: IpAddr,
}

/// Why there is no plan.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NoPlan {
    /// Two addresses of one family, or one that other machines cannot use.
    Usage(String),
    /// This host has no address to name.
    NoAddress,
}

impl NoPlan {
    /// Whether it is the command line that is wrong.
    pub(crate) fn is_usage(&self) -> bool {
        matches!(self, NoPlan::Usage(_))
    }
}

impl fmt::Display for NoPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NoPlan::Usage(why) => f.write_str(why),
            NoPlan::NoAddress => f.write_str(
                "this host has no default route that tells its address in the LAN: \
                 name the address with --via",
            ),
        }
    }
}

/// The networks that somebody outside may want a route to: not one that is cut off.
pub(crate) fn listed(config: &Config, networks: &[Network]) -> Vec<Network> {
    let is_meant = |network: &&Network| {
        let access = policy::access_of(config, network);
        let is_known_outside = !policy::external_subnets(config, &access).is_empty();
        network.routed_bridge().is_some() && (network.mode != Mode::Isolated || is_known_outside)
    };
    networks.iter().filter(is_meant).cloned().collect()
}

/// This host's IPv4 address in the LAN.
pub(crate) fn own_address(
    config: &Config,
    networks: &[Network],
    host: &Host,
    wish: &Wish,
) -> Result<Ipv4Addr, NoPlan> {
    match Lan::of(config, networks, host, wish)?.via(&ANY4.into()) {
        Some(IpAddr::V4(address)) => Ok(address),
        _ => Err(NoPlan::NoAddress),
    }
}

impl Plan {
    /// The routes to `networks`.
    pub(crate) fn new(
        config: &Config,
        networks: &[Network],
        host: &Host,
        wish: &Wish,
        settings: &dyn Settings,
    ) -> Result<Self, NoPlan> {
        let networks = listed(config, networks);
        let lan = Lan::of(config, &networks, host, wish)?;
        let mut routes = Vec::new();
        for network in &networks {
            routes.extend(network.subnets().into_iter().filter_map(|to| {
                let network = network.name.clone();
                lan.via(&to).map(|via| Route { network, to, via })
            }));
        }
        let subnets: Vec<_> = networks.iter().flat_map(Network::subnets).collect();
        if routes.is_empty() && !subnets.is_empty() {
            return Err(NoPlan::NoAddress);
        }
        let gateway = wish.gateway.unwrap_or(Gateway::Router);
        let other = match gateway {
            Gateway::Host => Gateway::Router,
            Gateway::Router => Gateway::Host,
        };
        let lead_to = |gateway, any: IpAddr| match gateway {
            Gateway::Host => lan.via(&any.into()),
            Gateway::Router => lan.router(&any.into()),
        };
        let has_routes = |any: &IpAddr| routes.iter().any(|one| one.via.is_ipv4() == any.is_ipv4());
        let families = [ANY4, ANY6].into_iter().filter(has_routes);
        let families: Vec<_> = families.filter(|_| wish.gateway.is_some()).collect();
        let all = |gateway| {
            let addresses = families.iter().filter_map(|any| lead_to(gateway, *any));
            addresses.collect::<Vec<_>>()
        };
        let (defaults, replaced) = (all(gateway), all(other));
        let default4 = lead_to(gateway, ANY4).and_then(|address| match address {
            IpAddr::V4(address) => Some(address),
            IpAddr::V6(_) => None,
        });
        let case = warnings::Case {
            config,
            networks: &networks,
            host,
            lan: &lan,
            gateway: wish.gateway,
            settings,
        };
        Ok(Self {
            warnings: case.warnings(),
            routes,
            defaults,
            replaced,
            default4,
        })
    }

    /// The routes alone.
    pub(crate) fn without_defaults(mut self) -> Self {
        if !self.defaults.is_empty() {
            self.defaults.clear();
            self.replaced.clear();
            let warning = "--gateway is for the machines: the router's own default route stays";
            self.warnings.push(warning.to_owned());
        }
        self
    }

    /// The routes of one family.
    pub(crate) fn of_family(&self, is_ipv4: bool) -> impl Iterator<Item = &Route> {
        let routes = self.routes.iter();
        routes.filter(move |route| route.via.is_ipv4() == is_ipv4)
    }
}

pub(super) const ANY4: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
pub(super) const ANY6: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED);

/// This host and the router, as the LAN sees them.
pub(super) struct Lan {
    via: Vec<IpAddr>,
    router: Vec<IpAddr>,
}

impl Lan {
    fn of(config: &Config, networks: &[Network], host: &Host, wish: &Wish) -> Result<Self, NoPlan> {
        let (mut via, mut router) = (Vec::new(), Vec::new());
        for any in [ANY4, ANY6] {
            let named = named(&wish.via, any, "--via")?;
            via.extend(named.or_else(|| found(config, networks, host, any)));
            let default = || host.way_to(any).and_then(|route| route.gateway);
            let named = self::named(&wish.router, any, "--router")?;
            router.extend(named.or_else(default));
        }
        Ok(Self { via, router })
    }

    /// This host's address, of the family of `like`.
    pub(super) fn via(&self, like: &IpNet) -> Option<IpAddr> {
        of_family(&self.via, like)
    }

    /// The router's.
    fn router(&self, like: &IpNet) -> Option<IpAddr> {
        of_family(&self.router, like)
    }
}

fn of_family(addresses: &[IpAddr], like: &IpNet) -> Option<IpAddr> {
    let mut addresses = addresses.iter();
    let is_ipv4 = like.addr().is_ipv4();
    addresses.find(|one| one.is_ipv4() == is_ipv4).copied()
}

/// The address of that family among those on the command line.
fn named(addresses: &[IpAddr], any: IpAddr, option: &str) -> Result<Option<IpAddr>, NoPlan> {
    let mine = addresses
        .iter()
        .filter(|one| one.is_ipv4() == any.is_ipv4());
    let mine: Vec<_> = mine.copied().collect();
    let is_unusable = |address: &IpAddr| match address {
        IpAddr::V4(address) => {
            address.is_unspecified()
                || address.is_loopback()
                || address.is_multicast()
                || address.is_broadcast()
        }
        // Only the machine's own interface would tell which link is meant.
        IpAddr::V6(address) => {
            address.is_unspecified()
                || address.is_loopback()
                || address.is_multicast()
                || address.is_unicast_link_local()
        }
    };
    match mine[..] {
        [] => Ok(None),
        [address] if is_unusable(&address) => Err(NoPlan::Usage(format!(
            "{option} {address}: other machines cannot send to this address"
        ))),
        [address] => Ok(Some(address)),
        [one, other, ..] => Err(NoPlan::Usage(format!(
            "{option} {one} and {other}: name one address of each family"
        ))),
    }
}

/// This host's own address on the way to the machines that may come in; else on its way to the
/// world. Link-local addresses are none.
fn found(config: &Config, networks: &[Network], host: &Host, any: IpAddr) -> Option<IpAddr> {
    let outside = networks.iter().flat_map(|network| {
        let access = policy::access_of(config, network);
        policy::external_subnets(config, &access)
    });
    let outside = outside.map(|net| net.network());
    let targets = outside.filter(|address| address.is_ipv4() == any.is_ipv4());
    targets.chain([any]).find_map(|target| {
        let way = host.way_to(target)?;
        let is_bridge = |network: &Network| {
            let bridge = network.routed_bridge();
            bridge.is_some_and(|bridge| bridge.as_str() == way.interface)
        };
        if networks.iter().any(is_bridge) {
            return None;
        }
        let interface = host.interface(&way.interface)?;
        let mut own = interface.addresses.iter();
        let mut mine = own
            .clone()
            .filter(|net| net.addr().is_ipv4() == any.is_ipv4());
        let beside_gateway = way
            .gateway
            .and_then(|gateway| own.find(|net| net.contains(&gateway)).map(IpNet::addr));
        way.source
            .or(beside_gateway)
            .or_else(|| mine.next().map(IpNet::addr))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::{Interface, Route as Way};
    use virt_forward_policy::network::read;

    struct Loose;

    impl Settings for Loose {
        fn is_strict(&self, _: &str) -> bool {
            false
        }
        fn forwards(&self, _: &str, _: bool) -> bool {
            true
        }
    }

    fn network(name: &str, forward: &str, subnet: &str) -> Network {
        let xml = format!(
            "<network><name>{name}</name>{forward}<bridge name='br_{name}'/>\
             <ip address='{subnet}.1' prefix='24'/></network>"
        );
        read(xml.as_bytes()).unwrap()
    }

    fn host() -> Host {
        let way = |to: &str, interface: &str, gateway: Option<&str>| Way {
            to: to.parse().unwrap(),
            interface: interface.to_owned(),
            gateway: gateway.map(|gateway| gateway.parse().unwrap()),
            source: None,
            metric: 0,
        };
        Host {
            interfaces: vec![
                Interface::new("eth0", &["192.168.7.2/24", "192.168.0.40/24"]),
                Interface::new("eth1", &["172.16.0.2/24"]),
                Interface::new("br_nat", &["10.17.4.1/24"]),
            ],
            routes: vec![
                way("0.0.0.0/0", "eth0", Some("192.168.0.1")),
                way("172.16.0.0/24", "eth1", None),
                way("10.17.4.0/24", "br_nat", None),
            ],
        }
    }

    fn plan(config: &Config, wish: &Wish) -> Result<Plan, NoPlan> {
        let networks = [
            network("nat", "<forward/>", "10.17.4"),
            network("iso", "", "10.17.9"),
        ];
        Plan::new(config, &networks, &host(), wish, &Loose)
    }

    fn via(plan: &Plan) -> Vec<String> {
        let said = |route: &Route| format!("{} via {}", route.to, route.via);
        plan.routes.iter().map(said).collect()
    }

    #[test]
    fn the_address_is_the_one_beside_the_router_or_on_the_way_to_peers() {
        let mut config = Config::default();
        let found = plan(&config, &Wish::default()).unwrap();
        assert_eq!(via(&found), ["10.17.4.0/24 via 192.168.0.40"]);
        assert!(found.defaults.is_empty());
        assert_eq!(found.default4, Some([192, 168, 0, 1].into()));
        assert!(found.warnings[0].contains("nobody outside may open connections to nat"));
        config.groups[0].peers = vec!["172.16.0.9/32".parse().unwrap()];
        let found = plan(&config, &Wish::default()).unwrap();
        assert_eq!(via(&found), ["10.17.4.0/24 via 172.16.0.2"]);
        assert!(found.warnings.is_empty(), "{:?}", found.warnings);
    }

    #[test]
    fn what_is_named_is_taken_and_a_default_route_is_given_only_if_asked_for() {
        let wish = |gateway| Wish {
            via: vec!["192.168.7.2".parse().unwrap()],
            gateway: Some(gateway),
            router: Vec::new(),
        };
        let router = plan(&Config::default(), &wish(Gateway::Router)).unwrap();
        assert_eq!(via(&router), ["10.17.4.0/24 via 192.168.7.2"]);
        assert_eq!(router.defaults, ["192.168.0.1".parse::<IpAddr>().unwrap()]);
        let host = plan(&Config::default(), &wish(Gateway::Host)).unwrap();
        assert_eq!(host.defaults, ["192.168.7.2".parse::<IpAddr>().unwrap()]);
        for wrong in [
            &["10.0.0.1", "10.0.0.2"][..],
            &["fe80::1"],
            &["127.0.0.1"],
            &["224.0.0.1"],
            &["255.255.255.255"],
            &["ff02::1"],
            &["::"],
        ] {
            let wish = Wish {
                via: wrong.iter().map(|one| one.parse().unwrap()).collect(),
                ..Wish::default()
            };
            let why = plan(&Config::default(), &wish).unwrap_err();
            assert!(why.is_usage(), "{wrong:?}: {why}");
        }
    }
}
