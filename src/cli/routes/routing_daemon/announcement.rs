//! What the daemon announces, and to which neighbors.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;
use virt_forward_policy::{
    config::Config,
    network::{BridgeName, Network},
};

use super::neighbor::Neighbor;
use crate::{
    host::Host,
    routes::{
        family::IpFamily,
        lan::LanInfo,
        model::{PlanError, RouteOptions},
        plan::exported_networks,
    },
};

/// The routing protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Protocol {
    /// Neighbors discover each other: only for a trusted LAN
    Ospf,
    /// Each neighbor is named with --neighbor
    Bgp,
}

/// The part of the command line that decides on the announcement.
#[derive(Clone, Debug)]
pub(crate) struct AnnouncementOptions {
    pub(crate) protocol: Protocol,
    /// The autonomous system of this host.
    pub(crate) asn: u32,
    pub(crate) neighbors: Vec<Neighbor>,
}

/// The content of a routing daemon's configuration.
#[derive(Clone, Debug)]
pub(crate) struct Announcement {
    pub(super) options: AnnouncementOptions,
    /// This host's LAN address.
    pub(super) router_id: Ipv4Addr,
    /// The LAN interface.
    pub(super) uplink: String,
    /// The subnets of the LAN interface, without host bits.
    lan: Vec<IpNet>,
    /// The announced networks, active or not.
    networks: Vec<Network>,
}

/// The reason why there is no announcement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AnnounceError {
    /// BGP without a neighbor.
    MissingNeighbor,
    /// OSPF with a neighbor.
    NeighborForOspf,
    /// The neighbor is not directly connected.
    NeighborOffLan { neighbor: IpAddr, uplink: String },
    /// No interface has this host's LAN address.
    NoUplink { address: Ipv4Addr },
    /// The LAN address is unknown.
    Plan(PlanError),
}

impl AnnounceError {
    /// Whether the command line is wrong.
    pub(crate) fn is_usage(&self) -> bool {
        match self {
            Self::MissingNeighbor | Self::NeighborForOspf | Self::NeighborOffLan { .. } => true,
            Self::NoUplink { .. } => false,
            Self::Plan(error) => error.is_usage(),
        }
    }
}

impl Announcement {
    /// Announces `networks`, but for those that no external host may need a route to.
    ///
    /// Fails if the options contradict each other, or if this host's LAN address or interface is
    /// unknown.
    pub(crate) fn new(
        config: &Config,
        networks: &[Network],
        host: &Host,
        routes: &RouteOptions,
        options: AnnouncementOptions,
    ) -> Result<Self, AnnounceError> {
        match (options.protocol, options.neighbors.is_empty()) {
            (Protocol::Bgp, true) => return Err(AnnounceError::MissingNeighbor),
            (Protocol::Ospf, false) => return Err(AnnounceError::NeighborForOspf),
            (Protocol::Bgp, false) | (Protocol::Ospf, true) => {}
        }
        let networks = exported_networks(config, networks);
        let info =
            LanInfo::determine(config, &networks, host, routes).map_err(AnnounceError::Plan)?;
        let Some(IpAddr::V4(router_id)) = info.host(IpFamily::V4) else {
            return Err(AnnounceError::Plan(PlanError::NoAddress));
        };
        let uplink = host.interfaces.iter().find(|interface| {
            let mut addresses = interface.addresses.iter();
            addresses.any(|net| net.addr() == IpAddr::V4(router_id))
        });
        let Some(uplink) = uplink else {
            let address = router_id;
            return Err(AnnounceError::NoUplink { address });
        };
        let lan: Vec<_> = uplink.addresses.iter().map(IpNet::trunc).collect();
        for neighbor in &options.neighbors {
            if !lan.iter().any(|net| net.contains(&neighbor.address)) {
                return Err(AnnounceError::NeighborOffLan {
                    neighbor: neighbor.address,
                    uplink: uplink.name.clone(),
                });
            }
        }
        Ok(Self {
            options,
            router_id,
            uplink: uplink.name.clone(),
            lan,
            networks,
        })
    }

    /// The subnets of the networks, sorted, without duplicates.
    pub(super) fn subnets(&self, family: IpFamily) -> Vec<IpNet> {
        let all = self.networks.iter().flat_map(Network::subnets);
        let mut subnets: Vec<_> = all.filter(|net| family.contains(&net.addr())).collect();
        subnets.sort();
        subnets.dedup();
        subnets
    }

    pub(super) fn bridges(&self) -> impl Iterator<Item = &BridgeName> {
        self.networks.iter().filter_map(Network::routed_bridge)
    }

    /// The subnets within which the daemon must not learn routes: the LAN and the networks.
    pub(super) fn protected_subnets(&self, family: IpFamily) -> Vec<IpNet> {
        let mut protected = self.lan.clone();
        protected.retain(|net| family.contains(&net.addr()));
        protected.extend(self.subnets(family));
        protected
    }

    /// The neighbors of a family, each with its autonomous system.
    pub(super) fn neighbors(&self, family: IpFamily) -> impl Iterator<Item = (IpAddr, u32)> {
        self.options
            .neighbors
            .iter()
            .filter(move |neighbor| family.contains(&neighbor.address))
            .map(|neighbor| (neighbor.address, neighbor.asn.unwrap_or(self.options.asn)))
    }

