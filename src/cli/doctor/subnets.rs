//! Overlapping subnets.

use std::fmt::{self, Display, Formatter};

use ipnet::IpNet;
use strum::IntoStaticStr;
use virt_forward_policy::{
    network::Network,
    sanitize::{argument, escape},
};

use super::{
    context::Context,
    diagnosis::{Diagnosis, Fix, Severity, Subject, passed_unless_error},
};

/// A subnet of a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NetworkSubnet {
    pub(crate) network: String,
    pub(crate) subnet: IpNet,
}

impl Display for NetworkSubnet {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.subnet, escape(&self.network))
    }
}

/// A subnet of an interface that is not the bridge of a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InterfaceSubnet {
    pub(crate) interface: String,
    pub(crate) subnet: IpNet,
}

impl Display for InterfaceSubnet {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {}", self.subnet, escape(&self.interface))
    }
}

#[derive(Clone, Debug, PartialEq, Eq, IntoStaticStr)]
#[cfg_attr(test, derive(strum::VariantNames))]
#[strum(serialize_all = "kebab-case")]
pub(crate) enum SubnetFinding {
    NoOverlap,
    BetweenNetworks {
        one: NetworkSubnet,
        other: NetworkSubnet,
    },
    WithInterface {
        network: NetworkSubnet,
        interface: InterfaceSubnet,
    },
    /// The network cannot start beside the active one.
    InactiveWithNetwork {
        inactive: NetworkSubnet,
        active: NetworkSubnet,
    },
    InactiveWithInterface {
        inactive: NetworkSubnet,
        interface: InterfaceSubnet,
    },
    /// A route to more than the network, as VPNs have them.
    WithinRoute {
        network: NetworkSubnet,
        route: IpNet,
        interface: String,
    },
}

impl Diagnosis for SubnetFinding {
    fn subject(&self) -> Subject {
        Subject::Subnets
    }

    fn kind(&self) -> &'static str {
        self.into()
    }

    fn severity(&self) -> Severity {
        match self {
            Self::NoOverlap => Severity::Ok,
            Self::InactiveWithNetwork { .. }
            | Self::InactiveWithInterface { .. }
            | Self::WithinRoute { .. } => Severity::Note,
            Self::BetweenNetworks { .. } | Self::WithInterface { .. } => Severity::Error,
        }
    }

    fn fix(&self) -> Vec<Fix> {
        let subnet = match self {
            Self::NoOverlap => return Vec::new(),
            Self::BetweenNetworks { other, .. } => other,
            Self::WithInterface { network, .. } | Self::WithinRoute { network, .. } => network,
            Self::InactiveWithNetwork { inactive, .. }
            | Self::InactiveWithInterface { inactive, .. } => inactive,
        };
        vec![Fix::command_with(
            format!("virsh net-edit {}", argument(&subnet.network)),
            "choose another subnet, then net-destroy and net-start",
        )]
    }
}

impl Display for SubnetFinding {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoOverlap => f.write_str("no overlapping subnets"),
            Self::BetweenNetworks { one, other } => {
                write!(f, "{one} overlaps {other}: packets reach only one of them")
            }
            Self::WithInterface { network, interface } => {
                write!(
                    f,
                    "{network} overlaps {interface}: packets reach only one of them"
                )
            }
            Self::InactiveWithNetwork { inactive, active } => {
                write!(f, "{inactive} (inactive) overlaps {active}")
            }
            Self::InactiveWithInterface {
                inactive,
                interface,
            } => write!(f, "{inactive} (inactive) overlaps {interface}"),
            Self::WithinRoute {
                network,
                route,
                interface,
            } => write!(
                f,
                "the route to {route} dev {interface} overlaps {network}: remote hosts with \
                 addresses of that network are unreachable"
            ),
        }
    }
}

pub(crate) fn check(context: &Context) -> Vec<SubnetFinding> {
    let active = &context.networks.active;
    let interfaces = interface_subnets(context);
    let mut findings = between_networks(active);
    for network in active {
        findings.extend(with_interfaces(network, &interfaces));
    }
    for network in &context.networks.inactive {
        if let Some(network) = &network.definition {
            findings.extend(if_it_started(network, active, &interfaces));
        }
    }
    findings.extend(within_routes(context));
    passed_unless_error(findings, SubnetFinding::NoOverlap)
}

fn interface_subnets(context: &Context) -> Vec<InterfaceSubnet> {
    let mut subnets = Vec::new();
    for interface in &context.host.interfaces {
        if interface.name != "lo" && !context.is_bridge(&interface.name) {
            subnets.extend(interface.addresses.iter().map(|address| InterfaceSubnet {
                interface: interface.name.clone(),
                subnet: address.trunc(),
            }));
        }
    }
    subnets
}

fn subnets_of(network: &Network) -> impl Iterator<Item = NetworkSubnet> {
    let subnets = network.subnets().into_iter();
    subnets.map(|subnet| NetworkSubnet {
        network: network.name.clone(),
        subnet,
    })
}

