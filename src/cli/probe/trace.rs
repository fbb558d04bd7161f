//! nftables' trace events of the packet and of its reply, put in order.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use virt_forward_policy::Packet;
use virt_forward_system::netlink::trace::{By, Event, Fate, Place, Seen};

use super::rules::{EXIT_CHAIN, TABLE_PREFIX};

/// One rule or policy that a packet met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TraceHit {
    pub(super) chain: Place,
    pub(super) by: By,
    pub(super) fate: Fate,
}

/// The packet as the last chain saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct EgressEvent {
    /// The index of the interface.
    pub(super) interface: u32,
    pub(super) source: IpAddr,
    /// The first bytes of the transport header.
    pub(super) transport: Vec<u8>,
}

/// The path of one packet through this host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct TracedPath {
    /// The index of the interface that the packet arrived on; `None` if it met no rule.
    pub(super) iif: Option<u32>,
    pub(super) hits: Vec<TraceHit>,
    pub(super) exit: Option<EgressEvent>,
    /// The base chains that saw it: a packet that a base chain sees again is another one.
    bases: BTreeSet<Place>,
    is_complete: bool,
    is_forwarded: bool,
}

impl TracedPath {
    /// The rule or policy that dropped the packet.
    pub(super) fn drop_hit(&self) -> Option<&TraceHit> {
        self.hits.last().filter(|hit| hit.fate == Fate::Drop)
    }

    /// Whether routing had chosen another interface for the packet.
    pub(super) fn is_forwarded(&self) -> bool {
        self.is_forwarded
    }

    fn add(&mut self, event: &Event) {
        let is_own_table = event.chain.table.starts_with(TABLE_PREFIX);
        if let Some(seen) = &event.seen {
            self.is_complete |= !self.bases.insert(event.chain.clone());
            if !self.is_complete {
                self.iif.get_or_insert(seen.came);
                self.is_forwarded |= seen.leaves != 0;
                if is_own_table && event.chain.chain == EXIT_CHAIN {
                    self.exit = Some(EgressEvent {
                        interface: seen.leaves,
                        source: seen.source,
                        transport: seen.transport.clone(),
                    });
                }
            }
        }
        if self.is_complete || is_own_table || event.by == By::End {
            return;
        }
        self.hits.push(TraceHit {
            chain: event.chain.clone(),
            by: event.by,
            fate: event.fate.clone(),
        });
    }
}

/// The paths of the packet and of its reply.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct RoundTrip {
    pub(super) forward: TracedPath,
    pub(super) reply: TracedPath,
}

/// What identifies the packet and its reply: others may be traced at the same time.
#[derive(Clone, Copy, Debug)]
pub(super) struct FlowKey {
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    pub(super) packet: Packet,
    /// The source port, or the identifier of an echo request.
    pub(super) port: u16,
    /// The MAC address of the sender, which is unique and stays when the source is rewritten.
    pub(super) mac: [u8; 6],
}

/// The direction of a traced packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FlowDirection {
    Forward,
    Reply,
}

impl FlowKey {
    fn direction(&self, seen: &Seen) -> Option<FlowDirection> {
        if self.is_packet(seen) {
            Some(FlowDirection::Forward)
        } else if self.is_reply(seen) {
            Some(FlowDirection::Reply)
        } else {
            None
        }
    }

    fn is_packet(&self, seen: &Seen) -> bool {
        let (source_port, _) = self.ports(seen);
        seen.mac == Some(self.mac) || seen.source == self.source && source_port == Some(self.port)
    }

    /// A reply goes to the source or, before NAT has restored that address, comes from the
    /// destination. An ICMP error comes from any address, and shows no ports here.
    fn is_reply(&self, seen: &Seen) -> bool {
        let (source_port, destination_port) = self.ports(seen);
        if seen.target == self.source {
            return destination_port == Some(self.port) || is_icmp_error(seen);
        }
        let is_from_service = source_port == self.service_port();
        seen.source == self.destination && (is_from_service || is_icmp_error(seen))
    }

    /// Source and destination port; of ICMP echo, the identifier on the side that requests.
    fn ports(&self, seen: &Seen) -> (Option<u16>, Option<u16>) {
        let number = |offset: usize| {
            let bytes = seen.transport.get(offset..)?.first_chunk()?;
            Some(u16::from_be_bytes(*bytes))
        };
        match (self.packet, seen.protocol, seen.transport.first()) {
            (Packet::Tcp(_), 6, _) | (Packet::Udp(_), 17, _) => (number(0), number(2)),
            (Packet::Icmp, 1, Some(8)) | (Packet::Icmp, 58, Some(128)) => (number(4), None),
            (Packet::Icmp, 1, Some(0)) | (Packet::Icmp, 58, Some(129)) => (None, number(4)),
            _ => (None, Some(0)),
        }
    }

    fn service_port(&self) -> Option<u16> {
        match self.packet {
            Packet::Tcp(port) | Packet::Udp(port) => Some(port),
            Packet::Icmp => None,
        }
    }
}

/// Destination unreachable, packet too big, time exceeded, parameter problem.
fn is_icmp_error(seen: &Seen) -> bool {
    match (seen.protocol, seen.transport.first()) {
        (1, Some(kind)) => [3, 11, 12].contains(kind),
        (58, Some(kind)) => (1..=4).contains(kind),
        _ => false,
    }
}

