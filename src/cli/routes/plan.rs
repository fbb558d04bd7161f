//! Decides which routes LAN hosts need.

use std::net::IpAddr;

use virt_forward_policy::{
    self as policy,
    config::Config,
    network::{Mode, Network},
};

use super::{
    checks::Inputs,
    family::IpFamily,
    lan::LanInfo,
    model::{Gateway, Plan, PlanError, PlannedRoute, RouteOptions},
};
use crate::{host::Host, sysctl::SysctlView};

/// The networks that external hosts may need a route to: those that the host routes, but for
/// isolated ones that the config opens to no external host.
pub(super) fn exported_networks(config: &Config, networks: &[Network]) -> Vec<Network> {
    let is_exported = |network: &&Network| {
        let access = policy::access_of(config, network);
        let has_external = !policy::external_subnets(config, &access).is_empty();
        network.routed_bridge().is_some() && (network.mode != Mode::Isolated || has_external)
    };
    networks.iter().filter(is_exported).cloned().collect()
}

impl Plan {
    /// The routes to `networks` via this host, and the warnings about them.
    ///
    /// Fails if the options are wrong, or if this host's LAN address is unknown and there are
    /// networks.
    pub(crate) fn new(
        config: &Config,
        networks: &[Network],
        host: &Host,
        options: &RouteOptions,
        settings: &dyn SysctlView,
    ) -> Result<Self, PlanError> {
        let networks = exported_networks(config, networks);
        let lan = LanInfo::determine(config, &networks, host, options)?;
        let routes = routes(&networks, &lan);
        let has_subnets = networks.iter().any(|network| !network.subnets().is_empty());
        if routes.is_empty() && has_subnets {
            return Err(PlanError::NoAddress);
        }
        let gateway = options.gateway.unwrap_or(Gateway::Router);
        let other = match gateway {
            Gateway::Host => Gateway::Router,
            Gateway::Router => Gateway::Host,
        };
        let next_hops = |gateway| {
            let mut addresses = Vec::new();
            for family in IpFamily::BOTH {
                if routes.iter().any(|route| family.contains(&route.via)) {
                    addresses.extend(default_next_hop(&lan, gateway, family));
                }
            }
            addresses
        };
        let (defaults, replaced_defaults) = match options.gateway {
            Some(_) => (next_hops(gateway), next_hops(other)),
            None => (Vec::new(), Vec::new()),
        };
        let default4 = match default_next_hop(&lan, gateway, IpFamily::V4) {
            Some(IpAddr::V4(address)) => Some(address),
            _ => None,
        };
        let inputs = Inputs {
            config,
            networks: &networks,
            host,
            lan: &lan,
            gateway: options.gateway,
            settings,
        };
        Ok(Self {
            warnings: inputs.warnings(),
            defaults,
            replaced_defaults,
            default4,
            routes,
        })
    }
}

fn routes(networks: &[Network], lan: &LanInfo) -> Vec<PlannedRoute> {
    let mut routes = Vec::new();
    for network in networks {
        for to in network.subnets() {
            if let Some(via) = lan.next_hop(&to) {
                routes.push(PlannedRoute {
                    network: network.name.clone(),
                    to,
                    via,
                });
            }
        }
    }
    routes
}

