//! Decides what is wrong with a plan.

use std::collections::BTreeSet;

use ipnet::IpNet;
use virt_forward_policy::{
    self as policy,
    config::Config,
    network::{Mode, Network},
    overlap,
};

use super::{
    family::IpFamily,
    lan::LanInfo,
    model::Gateway,
    warning::{RoutedSubnet, Warning},
};
use crate::{host::Host, route_check::RouteCheck, sysctl::SysctlView};

/// The inputs of a plan.
pub(super) struct Inputs<'a> {
    pub(super) config: &'a Config,
    /// The networks of the plan.
    pub(super) networks: &'a [Network],
    pub(super) host: &'a Host,
    pub(super) lan: &'a LanInfo,
    pub(super) gateway: Option<Gateway>,
    pub(super) settings: &'a dyn SysctlView,
}

impl Inputs<'_> {
    /// All warnings, in a fixed order.
    pub(super) fn warnings(&self) -> Vec<Warning> {
        let mut warnings = Vec::new();
        if self.networks.is_empty() {
            warnings.push(Warning::NoNetwork);
        }
        self.check_next_hops(&mut warnings);
        self.check_network_overlaps(&mut warnings);
        self.check_link_overlaps(&mut warnings);
        self.check_missing_next_hops(&mut warnings);
        self.check_inbound_access(&mut warnings);
        self.check_routes_to_networks(&mut warnings);
        self.check_routes_to_external_subnets(&mut warnings);
        self.check_gateway(&mut warnings);
        warnings
    }

    fn subnets(&self) -> Vec<RoutedSubnet> {
        let mut subnets = Vec::new();
        for network in self.networks {
            subnets.extend(subnets_of(network));
        }
        subnets
    }

    fn check_next_hops(&self, warnings: &mut Vec<Warning>) {
        for via in IpFamily::BOTH
            .into_iter()
            .filter_map(|family| self.lan.host(family))
        {
            let mut own = self.host.interfaces.iter().flat_map(|one| &one.addresses);
            if !own.any(|own| own.addr() == via) {
                warnings.push(Warning::ForeignNextHop { via });
            }
        }
    }

    fn check_network_overlaps(&self, warnings: &mut Vec<Warning>) {
        let subnets = self.subnets();
        for (index, first) in subnets.iter().enumerate() {
            for second in subnets.iter().skip(index + 1) {
                if overlap(&first.net, &second.net) {
                    warnings.push(Warning::NetworksOverlap {
                        first: first.clone(),
                        second: second.clone(),
                    });
                }
            }
        }
    }

    fn check_link_overlaps(&self, warnings: &mut Vec<Warning>) {
        let is_bridge = |name: &str| {
            let mut bridges = self.networks.iter().filter_map(Network::routed_bridge);
            bridges.any(|bridge| bridge.as_str() == name)
        };
        let mut links = Vec::new();
        for interface in &self.host.interfaces {
            if interface.name != "lo" && !is_bridge(&interface.name) {
                let nets = interface.addresses.iter().map(IpNet::trunc);
                links.extend(nets.map(|link| (link, interface.name.clone())));
            }
        }
        for subnet in self.subnets() {
            for (link, interface) in &links {
                if overlap(&subnet.net, link) {
                    warnings.push(Warning::OverlapsLink {
                        subnet: subnet.clone(),
                        link: *link,
                        interface: interface.clone(),
                    });
                }
            }
        }
    }

    fn check_missing_next_hops(&self, warnings: &mut Vec<Warning>) {
        let mut subnets: Vec<_> = self
            .subnets()
            .into_iter()
            .map(|subnet| subnet.net)
            .collect();
        subnets.retain(|net| self.lan.next_hop(net).is_none());
        if !subnets.is_empty() {
            warnings.push(Warning::NoNextHop { subnets });
        }
    }

    fn check_inbound_access(&self, warnings: &mut Vec<Warning>) {
        let is_refused = |network: &&Network| {
            let access = policy::access_of(self.config, network);
            let is_closed = matches!(network.mode, Mode::Nat | Mode::Isolated);
            is_closed && policy::inbound_grants(self.config, network, &access).is_empty()
        };
        let refused = self.networks.iter().filter(is_refused);
        let networks: Vec<_> = refused.map(|network| network.name.clone()).collect();
        if !networks.is_empty() {
            warnings.push(Warning::NoInboundAccess { networks });
        }
    }

    /// This host has to route each subnet to the bridge of its network.
    fn check_routes_to_networks(&self, warnings: &mut Vec<Warning>) {
        for network in self.networks {
            let Some(bridge) = network.routed_bridge().map(ToString::to_string) else {
                continue;
            };
            for subnet in subnets_of(network) {
                match self.host.check_route(&subnet.net, &bridge, self.settings) {
                    RouteCheck::Direct => {}
                    RouteCheck::Misrouted { by, is_dropped, .. } => {
                        warnings.push(Warning::RoutedElsewhere {
                            subnet,
                            bridge: bridge.clone(),
                            interface: by.to_owned(),
                            is_dropped,
                        })
                    }
                    RouteCheck::Missing => warnings.push(Warning::Unrouted { subnet }),
                }
            }
        }
    }

    /// External hosts send to the next hop of the plan, and the ruleset accepts them only on the
    /// interface of this host's route to them.
    fn check_routes_to_external_subnets(&self, warnings: &mut Vec<Warning>) {
        let mut external = BTreeSet::new();
        for network in self.networks {
            let access = policy::access_of(self.config, network);
            let nets = policy::external_subnets(self.config, &access).into_iter();
            external.extend(nets.filter(|net| net.prefix_len() > 0));
        }
        let subnets = self.subnets();
        external.retain(|net| !subnets.iter().any(|subnet| subnet.net.contains(net)));
        for net in external {
            let Some(uplink) = self.uplink(&net) else {
                continue;
            };
            let Some(route) = self.host.route_to(net.network()) else {
                continue;
            };
            if route.interface != uplink {
                warnings.push(Warning::ExternalElsewhere {
                    net,
                    interface: route.interface.clone(),
                    is_dropped: net.addr().is_ipv4() && self.settings.is_rp_filter_strict(&uplink),
                    uplink,
                });
            }
        }
    }

    /// The interface that has the next hop for the family of `like`.
    fn uplink(&self, like: &IpNet) -> Option<String> {
        let via = self.lan.next_hop(like)?;
        let uplink = self.host.interfaces.iter().find(|interface| {
            let mut addresses = interface.addresses.iter();
            addresses.any(|net| net.addr() == via)
        });
        uplink.map(|interface| interface.name.clone())
    }

    fn check_gateway(&self, warnings: &mut Vec<Warning>) {
        if self.gateway != Some(Gateway::Host) {
            return;
        }
        warnings.push(Warning::AsymmetricGateway);
        if let Some(uplink) = self.uplink(&IpFamily::V4.default_destination())
            && !self.settings.forwards(&uplink, true)
        {
            warnings.push(Warning::UplinkNotForwarding { uplink });
        }
    }
}