/// The first overlap of two networks.
fn common_subnets(one: &Network, other: &Network) -> Option<(NetworkSubnet, NetworkSubnet)> {
    let mut pairs =
        subnets_of(one).flat_map(|net| subnets_of(other).map(move |with| (net.clone(), with)));
    pairs.find(|(net, with)| virt_forward_policy::overlap(&net.subnet, &with.subnet))
}

fn between_networks(active: &[Network]) -> Vec<SubnetFinding> {
    let mut findings = Vec::new();
    for (at, one) in active.iter().enumerate() {
        for other in active.iter().skip(at + 1) {
            if let Some((one, other)) = common_subnets(one, other) {
                findings.push(SubnetFinding::BetweenNetworks { one, other });
            }
        }
    }
    findings
}

fn with_interfaces(network: &Network, interfaces: &[InterfaceSubnet]) -> Vec<SubnetFinding> {
    let mut findings = Vec::new();
    for network in subnets_of(network) {
        for interface in interfaces {
            if virt_forward_policy::overlap(&network.subnet, &interface.subnet) {
                findings.push(SubnetFinding::WithInterface {
                    network: network.clone(),
                    interface: interface.clone(),
                });
            }
        }
    }
    findings
}

/// The first overlap of an inactive network.
fn if_it_started(
    network: &Network,
    active: &[Network],
    interfaces: &[InterfaceSubnet],
) -> Option<SubnetFinding> {
    if let Some((inactive, active)) = active
        .iter()
        .find_map(|other| common_subnets(network, other))
    {
        return Some(SubnetFinding::InactiveWithNetwork { inactive, active });
    }
    subnets_of(network).find_map(|inactive| {
        let mut overlapping = interfaces
            .iter()
            .filter(|interface| virt_forward_policy::overlap(&inactive.subnet, &interface.subnet));
        let interface = overlapping.next()?.clone();
        Some(SubnetFinding::InactiveWithInterface {
            inactive,
            interface,
        })
    })
}

/// Routes via a gateway that contain a network: packets for the network do not take them.
fn within_routes(context: &Context) -> Vec<SubnetFinding> {
    let mut findings = Vec::new();
    for route in &context.host.routes {
        let is_remote = route.gateway.is_some() && !context.is_bridge(&route.interface);
        if route.to.prefix_len() == 0 || !is_remote {
            continue;
        }
        let active = context.networks.active.iter();
        let mut contained = active
            .flat_map(subnets_of)
            .filter(|net| route.to.contains(&net.subnet) && route.to != net.subnet);
        if let Some(network) = contained.next() {
            findings.push(SubnetFinding::WithinRoute {
                network,
                route: route.to,
                interface: route.interface.clone(),
            });
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        doctor::fixtures::{TestHost, network, route},
        host::Interface,
    };

    fn of(network: &str, subnet: &str) -> NetworkSubnet {
        NetworkSubnet {
            network: network.to_owned(),
            subnet: subnet.parse().unwrap(),
        }
    }

    fn on(interface: &str, subnet: &str) -> InterfaceSubnet {
        InterfaceSubnet {
            interface: interface.to_owned(),
            subnet: subnet.parse().unwrap(),
        }
    }

    #[test]
    fn overlaps_are_reported_with_both_sides() {
        let mut host = TestHost::new();
        assert_eq!(check(&host.context()), [SubnetFinding::NoOverlap]);
        let docker = Interface::new("docker0", &["10.17.4.129/25"]);
        host.host.interfaces.push(docker);
        let expected = SubnetFinding::WithInterface {
            network: of("kube03", "10.17.4.0/24"),
            interface: on("docker0", "10.17.4.128/25"),
        };
        assert_eq!(check(&host.context()), [expected]);
        host.host.interfaces.pop();
        let twin = network("twin", "br9", "10.17.3.9");
        host.networks.active.push(twin);
        let expected = SubnetFinding::BetweenNetworks {
            one: of("kube02", "10.17.3.0/24"),
            other: of("twin", "10.17.3.0/24"),
        };
        assert_eq!(check(&host.context()), [expected]);
    }

    #[test]
    fn an_inactive_network_is_only_noted() {
        let host = TestHost::new();
        let interfaces = [on("eth0", "192.168.0.0/24")];
        let active = &host.networks.active;
        let found = |address| {
            let network = network("twin", "br9", address);
            if_it_started(&network, active, &interfaces)
        };
        assert_eq!(found("10.17.9.1"), None);
        let beside = found("10.17.4.1").unwrap();
        assert_eq!(beside.kind(), "inactive-with-network");
        assert_eq!(beside.severity(), Severity::Note);
        let on_host = found("192.168.0.1").unwrap();
        assert_eq!(on_host.kind(), "inactive-with-interface");
    }

    #[test]
    fn a_wider_route_is_only_noted() {
        let mut host = TestHost::new();
        host.host.routes.push(route("10.0.0.0/8", "eth0"));
        let found = check(&host.context());
        let expected = SubnetFinding::WithinRoute {
            network: of("kube02", "10.17.3.0/24"),
            route: "10.0.0.0/8".parse().unwrap(),
            interface: "eth0".to_owned(),
        };
        assert_eq!(found, [SubnetFinding::NoOverlap, expected]);
    }
}
