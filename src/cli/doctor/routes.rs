//! Routes to the networks' subnets.

use std::fmt::{self, Display, Formatter};

use ipnet::IpNet;
use strum::IntoStaticStr;
use virt_forward_policy::{network::Network, overlap, sanitize::argument};

use super::{
    context::Context,
    diagnosis::{Diagnosis, Fix, Severity, Subject, passed_unless_error},
    subnets::NetworkSubnet,
};
use crate::route_check::RouteCheck;

/// What brings back the route to the bridge of a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RouteRepair {
    /// Another route takes its place.
    DeleteRoute {
        to: IpNet,
        interface: String,
    },
    AddRoute {
        to: IpNet,
        bridge: String,
    },
    /// The kernel has removed the bridge's address, and the route with it: it does so with IPv6
    /// addresses when a link goes down.
    AddAddress {
        address: IpNet,
        bridge: String,
    },
    /// The route is in none of the bridge's own subnets. A restart of the network disconnects its
    /// guests from the bridge.
    RestartNetwork {
        network: String,
    },
}

impl RouteRepair {
    fn fix(&self) -> Fix {
        match self {
            Self::DeleteRoute { to, interface } => {
                Fix::command(format!("ip route del {to} dev {}", argument(interface)))
            }
            Self::AddRoute { to, bridge } => {
                Fix::command(format!("ip route add {to} dev {bridge}"))
            }
            Self::AddAddress { address, bridge } => {
                Fix::command(format!("ip addr add {address} dev {bridge}"))
            }
            Self::RestartNetwork { network } => {
                let name = argument(network);
                Fix::command_with(
                    format!("virsh net-destroy {name}; virsh net-start {name}"),
                    "then reconnect its guests",
                )
            }
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, IntoStaticStr)]
#[cfg_attr(test, derive(strum::VariantNames))]
#[strum(serialize_all = "kebab-case")]
pub(crate) enum RouteFinding {
    /// All routes lead to the bridges of their networks.
    ToBridges,
    Missing {
        subnet: NetworkSubnet,
        repair: RouteRepair,
    },
    ToOtherInterface {
        subnet: NetworkSubnet,
        interface: String,
        bridge: String,
        /// rp_filter of the bridge is strict, so its packets are dropped.
        is_reverse_path_dropped: bool,
        repair: RouteRepair,
    },
    /// A route takes a part of the subnet.
    PartToOtherInterface {
        subnet: NetworkSubnet,
        part: IpNet,
        interface: String,
        bridge: String,
    },
}

impl Diagnosis for RouteFinding {
    fn subject(&self) -> Subject {
        Subject::Routes
    }

    fn kind(&self) -> &'static str {
        self.into()
    }

    fn severity(&self) -> Severity {
        match self {
            Self::ToBridges => Severity::Ok,
            Self::Missing { .. }
            | Self::ToOtherInterface { .. }
            | Self::PartToOtherInterface { .. } => Severity::Error,
        }
    }

    fn fix(&self) -> Vec<Fix> {
        match self {
            Self::ToBridges => Vec::new(),
            Self::Missing { repair, .. } | Self::ToOtherInterface { repair, .. } => {
                vec![repair.fix()]
            }
            Self::PartToOtherInterface {
                part, interface, ..
            } => {
                let (to, interface) = (*part, interface.clone());
                vec![RouteRepair::DeleteRoute { to, interface }.fix()]
            }
        }
    }
}

impl Display for RouteFinding {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::ToBridges => f.write_str("the routes to all networks lead to their bridges"),
            Self::Missing { subnet, .. } => write!(f, "this host has no route to {subnet}"),
            Self::ToOtherInterface {
                subnet,
                interface,
                bridge,
                is_reverse_path_dropped,
                ..
            } => {
                write!(
                    f,
                    "{subnet} is routed to {interface}, not to its bridge {bridge}"
                )?;
                if *is_reverse_path_dropped {
                    write!(
                        f,
                        "; the reverse-path filter drops packets from it (rp_filter is 1 on {bridge})"
                    )?;
                }
                Ok(())
            }
            Self::PartToOtherInterface {
                subnet,
                part,
                interface,
                bridge,
            } => write!(
                f,
                "{part}, part of {subnet}, is routed to {interface}, not to its bridge {bridge}"
            ),
        }
    }
}

pub(crate) fn check(context: &Context) -> Vec<RouteFinding> {
    let mut findings = Vec::new();
    for (network, bridge) in context.routed() {
        // The check of the networks reports a bridge that is missing or down.
        let interface = context.host.interface(bridge);
        if !interface.is_some_and(|interface| interface.is_up) {
            continue;
        }
        for subnet in network.subnets() {
            findings.extend(whole(context, network, bridge, &subnet));
            findings.extend(parts(context, network, bridge, &subnet));
        }
    }
    passed_unless_error(findings, RouteFinding::ToBridges)
}

