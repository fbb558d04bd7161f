//! Connections that the table opened, compared with the policy in force.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use ipnet::IpNet;

use crate::{
    access::Access,
    config::Config,
    decision::Decision,
    evaluate::evaluate,
    network::Network,
    packet::{Endpoint, Packet},
};

/// A connection that the table opened, with the real addresses of its endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    /// The endpoint that opened it.
    pub from: IpAddr,
    /// The endpoint that accepted it, after destination NAT.
    pub to: IpAddr,
    /// Its first packet.
    pub packet: Packet,
}

impl Flow {
    /// A protocol that no `[[allow]]` rule permits, represented by a port that no rule can have.
    pub const OTHER: Packet = Packet::Tcp(0);
}

/// The policy in force: a config, with the networks that it opens.
pub struct Policy<'a> {
    config: &'a Config,
    by_subnet: BTreeMap<IpNet, (&'a Network, &'a Access)>,
    /// The prefix lengths of the subnets, each with whether it is of IPv4.
    lengths: BTreeSet<(bool, u8)>,
}

impl<'a> Policy<'a> {
    /// The policy of `config` for these networks.
    pub fn new(
        config: &'a Config,
        networks: impl Iterator<Item = (&'a Network, &'a Access)>,
    ) -> Self {
        let mut by_subnet = BTreeMap::new();
        for (network, access) in networks {
            for subnet in network.subnets() {
                by_subnet.insert(subnet, (network, access));
            }
        }
        let lengths = by_subnet
            .keys()
            .map(|net| (net.addr().is_ipv4(), net.prefix_len()));
        Self {
            config,
            lengths: lengths.collect(),
            by_subnet,
        }
    }

    /// Whether the connection may be opened now. An address of no known network is external, also
    /// where a guest announces it by a routing protocol: the next packet opens its connection again.
    pub fn allows(&self, flow: &Flow) -> bool {
        let (from, to) = (self.endpoint(flow.from), self.endpoint(flow.to));
        let decision = evaluate(self.config, flow.packet, &from, &to);
        matches!(decision, Decision::AllowedByPolicy { .. })
    }

    fn endpoint(&self, address: IpAddr) -> Endpoint<'a> {
        let lengths = self.lengths.iter().rev();
        let mut lengths = lengths.filter(|(is_ipv4, _)| *is_ipv4 == address.is_ipv4());
        let network = lengths.find_map(|(_, length)| {
            let subnet = IpNet::new(address, *length).ok()?.trunc();
            self.by_subnet.get(&subnet).copied()
        });
        Endpoint { address, network }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        access_of,
        fixtures::{config, network, with},
        network::Mode,
    };

    #[test]
    fn a_connection_is_allowed_while_its_pair_and_its_port_are() {
        let config = config(
            "[[group]]\nname='kube'\nnetworks=['kube*']\npeers=['192.168.0.30']\n\
             [[allow]]\nfrom='dmz'\nto='kube03'\ntcp=[443]",
        );
        let networks = [
            with(network("kube02", Mode::Route), &["10.17.3.1/24"]),
            with(
                network("kube03", Mode::Nat),
                &["10.17.4.1/25", "fd00:4::1/64"],
            ),
            with(network("dmz", Mode::Nat), &["10.17.7.1/24"]),
            with(network("tenant", Mode::Nat), &["10.17.5.1/24"]),
        ];
        let accesses: Vec<_> = networks.iter().map(|one| access_of(&config, one)).collect();
        let policy = Policy::new(&config, networks.iter().zip(&accesses));
        for (from, to, packet, allowed) in [
            ("10.17.3.21", "10.17.4.21", Packet::Udp(5000), true),
            ("10.17.3.21", "10.17.4.21", Flow::OTHER, true),
            // Beyond the /25 it belongs to no network.
            ("10.17.3.21", "10.17.4.221", Packet::Udp(5000), false),
            ("10.17.3.21", "10.17.5.21", Packet::Udp(5000), false),
            ("10.17.3.21", "192.168.0.30", Packet::Icmp, true),
            ("192.168.0.30", "10.17.4.21", Packet::Icmp, true),
            ("192.168.0.31", "10.17.4.21", Packet::Icmp, false),
            ("10.17.7.21", "10.17.4.21", Packet::Tcp(443), true),
            ("10.17.7.21", "10.17.4.21", Packet::Tcp(444), false),
            ("10.17.7.21", "10.17.4.21", Flow::OTHER, false),
            ("10.17.4.21", "10.17.7.21", Packet::Tcp(443), false),
            ("10.17.3.21", "8.8.8.8", Packet::Tcp(443), false),
            ("fd00:4::21", "fd00:4::22", Packet::Tcp(1), true),
        ] {
            let flow = Flow {
                from: from.parse().unwrap(),
                to: to.parse().unwrap(),
                packet,
            };
            assert_eq!(policy.allows(&flow), allowed, "{flow:?}");
        }
    }
}
