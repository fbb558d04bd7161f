//! The wording of warnings and errors.

use std::fmt::{Display, Formatter, Result};

use virt_forward_policy::sanitize::escape;

use super::{
    formats::FormatError,
    model::{AddressOption, PlanError},
    routing_daemon::{AnnounceError, NeighborError},
    warning::{RoutedSubnet, Warning},
};

impl Display for RoutedSubnet {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "{} of {}", self.net, escape(&self.network))
    }
}

fn joined<T: Display>(items: impl IntoIterator<Item = T>) -> String {
    let texts: Vec<_> = items.into_iter().map(|item| item.to_string()).collect();
    texts.join(", ")
}

impl Display for Warning {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::NoNetwork => {
                f.write_str("no active network can be reached from outside this host")
            }
            Self::ForeignNextHop { via } => write!(f, "{via} is not an address of this host"),
            Self::NetworksOverlap { first, second } => write!(
                f,
                "{first} and {second} overlap: packets reach only one of the networks"
            ),
            Self::OverlapsLink {
                subnet,
                link,
                interface,
            } => write!(
                f,
                "{subnet} overlaps {link} on {interface}: hosts on that link send to these \
                 addresses directly and do not use the route"
            ),
            Self::NoNextHop { subnets } => write!(
                f,
                "cannot determine this host's LAN address for {}: specify it with --via",
                joined(subnets)
            ),
            Self::NoInboundAccess { networks } => write!(
                f,
                "external hosts cannot open connections to {}: add them to the peers of a group \
                 or to an [[allow]] rule as from",
                joined(networks.iter().map(|name| escape(name)))
            ),
            Self::RoutedElsewhere {
                subnet,
                bridge,
                interface,
                is_dropped,
            } => {
                write!(f, "this host routes {subnet} via {interface}, not {bridge}")?;
                if *is_dropped {
                    write!(
                        f,
                        ", and rp_filter=1 on {bridge} drops packets from there \
                         (set net.ipv4.conf.{bridge}.rp_filter=2)"
                    )?;
                }
                Ok(())
            }
            Self::Unrouted { subnet } => write!(f, "this host has no route to {subnet}"),
            Self::ExternalElsewhere {
                net,
                interface,
                uplink,
                is_dropped,
            } => {
                write!(
                    f,
                    "packets from {net} are accepted only on {interface}, the interface of this \
                     host's route to it, not on {uplink}"
                )?;
                if *is_dropped {
                    write!(f, ", where rp_filter=1 drops them")?;
                }
                write!(f, ": specify the address on {interface} with --via")
            }
            Self::AsymmetricGateway => f.write_str(
                "asymmetric routing: the router sends replies from the Internet to LAN hosts \
                 directly, past this host, and a firewall here that drops invalid packets (ufw, \
                 firewalld) may break such connections; --gateway router avoids this",
            ),
            Self::UplinkNotForwarding { uplink } => write!(
                f,
                "this host does not forward packets from {uplink} \
                 (net.ipv4.conf.{uplink}.forwarding=0)"
            ),
            Self::RouterDefaultUnchanged => f.write_str(
                "--gateway applies to LAN hosts: the router's own default route is unchanged",
            ),
        }
    }
}

impl Display for AddressOption {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str(match self {
            Self::Via => "--via",
            Self::Router => "--router",
        })
    }
}

impl Display for PlanError {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::UnusableAddress { option, address } => write!(
                f,
                "{option} {address}: other hosts cannot use this address as a next hop"
            ),
            Self::TwoAddresses {
                option,
                first,
                second,
            } => write!(
                f,
                "{option} {first} and {option} {second}: only one address of each family is allowed"
            ),
            Self::NoAddress => f.write_str(
                "cannot determine this host's LAN address: no default route and no route to a \
                 peer\nhint: specify the address with --via",
            ),
        }
    }
}

impl std::error::Error for PlanError {}

impl Display for FormatError {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::NoDefaultRoute => f.write_str(
                "cannot write DHCP option 121: it must contain the default route, and this host \
                 has none that names the router\nhint: specify the router with --router",
            ),
            Self::TooManyRoutes { routes } => write!(
                f,
                "cannot write DHCP option 121: {routes} routes do not fit into 255 bytes\n\
                 hint: announce the networks with --format frr or bird, or configure the router"
            ),
        }
    }
}