fn whole(context: &Context, network: &Network, bridge: &str, net: &IpNet) -> Option<RouteFinding> {
    let subnet = NetworkSubnet {
        network: network.name.clone(),
        subnet: *net,
    };
    match context.host.check_route(net, bridge, context.sysctls) {
        RouteCheck::Direct => None,
        RouteCheck::Missing => Some(RouteFinding::Missing {
            subnet,
            repair: restore(context, network, bridge, net),
        }),
        RouteCheck::Misrouted { by, .. } if has_address_in(context, by, net) => None,
        RouteCheck::Misrouted { by, to, is_dropped } => Some(RouteFinding::ToOtherInterface {
            subnet,
            interface: by.to_owned(),
            bridge: bridge.to_owned(),
            is_reverse_path_dropped: is_dropped,
            // Only a wider route, such as the default route, is left: the own one is missing.
            repair: if to.prefix_len() < net.prefix_len() {
                restore(context, network, bridge, net)
            } else {
                let interface = by.to_owned();
                RouteRepair::DeleteRoute { to, interface }
            },
        }),
    }
}

fn restore(context: &Context, network: &Network, bridge: &str, net: &IpNet) -> RouteRepair {
    let own = network.addresses.iter().find(|own| own.trunc() == *net);
    let Some(address) = own.copied() else {
        let network = network.name.clone();
        return RouteRepair::RestartNetwork { network };
    };
    let bridge = bridge.to_owned();
    let interface = context.host.interface(&bridge);
    if interface.is_some_and(|interface| interface.addresses.contains(&address)) {
        return RouteRepair::AddRoute { to: *net, bridge };
    }
    RouteRepair::AddAddress { address, bridge }
}

/// Whether the interface has an address in the subnet, which the check of the subnets reports.
fn has_address_in(context: &Context, interface: &str, net: &IpNet) -> bool {
    let interface = context.host.interface(interface);
    interface.is_some_and(|interface| interface.addresses.iter().any(|own| overlap(own, net)))
}

fn parts(context: &Context, network: &Network, bridge: &str, net: &IpNet) -> Vec<RouteFinding> {
    let is_part = |to: &IpNet| net.contains(to) && to != net;
    let mut findings = Vec::new();
    for route in &context.host.routes {
        let is_own = route.interface == bridge || has_address_in(context, &route.interface, net);
        if is_part(&route.to) && !is_own {
            findings.push(RouteFinding::PartToOtherInterface {
                subnet: NetworkSubnet {
                    network: network.name.clone(),
                    subnet: *net,
                },
                part: route.to,
                interface: route.interface.clone(),
                bridge: bridge.to_owned(),
            });
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::fixtures::{TestHost, route};

    fn kube03() -> NetworkSubnet {
        NetworkSubnet {
            network: "kube03".to_owned(),
            subnet: "10.17.4.0/24".parse().unwrap(),
        }
    }

    #[test]
    fn a_route_to_a_part_of_a_network_is_an_error() {
        let mut host = TestHost::new();
        assert_eq!(check(&host.context()), [RouteFinding::ToBridges]);
        host.host.routes.push(route("10.17.4.64/26", "eth0"));
        let found = check(&host.context());
        let expected = RouteFinding::PartToOtherInterface {
            subnet: kube03(),
            part: "10.17.4.64/26".parse().unwrap(),
            interface: "eth0".to_owned(),
            bridge: "br3".to_owned(),
        };
        assert_eq!(found, [expected]);
        assert_eq!(
            found[0].fix(),
            [Fix::command("ip route del 10.17.4.64/26 dev eth0")]
        );
    }

    #[test]
    fn the_repair_of_a_missing_route_depends_on_the_address() {
        let mut host = TestHost::new();
        host.host.routes.retain(|route| route.interface != "br3");
        let repair = |host: &TestHost| match &check(&host.context())[..] {
            [RouteFinding::ToOtherInterface { repair, .. }] => repair.clone(),
            other => panic!("{other:?}"),
        };
        let bridge = || "br3".to_owned();
        let to = "10.17.4.0/24".parse().unwrap();
        let bridge_of = bridge();
        assert_eq!(
            repair(&host),
            RouteRepair::AddRoute {
                to,
                bridge: bridge_of
            }
        );
        host.interface("br3").addresses.clear();
        let address = "10.17.4.1/24".parse().unwrap();
        let expected = RouteRepair::AddAddress {
            address,
            bridge: bridge(),
        };
        assert_eq!(repair(&host), expected);
        host.host.routes.clear();
        let missing = check(&host.context());
        assert!(missing.iter().any(|one| one.kind() == "missing"));
    }

    #[test]
    fn a_bridge_that_is_missing_is_reported_elsewhere() {
        let mut host = TestHost::new();
        host.host.routes.retain(|route| route.interface != "br3");
        host.host.interfaces.retain(|one| one.name != "br3");
        assert_eq!(check(&host.context()), [RouteFinding::ToBridges]);
    }

    #[test]
    fn a_strict_reverse_path_filter_is_named() {
        let mut host = TestHost::new();
        host.host.routes.retain(|route| route.interface != "br3");
        host.sysctls.set_strict("br3");
        let found = check(&host.context());
        assert!(matches!(
            found[..],
            [RouteFinding::ToOtherInterface {
                is_reverse_path_dropped: true,
                ..
            }]
        ));
    }
}