fn default_next_hop(lan: &LanInfo, gateway: Gateway, family: IpFamily) -> Option<IpAddr> {
    match gateway {
        Gateway::Host => lan.host(family),
        Gateway::Router => lan.router(family),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        routes::{
            fixtures::{FixedSettings, host, network},
            model::AddressOption,
            warning::Warning,
        },
        status::fixtures as reference,
    };

    fn plan(config: &Config, options: &RouteOptions) -> Result<Plan, PlanError> {
        let networks = [
            network("nat", "<forward/>", "10.17.4"),
            network("iso", "", "10.17.9"),
        ];
        Plan::new(
            config,
            &networks,
            &host(),
            options,
            &FixedSettings::default(),
        )
    }

    fn routes(plan: &Plan) -> Vec<String> {
        let text = |route: &PlannedRoute| format!("{} via {}", route.to, route.via);
        plan.routes.iter().map(text).collect()
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_next_hop_is_this_hosts_address_beside_the_router_or_on_the_route_to_peers() {
        let mut config = Config::default();
        let plain = plan(&config, &RouteOptions::default()).unwrap();
        assert_eq!(routes(&plain), ["10.17.4.0/24 via 192.168.0.40"]);
        assert!(plain.defaults.is_empty() && plain.replaced_defaults.is_empty());
        assert_eq!(plain.default4, Some([192, 168, 0, 1].into()));
        let networks = vec!["nat".to_owned()];
        assert_eq!(plain.warnings, [Warning::NoInboundAccess { networks }]);
        config.groups[0].peers = vec!["172.16.0.9/32".parse().unwrap()];
        let with_peer = plan(&config, &RouteOptions::default()).unwrap();
        assert_eq!(routes(&with_peer), ["10.17.4.0/24 via 172.16.0.2"]);
        assert_eq!(with_peer.warnings, []);
    }

    #[test]
    fn a_route_into_a_network_does_not_give_the_next_hop() {
        let mut config = Config::default();
        config.groups[0].peers = vec!["10.17.4.9/32".parse().unwrap()];
        let plan = plan(&config, &RouteOptions::default()).unwrap();
        assert_eq!(routes(&plan), ["10.17.4.0/24 via 192.168.0.40"]);
    }

    #[test]
    fn the_preferred_source_of_a_route_is_the_next_hop() {
        let mut host = host();
        host.routes[0].source = Some(address("192.168.7.2"));
        let networks = [network("nat", "<forward/>", "10.17.4")];
        let options = RouteOptions::default();
        let settings = FixedSettings::default();
        let plan = Plan::new(&Config::default(), &networks, &host, &options, &settings);
        assert_eq!(routes(&plan.unwrap()), ["10.17.4.0/24 via 192.168.7.2"]);
    }

    #[test]
    fn a_default_route_is_planned_only_on_request() {
        let options = |gateway| RouteOptions {
            via: vec![address("192.168.7.2")],
            gateway: Some(gateway),
            router: Vec::new(),
        };
        let router = plan(&Config::default(), &options(Gateway::Router)).unwrap();
        assert_eq!(routes(&router), ["10.17.4.0/24 via 192.168.7.2"]);
        assert_eq!(router.defaults, [address("192.168.0.1")]);
        assert_eq!(router.replaced_defaults, [address("192.168.7.2")]);
        let host = plan(&Config::default(), &options(Gateway::Host)).unwrap();
        assert_eq!(host.defaults, [address("192.168.7.2")]);
        assert_eq!(host.replaced_defaults, [address("192.168.0.1")]);
        assert_eq!(host.default4, Some([192, 168, 7, 2].into()));
    }

    #[test]
    fn a_plan_for_the_router_has_no_default_route() {
        let options = RouteOptions {
            gateway: Some(Gateway::Host),
            ..RouteOptions::default()
        };
        let plan = plan(&Config::default(), &options)
            .unwrap()
            .without_defaults();
        assert!(plan.defaults.is_empty() && plan.replaced_defaults.is_empty());
        assert_eq!(plan.warnings.last(), Some(&Warning::RouterDefaultUnchanged));
        let unchanged = plan.clone().without_defaults();
        assert_eq!(
            unchanged, plan,
            "without a default route nothing is reported"
        );
    }

    #[test]
    fn an_address_that_cannot_be_a_next_hop_is_a_usage_error() {
        for wrong in [
            "fe80::1",
            "127.0.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "ff02::1",
            "::",
            "0.0.0.0",
            "::1",
        ] {
            let via = RouteOptions {
                via: vec![address(wrong)],
                ..RouteOptions::default()
            };
            let router = RouteOptions {
                router: vec![address(wrong)],
                ..RouteOptions::default()
            };
            for (options, option) in [(via, AddressOption::Via), (router, AddressOption::Router)] {
                let error = plan(&Config::default(), &options).unwrap_err();
                let address = address(wrong);
                assert_eq!(error, PlanError::UnusableAddress { option, address });
                assert!(error.is_usage());
            }
        }
        let (first, second) = (address("10.0.0.1"), address("10.0.0.2"));
        let options = RouteOptions {
            via: vec![first, address("fd00::1"), second],
            ..RouteOptions::default()
        };
        let error = plan(&Config::default(), &options).unwrap_err();
        let option = AddressOption::Via;
        let expected = PlanError::TwoAddresses {
            option,
            first,
            second,
        };
        assert_eq!(error, expected);
        assert!(error.is_usage());
    }

    #[test]
    fn an_unknown_address_is_an_error_only_with_networks() {
        let mut host = host();
        host.routes.clear();
        let networks = [network("nat", "<forward/>", "10.17.4")];
        let (config, options) = (Config::default(), RouteOptions::default());
        let settings = FixedSettings::default();
        let error = Plan::new(&config, &networks, &host, &options, &settings).unwrap_err();
        assert_eq!(error, PlanError::NoAddress);
        assert!(!error.is_usage());
        let plan = Plan::new(&config, &[], &host, &options, &settings).unwrap();
        assert_eq!(plan.warnings, [Warning::NoNetwork]);
    }

    #[test]
    fn an_isolated_network_is_exported_only_to_external_hosts_of_the_config() {
        let networks = [
            network("iso", "", "10.17.9"),
            network("nat", "<forward/>", "10.17.4"),
        ];
        let mut config = reference::config("[[group]]\nname='all'\nnetworks=['iso', 'nat']");
        let names = |config: &Config| -> Vec<_> {
            let exported = exported_networks(config, &networks).into_iter();
            exported.map(|network| network.name).collect()
        };
        assert_eq!(names(&config), ["nat"]);
        config.groups[0].peers = vec!["192.168.0.30/32".parse().unwrap()];
        assert_eq!(names(&config), ["iso", "nat"]);
    }
}