impl std::error::Error for FormatError {}

impl Display for AnnounceError {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::MissingNeighbor => f.write_str("--announce bgp requires at least one --neighbor"),
            Self::NeighborForOspf => {
                f.write_str("--neighbor is for BGP: OSPF discovers its neighbors")
            }
            Self::NeighborOffLan { neighbor, uplink } => {
                write!(f, "--neighbor {neighbor} is not on the LAN of {uplink}")
            }
            Self::NoUplink { address } => write!(
                f,
                "cannot determine the LAN interface: no interface of this host has the address \
                 {address}"
            ),
            Self::Plan(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for AnnounceError {}

impl Display for NeighborError {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Address(text) => write!(
                f,
                "\"{text}\" is not an IP address; expected ADDRESS or ADDRESS=ASN"
            ),
            Self::Asn(text) => write!(f, "\"{text}\" is not an autonomous system number"),
        }
    }
}

impl std::error::Error for NeighborError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn subnet(net: &str, network: &str) -> RoutedSubnet {
        RoutedSubnet {
            net: net.parse().unwrap(),
            network: network.to_owned(),
        }
    }

    #[test]
    fn every_warning_has_its_snapshot() {
        let kube03 = subnet("10.17.4.0/24", "kube03");
        let elsewhere = |is_dropped| Warning::RoutedElsewhere {
            subnet: kube03.clone(),
            bridge: "virbr3".to_owned(),
            interface: "eth0".to_owned(),
            is_dropped,
        };
        let external = |is_dropped| Warning::ExternalElsewhere {
            net: "192.168.60.0/24".parse().unwrap(),
            interface: "eth1".to_owned(),
            uplink: "eth0".to_owned(),
            is_dropped,
        };
        let uplink = "eth0".to_owned();
        let warnings = [
            Warning::NoNetwork,
            Warning::ForeignNextHop {
                via: "192.168.0.41".parse().unwrap(),
            },
            Warning::NetworksOverlap {
                first: kube03.clone(),
                second: subnet("10.17.4.128/25", "kube\u{1b}08"),
            },
            Warning::OverlapsLink {
                subnet: kube03.clone(),
                link: "10.17.4.0/22".parse().unwrap(),
                interface: uplink.clone(),
            },
            Warning::NoNextHop {
                subnets: vec!["fd00:10:17:4::/64".parse().unwrap(); 2],
            },
            Warning::NoInboundAccess {
                networks: vec!["kube03".to_owned(), "kube\u{1b}08".to_owned()],
            },
            elsewhere(false),
            elsewhere(true),
            Warning::Unrouted {
                subnet: kube03.clone(),
            },
            external(false),
            external(true),
            Warning::AsymmetricGateway,
            Warning::UplinkNotForwarding { uplink },
            Warning::RouterDefaultUnchanged,
        ];
        let lines: Vec<_> = warnings.iter().map(ToString::to_string).collect();
        insta::assert_snapshot!("warnings", lines.join("\n"));
    }

    #[test]
    fn every_error_has_its_snapshot() {
        let address = "192.168.0.41".parse().unwrap();
        let option = AddressOption::Via;
        let errors = [
            PlanError::UnusableAddress { option, address }.to_string(),
            PlanError::TwoAddresses {
                option: AddressOption::Router,
                first: address,
                second: "192.168.0.42".parse().unwrap(),
            }
            .to_string(),
            PlanError::NoAddress.to_string(),
            FormatError::NoDefaultRoute.to_string(),
            FormatError::TooManyRoutes { routes: 40 }.to_string(),
            AnnounceError::MissingNeighbor.to_string(),
            AnnounceError::NeighborForOspf.to_string(),
            AnnounceError::NeighborOffLan {
                neighbor: address,
                uplink: "eth0".to_owned(),
            }
            .to_string(),
            AnnounceError::NoUplink {
                address: [192, 168, 0, 41].into(),
            }
            .to_string(),
            AnnounceError::Plan(PlanError::NoAddress).to_string(),
            NeighborError::Address("10.0.0.0/8".to_owned()).to_string(),
            NeighborError::Asn("0".to_owned()).to_string(),
        ];
        insta::assert_snapshot!("errors", errors.join("\n"));
    }
}
