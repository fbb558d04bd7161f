//! What the kernel told of a packet, put in order: its way there, and its answer's way back.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use virt_forward_policy::Packet;
use virt_forward_system::netlink::trace::{By, Event, Fate, Place, Seen};

/// What the names of our own tables on the way begin with, one for each probe under way, and
/// their chain that comes last of all before a packet leaves.
pub(super) const TABLE: &str = "virt_forward_probe";
pub(super) const LAST: &str = "last";

/// One rule that it met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hop {
    pub(super) chain: Place,
    pub(super) by: By,
    pub(super) fate: Fate,
}

/// As it left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Left {
    /// The interface's number.
    pub(super) interface: u32,
    pub(super) source: IpAddr,
    pub(super) transport: Vec<u8>,
}

/// One way through this host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Track {
    /// The number of the interface that it came in by; nothing where it never did.
    pub(super) came: Option<u32>,
    pub(super) hops: Vec<Hop>,
    pub(super) left: Option<Left>,
    /// The base chains that it has seen: who comes to one again is another packet.
    bases: BTreeSet<Place>,
    is_over: bool,
    is_forwarded: bool,
}

impl Track {
    /// The rule or policy that ended it.
    pub(super) fn refusal(&self) -> Option<&Hop> {
        self.hops.last().filter(|hop| hop.fate == Fate::Drop)
    }

    /// Whether the packet was on its way to another interface already.
    pub(super) fn was_forwarded(&self) -> bool {
        self.is_forwarded
    }

    fn follow(&mut self, event: &Event) {
        if let Some(seen) = &event.seen {
            self.is_over |= !self.bases.insert(event.chain.clone());
            if !self.is_over {
                self.came.get_or_insert(seen.came);
                self.is_forwarded |= seen.leaves != 0;
                self.leave(event, seen);
            }
        }
        if self.is_over || event.chain.table.starts_with(TABLE) || event.by == By::End {
            return;
        }
        self.hops.push(Hop {
            chain: event.chain.clone(),
            by: event.by,
            fate: event.fate.clone(),
        });
    }

    fn leave(&mut self, event: &Event, seen: &Seen) {
        if event.chain.table.starts_with(TABLE) && event.chain.chain == LAST {
            self.left = Some(Left {
                interface: seen.leaves,
                source: seen.source,
                transport: seen.transport.clone(),
            });
        }
    }
}

/// Both ways.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tracks {
    pub(super) there: Track,
    pub(super) back: Track,
}

/// What the packet is known by, and its answer: others may be traced at the same time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    pub(super) source: IpAddr,
    pub(super) target: IpAddr,
    pub(super) packet: Packet,
    /// The source's port, or the number of a ping.
    pub(super) port: u16,
    /// Of the sender: nobody else has it, and it stays when the source is rewritten.
    pub(super) mac: [u8; 6],
}

impl Known {
    fn is_it(&self, seen: &Seen) -> bool {
        let (from, _) = self.ends(seen);
        seen.mac == Some(self.mac) || seen.source == self.source && from == Some(self.port)
    }

    /// Whether it is the answer: to the source, or, before that is put back, from the target. An
    /// error of ICMP comes from anywhere, and says nothing of ports that is told here.
    fn is_answer(&self, seen: &Seen) -> bool {
        let (from, to) = self.ends(seen);
        if seen.target == self.source {
            return to == Some(self.port) || is_error(seen);
        }
        seen.source == self.target && (from == self.service() || is_error(seen))
    }

    /// The ports; of a ping, and of its answer, the number on the asker's side.
    fn ends(&self, seen: &Seen) -> (Option<u16>, Option<u16>) {
        let number = |at: usize| {
            let two = seen.transport.get(at..)?.first_chunk()?;
            Some(u16::from_be_bytes(*two))
        };
        match (self.packet, seen.protocol, seen.transport.first()) {
            (Packet::Tcp(_), 6, _) | (Packet::Udp(_), 17, _) => (number(0), number(2)),
            (Packet::Icmp, 1, Some(8)) | (Packet::Icmp, 58, Some(128)) => (number(4), None),
            (Packet::Icmp, 1, Some(0)) | (Packet::Icmp, 58, Some(129)) => (None, number(4)),
            _ => (None, Some(0)),
        }
    }

    fn service(&self) -> Option<u16> {
        match self.packet {
            Packet::Tcp(port) | Packet::Udp(port) => Some(port),
            Packet::Icmp => None,
        }
    }
}

/// Destination unreachable, packet too big, time exceeded, parameter problem.
fn is_error(seen: &Seen) -> bool {
    match (seen.protocol, seen.transport.first()) {
        (1, Some(kind)) => [3, 11, 12].contains(kind),
        (58, Some(kind)) => (1..=4).contains(kind),
        _ => false,
    }
}

