//! The configuration of this host's own routing daemon, with which it tells its networks to
//! the LAN and learns those of other hosts; a file here for each daemon.
//!
//! Only the subnets of libvirt's networks are told, and from the moment that their bridges
//! carry something until they stop: the daemons follow the kernel's routes. What others tell is
//! believed, unless it lies within these networks or the LAN, or is a default route.

mod bird;
mod frr;

use std::{
    net::{IpAddr, Ipv4Addr},
    str::FromStr,
};

use ipnet::IpNet;
use virt_forward_policy::network::{BridgeName, Network};

/// By which protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Protocol {
    /// Neighbours find each other on the LAN, which has to be trusted
    Ospf,
    /// Each neighbour is named with --neighbor
    Bgp,
}

/// The daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Daemon {
    Frr,
    Bird,
}

/// A neighbour of BGP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Neighbor {
    pub(crate) address: IpAddr,
    /// Its autonomous system; this host's own, where none is named.
    asn: Option<u32>,
}

impl FromStr for Neighbor {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (address, asn) = match text.split_once('=') {
            Some((address, asn)) => (address, Some(asn)),
            None => (text, None),
        };
        let address = address
            .parse()
            .map_err(|_| format!("\"{address}\" is no address; write ADDRESS or ADDRESS=AS"))?;
        let number = |asn: &str| match asn.parse() {
            Ok(number) if number > 0 => Ok(number),
            _ => Err(format!("\"{asn}\" is no number of an autonomous system")),
        };
        Ok(Self {
            address,
            asn: asn.map(number).transpose()?,
        })
    }
}

/// What is announced, and to whom.
#[derive(Clone, Debug)]
pub(crate) struct Announcement {
    pub(crate) protocol: Protocol,
    /// This host's address in the LAN: what the daemon is known by.
    pub(crate) router_id: Ipv4Addr,
    /// The interface there.
    pub(crate) uplink: String,
    /// The subnets there, without host bits.
    pub(crate) lan: Vec<IpNet>,
    /// The networks, active or not.
    pub(crate) networks: Vec<Network>,
    /// This host's autonomous system.
    pub(crate) asn: u32,
    pub(crate) neighbors: Vec<Neighbor>,
}

impl Announcement {
    /// The daemon's configuration.
    pub(crate) fn text(&self, daemon: Daemon) -> String {
        match daemon {
            Daemon::Frr => frr::text(self),
            Daemon::Bird => bird::text(self),
        }
    }

    /// What lies within a network, each once.
    fn subnets(&self, family: Family) -> Vec<IpNet> {
        let all = self.networks.iter().flat_map(Network::subnets);
        let mut mine: Vec<_> = all.filter(|net| family.has(net.addr())).collect();
        mine.sort();
        mine.dedup();
        mine
    }

    fn bridges(&self) -> impl Iterator<Item = &BridgeName> {
        self.networks.iter().filter_map(Network::routed_bridge)
    }

    /// The LAN's subnets, of which none is to be learned.
    fn lan(&self, family: Family) -> impl Iterator<Item = &IpNet> {
        self.lan.iter().filter(move |net| family.has(net.addr()))
    }

    fn neighbors(&self, family: Family) -> impl Iterator<Item = &Neighbor> {
        let neighbors = self.neighbors.iter();
        neighbors.filter(move |neighbor| family.has(neighbor.address))
    }

    /// The autonomous system of a neighbour.
    fn asn_of(&self, neighbor: &Neighbor) -> u32 {
        neighbor.asn.unwrap_or(self.asn)
    }

    /// The families that there is something to say of.
    fn families(&self) -> impl Iterator<Item = Family> {
        let has_subnets = |family: &Family| !self.subnets(*family).is_empty();
        [Family::V4, Family::V6].into_iter().filter(has_subnets)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    V4,
    V6,
}

impl Family {
    fn has(self, address: IpAddr) -> bool {
        address.is_ipv4() == (self == Family::V4)
    }

    fn digit(self) -> u8 {
        match self {
            Family::V4 => 4,
            Family::V6 => 6,
        }
    }

    fn everything(self) -> &'static str {
        match self {
            Family::V4 => "0.0.0.0/0",
            Family::V6 => "::/0",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use virt_forward_policy::network::read;

    #[test]
    fn a_neighbour_may_be_of_another_system() {
        let neighbor = |text: &str| text.parse::<Neighbor>();
        assert_eq!(neighbor("192.168.0.30").unwrap().asn, None);
        assert_eq!(neighbor("fd00::1=65001").unwrap().asn, Some(65001));
        for wrong in [
            "",
            "host",
            "192.168.0.30=",
            "192.168.0.30=0",
            "10.0.0.1=x",
            "10.0.0.0/8",
        ] {
            assert!(neighbor(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn only_what_is_there_is_spoken_of() {
        let network = read(
            "<network><name>kube02</name><forward mode='route'/><bridge name='virbr2'/>\
             <ip address='10.17.3.1' prefix='24'/></network>"
                .as_bytes(),
        );
        let mut announcement = Announcement {
            protocol: Protocol::Bgp,
            router_id: [192, 168, 0, 40].into(),
            uplink: "eth0".to_owned(),
            lan: vec!["192.168.0.0/24".parse().unwrap()],
            networks: vec![network.unwrap()],
            asn: 64512,
            neighbors: vec![
                "192.168.0.1=65001".parse().unwrap(),
                "fd00::1".parse().unwrap(),
            ],
        };
        let frr = announcement.text(Daemon::Frr);
        assert!(frr.contains("ip prefix-list virt-forward seq 5 permit 10.17.3.0/24\n"));
        assert!(frr.contains(" neighbor 192.168.0.1 remote-as 65001\n"));
        let bird = announcement.text(Daemon::Bird);
        assert!(bird.contains("interface \"virbr2\";"));
        assert!(bird.contains("neighbor 192.168.0.1 as 65001;"));
        announcement.protocol = Protocol::Ospf;
        let all = [
            frr,
            bird,
            announcement.text(Daemon::Frr),
            announcement.text(Daemon::Bird),
        ];
        for text in all {
            let lines = text.lines().filter(|line| !line.starts_with(['!', '#']));
            let text: String = lines.collect();
            assert!(!text.contains("fd00"), "{text}");
            assert!(!text.contains("ipv6") && !text.contains("ospf6"), "{text}");
        }
    }
}