impl RoundTrip {
    /// Selects the first packet that `flow` identifies, and its first reply.
    pub(super) fn new(events: &[Event], flow: &FlowKey) -> Self {
        let mut trip = Self::default();
        let mut directions: BTreeMap<u32, FlowDirection> = BTreeMap::new();
        for event in events {
            if let Some(seen) = &event.seen {
                // The kernel uses the identifier of a packet again.
                directions.remove(&event.id);
                if let Some(direction) = flow.direction(seen) {
                    directions.insert(event.id, direction);
                }
            }
            match directions.get(&event.id) {
                Some(FlowDirection::Forward) => trip.forward.add(event),
                Some(FlowDirection::Reply) => trip.reply.add(event),
                None => {}
            }
        }
        trip
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) const A: [u8; 4] = [10, 17, 3, 254];
    pub(in super::super) const B: [u8; 4] = [10, 17, 4, 254];
    const HOST: [u8; 4] = [10, 17, 4, 1];
    pub(in super::super) const FLOW: FlowKey = FlowKey {
        source: IpAddr::V4(std::net::Ipv4Addr::new(10, 17, 3, 254)),
        destination: IpAddr::V4(std::net::Ipv4Addr::new(10, 17, 4, 254)),
        packet: Packet::Tcp(80),
        port: 61000,
        mac: MAC,
    };
    const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
    pub(in super::super) const FORWARD: (u16, u16) = (61000, 80);
    pub(in super::super) const REPLY: (u16, u16) = (80, 61000);

    pub(in super::super) type Header = ([u8; 4], [u8; 4], (u16, u16), (u32, u32));

    /// Packets of the sender arrive on the interface 3.
    fn seen((source, destination, (from, to), (iif, oif)): Header) -> Seen {
        Seen {
            mac: (iif == 3).then_some(MAC),
            source: source.into(),
            target: destination.into(),
            protocol: 6,
            transport: [from.to_be_bytes(), to.to_be_bytes()].concat(),
            came: iif,
            leaves: oif,
        }
    }

    pub(in super::super) fn event(
        id: u32,
        chain: (&str, &str),
        fate: Fate,
        header: Option<Header>,
    ) -> Event {
        Event {
            id,
            chain: Place {
                family: "ip",
                table: chain.0.to_owned(),
                chain: chain.1.to_owned(),
            },
            by: By::Rule(1),
            fate,
            seen: header.map(seen),
        }
    }

    #[test]
    fn a_dropped_packet_ends_there_and_its_retransmission_is_ignored() {
        let forward = ("filter", "FORWARD");
        let drop = || {
            let (first, then) = ((A, B, FORWARD, (3, 0)), (A, B, FORWARD, (3, 4)));
            [
                event(
                    1,
                    (TABLE_PREFIX, "before_conntrack"),
                    Fate::Continue,
                    Some(first),
                ),
                event(1, forward, Fate::Jump("FWI".into()), Some(then)),
                event(1, ("filter", "FWI"), Fate::Drop, None),
            ]
        };
        let trip = RoundTrip::new(&[drop(), drop()].concat(), &FLOW);
        assert_eq!(trip.forward.hits.len(), 2);
        assert_eq!(trip.forward.drop_hit().unwrap().chain.chain, "FWI");
        assert_eq!(trip.forward.iif, Some(3));
        assert!(trip.forward.is_forwarded() && trip.forward.exit.is_none());
        assert_eq!(trip.reply, TracedPath::default());
    }

    #[test]
    fn a_masqueraded_packet_and_its_reply_are_followed_and_other_flows_are_not() {
        let (last, forward) = ((TABLE_PREFIX, EXIT_CHAIN), ("filter", "FORWARD"));
        let first = (TABLE_PREFIX, "before_conntrack");
        let after = (TABLE_PREFIX, "after_conntrack");
        let others = ([10, 17, 3, 21], B, (61001, 80), (5, 4));
        let events = [
            event(1, first, Fate::Continue, Some((A, B, FORWARD, (3, 0)))),
            event(7, forward, Fate::Drop, Some(others)),
            event(2, forward, Fate::Accept, Some((A, B, FORWARD, (3, 4)))),
            event(2, last, Fate::Accept, Some((HOST, B, (1024, 80), (3, 4)))),
            // An identifier that the kernel uses again, for another flow.
            event(2, forward, Fate::Drop, Some((HOST, B, FORWARD, (9, 4)))),
            event(2, ("filter", "FWI"), Fate::Drop, None),
            event(
                3,
                after,
                Fate::Continue,
                Some((B, HOST, (80, 1024), (4, 0))),
            ),
            event(4, forward, Fate::Accept, Some((B, A, REPLY, (4, 3)))),
            event(4, last, Fate::Drop, Some((B, A, REPLY, (4, 3)))),
        ];
        let trip = RoundTrip::new(&events, &FLOW);
        let exit = trip.forward.exit.unwrap();
        assert_eq!((exit.source, exit.interface), (HOST.into(), 4));
        assert_eq!(trip.forward.hits.len(), 1);
        assert_eq!(trip.reply.hits.len(), 1);
        assert!(trip.reply.drop_hit().is_none());
        assert_eq!(trip.reply.exit.unwrap().interface, 3);
    }
}