    /// The families in which there is something to announce.
    pub(super) fn families(&self) -> impl Iterator<Item = IpFamily> {
        let has_subnets = |family: &IpFamily| !self.subnets(*family).is_empty();
        IpFamily::BOTH.into_iter().filter(has_subnets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        routes::{
            fixtures::{host, network},
            routing_daemon::RoutingDaemon,
        },
        status::fixtures as reference,
    };

    fn options(protocol: Protocol, neighbors: &[&str]) -> AnnouncementOptions {
        AnnouncementOptions {
            protocol,
            asn: 64512,
            neighbors: neighbors.iter().map(|one| one.parse().unwrap()).collect(),
        }
    }

    fn announce(
        options: AnnouncementOptions,
        via: Option<&str>,
    ) -> Result<Announcement, AnnounceError> {
        let networks = [network("kube02", "<forward mode='route'/>", "10.17.3")];
        let routes = RouteOptions {
            via: via.into_iter().map(|via| via.parse().unwrap()).collect(),
            ..RouteOptions::default()
        };
        Announcement::new(&Config::default(), &networks, &host(), &routes, options)
    }

    #[test]
    fn the_lan_is_that_of_this_hosts_address() {
        let ospf = announce(options(Protocol::Ospf, &[]), None).unwrap();
        assert_eq!(
            (ospf.router_id, &*ospf.uplink),
            ([192, 168, 0, 40].into(), "eth0")
        );
        let other = announce(options(Protocol::Ospf, &[]), Some("172.16.0.2")).unwrap();
        assert_eq!(
            (other.router_id, &*other.uplink),
            ([172, 16, 0, 2].into(), "eth1")
        );
        assert_eq!(other.lan, ["172.16.0.0/24".parse::<IpNet>().unwrap()]);
    }

    #[test]
    fn neighbors_are_for_bgp_and_directly_connected() {
        let error = |protocol, neighbors: &[&str]| {
            let error = announce(options(protocol, neighbors), None).unwrap_err();
            assert!(error.is_usage());
            error
        };
        assert_eq!(error(Protocol::Bgp, &[]), AnnounceError::MissingNeighbor);
        let ospf = error(Protocol::Ospf, &["192.168.0.41"]);
        assert_eq!(ospf, AnnounceError::NeighborForOspf);
        let off_lan = AnnounceError::NeighborOffLan {
            neighbor: "10.99.0.1".parse().unwrap(),
            uplink: "eth0".to_owned(),
        };
        assert_eq!(
            error(Protocol::Bgp, &["192.168.0.41", "10.99.0.1"]),
            off_lan
        );
        assert!(announce(options(Protocol::Bgp, &["192.168.0.41"]), None).is_ok());
    }

    #[test]
    fn an_address_of_another_host_has_no_uplink() {
        let error = announce(options(Protocol::Ospf, &[]), Some("192.168.0.41")).unwrap_err();
        let address = [192, 168, 0, 41].into();
        assert_eq!(error, AnnounceError::NoUplink { address });
        assert!(!error.is_usage());
    }

    /// Two networks, IPv6 and a neighbor in another autonomous system.
    fn reference(protocol: Protocol) -> Announcement {
        let neighbors: &[&str] = match protocol {
            Protocol::Ospf => &[],
            Protocol::Bgp => &["192.168.0.41", "192.168.0.1=65001", "fd00:0:0:1::41"],
        };
        let mut networks = reference::reference_networks();
        networks.retain(|network| network.name != "isolated");
        Announcement {
            options: options(protocol, neighbors),
            router_id: [192, 168, 0, 40].into(),
            uplink: "eth0".to_owned(),
            lan: ["192.168.0.0/24", "fd00:0:0:1::/64"]
                .map(|net| net.parse().unwrap())
                .to_vec(),
            networks,
        }
    }

    #[test]
    fn every_daemon_has_its_snapshots() {
        for protocol in [Protocol::Ospf, Protocol::Bgp] {
            for daemon in [RoutingDaemon::Frr, RoutingDaemon::Bird] {
                let name = format!("{daemon:?}-{protocol:?}").to_lowercase();
                insta::assert_snapshot!(name, daemon.render(&reference(protocol)));
            }
        }
    }

    #[test]
    fn a_family_without_subnets_is_not_configured() {
        let mut announcement = reference(Protocol::Bgp);
        announcement.networks = vec![network("kube02", "<forward mode='route'/>", "10.17.3")];
        for protocol in [Protocol::Ospf, Protocol::Bgp] {
            announcement.options.protocol = protocol;
            for daemon in [RoutingDaemon::Frr, RoutingDaemon::Bird] {
                let text = daemon.render(&announcement);
                let lines = text.lines().filter(|line| !line.starts_with(['!', '#']));
                for line in lines {
                    let is_ipv6 = ["fd00", "ipv6", "ospf6"]
                        .iter()
                        .any(|word| line.contains(word));
                    assert!(!is_ipv6, "{daemon:?}: {line}");
                }
            }
        }
    }
}