fn subnets_of(network: &Network) -> Vec<RoutedSubnet> {
    let subnets = network.subnets().into_iter();
    subnets
        .map(|net| RoutedSubnet {
            net,
            network: network.name.clone(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        host::{Host, Interface},
        routes::{
            fixtures::{FixedSettings, host, network, route},
            model::{Plan, RouteOptions},
        },
        status::fixtures as reference,
    };

    /// `nat` behind its bridge, with the LAN host 192.168.0.30 as a peer.
    struct Scenario {
        config: Config,
        networks: Vec<Network>,
        host: Host,
        options: RouteOptions,
        settings: FixedSettings,
    }

    impl Scenario {
        fn new() -> Self {
            Self {
                config: reference::config(
                    "[[group]]\nname='nat'\nnetworks=['nat*']\npeers=['192.168.0.30']",
                ),
                networks: vec![network("nat", "<forward/>", "10.17.4")],
                host: host(),
                options: RouteOptions::default(),
                settings: FixedSettings::default(),
            }
        }

        fn routed(mut self, to: &str, interface: &str) -> Self {
            self.host.routes.push(route(to, interface, None));
            self
        }

        fn warnings(&self) -> Vec<Warning> {
            let (config, options) = (&self.config, &self.options);
            let plan = Plan::new(config, &self.networks, &self.host, options, &self.settings);
            plan.unwrap().warnings
        }
    }

    fn subnet(net: &str, network: &str) -> RoutedSubnet {
        RoutedSubnet {
            net: net.parse().unwrap(),
            network: network.to_owned(),
        }
    }

    #[test]
    fn a_sound_plan_has_no_warning() {
        assert_eq!(Scenario::new().warnings(), []);
    }

    #[test]
    fn a_next_hop_that_this_host_does_not_have() {
        let mut scenario = Scenario::new();
        let via = "192.168.0.41".parse().unwrap();
        scenario.options.via = vec![via];
        assert_eq!(scenario.warnings(), [Warning::ForeignNextHop { via }]);
    }

    #[test]
    fn networks_that_overlap() {
        let mut scenario = Scenario::new();
        scenario
            .networks
            .push(network("nat2", "<forward/>", "10.17.4"));
        let overlap = Warning::NetworksOverlap {
            first: subnet("10.17.4.0/24", "nat"),
            second: subnet("10.17.4.0/24", "nat2"),
        };
        assert!(scenario.warnings().contains(&overlap));
    }

    #[test]
    fn a_network_that_overlaps_a_link_of_this_host() {
        let mut scenario = Scenario::new();
        scenario
            .host
            .interfaces
            .push(Interface::new("eth2", &["10.17.7.250/22"]));
        let expected = Warning::OverlapsLink {
            subnet: subnet("10.17.4.0/24", "nat"),
            link: "10.17.4.0/22".parse().unwrap(),
            interface: "eth2".to_owned(),
        };
        assert_eq!(scenario.warnings(), [expected]);
        // The network's own bridge and the loopback interface are no such links.
        scenario.host.interfaces.pop();
        let loopback = Interface::new("lo", &["10.17.4.7/32"]);
        scenario.host.interfaces.push(loopback);
        assert_eq!(scenario.warnings(), []);
    }

    #[test]
    fn a_family_without_a_next_hop() {
        let mut scenario = Scenario::new().routed("fd00:10:17:4::/64", "br_nat");
        let xml = "<network><name>nat</name><forward/><bridge name='br_nat'/>\
            <ip address='10.17.4.1' prefix='24'/>\
            <ip family='ipv6' address='fd00:10:17:4::1' prefix='64'/></network>";
        scenario.networks = vec![virt_forward_policy::network::read(xml.as_bytes()).unwrap()];
        let subnets = vec!["fd00:10:17:4::/64".parse().unwrap()];
        assert_eq!(scenario.warnings(), [Warning::NoNextHop { subnets }]);
    }

    #[test]
    fn a_network_that_admits_no_external_host() {
        let mut scenario = Scenario::new();
        let refused = [Warning::NoInboundAccess {
            networks: vec!["nat".to_owned()],
        }];
        let group = "[[group]]\nname='nat'\nnetworks=['nat*']\n";
        scenario.config = reference::config(group);
        assert_eq!(scenario.warnings(), refused);
        // A rule towards the external host does not admit it.
        let allow = |from: &str, to: &str| {
            reference::config(&format!(
                "{group}[[allow]]\nfrom='{from}'\nto='{to}'\ntcp=[22]"
            ))
        };
        scenario.config = allow("nat", "192.168.0.30");
        assert_eq!(scenario.warnings(), refused);
        scenario.config = allow("192.168.0.30", "nat");
        assert_eq!(scenario.warnings(), []);
        // libvirt itself admits external hosts to a routed network.
        scenario.config = reference::config(group);
        scenario.networks = vec![network("nat", "<forward mode='route'/>", "10.17.4")];
        assert_eq!(scenario.warnings(), []);
    }

    #[test]
    fn a_network_that_this_host_routes_elsewhere() {
        let mut scenario = Scenario::new().routed("10.17.4.0/25", "eth1");
        let elsewhere = |is_dropped| Warning::RoutedElsewhere {
            subnet: subnet("10.17.4.0/24", "nat"),
            bridge: "br_nat".to_owned(),
            interface: "eth1".to_owned(),
            is_dropped,
        };
        assert_eq!(scenario.warnings(), [elsewhere(false)]);
        scenario.settings.strict = vec!["br_nat"];
        assert_eq!(scenario.warnings(), [elsewhere(true)]);
        scenario
            .host
            .routes
            .retain(|route| route.interface == "eth9");
        scenario.options.via = vec!["192.168.0.40".parse().unwrap()];
        let subnet = subnet("10.17.4.0/24", "nat");
        assert_eq!(scenario.warnings(), [Warning::Unrouted { subnet }]);
    }

    #[test]
    fn a_peer_that_this_host_routes_to_another_interface() {
        let mut scenario = Scenario::new();
        scenario.options.via = vec!["172.16.0.2".parse().unwrap()];
        let elsewhere = |is_dropped| Warning::ExternalElsewhere {
            net: "192.168.0.30/32".parse().unwrap(),
            interface: "eth0".to_owned(),
            uplink: "eth1".to_owned(),
            is_dropped,
        };
        assert_eq!(scenario.warnings(), [elsewhere(false)]);
        scenario.settings.strict = vec!["eth1"];
        assert_eq!(scenario.warnings(), [elsewhere(true)]);
    }

    #[test]
    fn this_host_as_the_gateway() {
        let mut scenario = Scenario::new();
        scenario.settings.not_forwarding = vec!["eth0"];
        scenario.options.gateway = Some(Gateway::Router);
        assert_eq!(scenario.warnings(), []);
        scenario.options.gateway = Some(Gateway::Host);
        let uplink = "eth0".to_owned();
        let expected = [
            Warning::AsymmetricGateway,
            Warning::UplinkNotForwarding { uplink },
        ];
        assert_eq!(scenario.warnings(), expected);
        scenario.settings.not_forwarding.clear();
        assert_eq!(scenario.warnings(), [Warning::AsymmetricGateway]);
    }
}