impl Tracks {
    /// Of the first packet of the kind, and the first answer.
    pub(super) fn new(events: &[Event], known: &Known) -> Self {
        let mut tracks = Self::default();
        let mut ways: BTreeMap<u32, bool> = BTreeMap::new();
        for event in events {
            if let Some(seen) = &event.seen {
                ways.remove(&event.id);
                if known.is_it(seen) {
                    ways.insert(event.id, true);
                } else if known.is_answer(seen) {
                    ways.insert(event.id, false);
                }
            }
            match ways.get(&event.id) {
                Some(true) => tracks.there.follow(event),
                Some(false) => tracks.back.follow(event),
                None => {}
            }
        }
        tracks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: [u8; 4] = [10, 17, 3, 254];
    const B: [u8; 4] = [10, 17, 4, 254];
    const HOST: [u8; 4] = [10, 17, 4, 1];
    const KNOWN: Known = Known {
        source: IpAddr::V4(std::net::Ipv4Addr::new(10, 17, 3, 254)),
        target: IpAddr::V4(std::net::Ipv4Addr::new(10, 17, 4, 254)),
        packet: Packet::Tcp(80),
        port: 61000,
        mac: MAC,
    };
    const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
    const THERE: (u16, u16) = (61000, 80);
    const BACK: (u16, u16) = (80, 61000);

    type Ends = ([u8; 4], [u8; 4], (u16, u16), (u32, u32));

    /// From the sender's cable, by the interface 3.
    fn seen((source, target, (from, to), (came, leaves)): Ends) -> Seen {
        Seen {
            mac: (came == 3).then_some(MAC),
            source: source.into(),
            target: target.into(),
            protocol: 6,
            transport: [from.to_be_bytes(), to.to_be_bytes()].concat(),
            came,
            leaves,
        }
    }

    fn event(id: u32, chain: (&str, &str), fate: Fate, ends: Option<Ends>) -> Event {
        Event {
            id,
            chain: Place {
                family: "ip",
                table: chain.0.to_owned(),
                chain: chain.1.to_owned(),
            },
            by: By::Rule(1),
            fate,
            seen: ends.map(seen),
        }
    }

    #[test]
    fn a_packet_that_is_dropped_ends_there_and_its_repetition_is_no_part_of_it() {
        let forward = ("filter", "FORWARD");
        let drop = || {
            let (first, then) = ((A, B, THERE, (3, 0)), (A, B, THERE, (3, 4)));
            [
                event(1, (TABLE, "first"), Fate::Continue, Some(first)),
                event(1, forward, Fate::Jump("FWI".into()), Some(then)),
                event(1, ("filter", "FWI"), Fate::Drop, None),
            ]
        };
        let tracks = Tracks::new(&[drop(), drop()].concat(), &KNOWN);
        assert_eq!(tracks.there.hops.len(), 2);
        assert_eq!(tracks.there.refusal().unwrap().chain.chain, "FWI");
        assert_eq!(tracks.there.came, Some(3));
        assert!(tracks.there.was_forwarded() && tracks.there.left.is_none());
        assert_eq!(tracks.back, Track::default());
    }

    #[test]
    fn a_masqueraded_packet_and_its_answer_are_followed_and_those_of_others_are_not() {
        let (last, forward) = ((TABLE, LAST), ("filter", "FORWARD"));
        let (first, answers) = ((TABLE, "first"), (TABLE, "answers"));
        let others = ([10, 17, 3, 21], B, (61001, 80), (5, 4));
        let events = [
            event(1, first, Fate::Continue, Some((A, B, THERE, (3, 0)))),
            event(7, forward, Fate::Drop, Some(others)),
            event(2, forward, Fate::Accept, Some((A, B, THERE, (3, 4)))),
            event(2, last, Fate::Accept, Some((HOST, B, (1024, 80), (3, 4)))),
            // The number of one that is over, for another's.
            event(2, forward, Fate::Drop, Some((HOST, B, THERE, (9, 4)))),
            event(2, ("filter", "FWI"), Fate::Drop, None),
            event(
                3,
                answers,
                Fate::Continue,
                Some((B, HOST, (80, 1024), (4, 0))),
            ),
            event(4, forward, Fate::Accept, Some((B, A, BACK, (4, 3)))),
            event(4, last, Fate::Drop, Some((B, A, BACK, (4, 3)))),
        ];
        let tracks = Tracks::new(&events, &KNOWN);
        let left = tracks.there.left.unwrap();
        assert_eq!((left.source, left.interface), (HOST.into(), 4));
        assert_eq!(tracks.there.hops.len(), 1);
        assert_eq!(tracks.back.hops.len(), 1);
        assert!(tracks.back.refusal().is_none());
        assert_eq!(tracks.back.left.unwrap().interface, 3);
    }
}
