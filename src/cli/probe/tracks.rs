//! What the kernel told of a packet, put in order: its way there, and its answer's way back.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use virt_forward_core::{
    kernel::trace::{By, Event, Fate, Seen},
    names::ChainName,
};

/// Our own table on the way, and its chain that comes last of all before a packet leaves.
pub(super) const TABLE: &str = "virt_forward_probe";
pub(super) const LAST: &str = "last";

/// One rule that it met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hop {
    pub(super) chain: ChainName,
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
    bases: BTreeSet<ChainName>,
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
        if self.is_over || event.chain.table == TABLE || event.by == By::End {
            return;
        }
        self.hops.push(Hop {
            chain: event.chain.clone(),
            by: event.by,
            fate: event.fate.clone(),
        });
    }

    fn leave(&mut self, event: &Event, seen: &Seen) {
        if event.chain.table == TABLE && event.chain.chain == LAST {
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

impl Tracks {
    /// Of the first packet from `source` to `target`, and the first answer. Addresses may be
    /// rewritten on the way, but never both.
    pub(super) fn new(events: &[Event], source: IpAddr, target: IpAddr) -> Self {
        let mut tracks = Self::default();
        let mut ways: BTreeMap<u32, bool> = BTreeMap::new();
        for event in events {
            if let Some(seen) = &event.seen {
                let is_there = if seen.source == source || seen.target == target {
                    true
                } else if seen.target == source || seen.source == target {
                    false
                } else {
                    continue;
                };
                ways.insert(event.id, is_there);
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
    use virt_forward_core::names::Family;

    const A: [u8; 4] = [10, 17, 3, 254];
    const B: [u8; 4] = [10, 17, 4, 254];
    const HOST: [u8; 4] = [10, 17, 4, 1];

    fn event(
        id: u32,
        chain: (&str, &str),
        fate: Fate,
        ends: Option<([u8; 4], [u8; 4], u32)>,
    ) -> Event {
        Event {
            id,
            chain: ChainName::nft(Family::Ip, chain.0, chain.1),
            by: By::Rule(1),
            fate,
            seen: ends.map(|(source, target, leaves)| Seen {
                source: source.into(),
                target: target.into(),
                protocol: 6,
                transport: Vec::new(),
                came: 3,
                leaves,
            }),
        }
    }

    #[test]
    fn a_packet_that_is_dropped_ends_there_and_its_repetition_is_no_part_of_it() {
        let forward = ("filter", "FORWARD");
        let drop = || {
            [
                event(1, (TABLE, "first"), Fate::Continue, Some((A, B, 0))),
                event(1, forward, Fate::Jump("FWI".into()), Some((A, B, 4))),
                event(1, ("filter", "FWI"), Fate::Drop, None),
            ]
        };
        let tracks = Tracks::new(&[drop(), drop()].concat(), A.into(), B.into());
        assert_eq!(tracks.there.hops.len(), 2);
        assert_eq!(tracks.there.refusal().unwrap().chain.chain, "FWI");
        assert_eq!(tracks.there.came, Some(3));
        assert!(tracks.there.was_forwarded() && tracks.there.left.is_none());
        assert_eq!(tracks.back, Track::default());
    }

    #[test]
    fn a_masqueraded_packet_and_its_answer_are_followed() {
        let last = (TABLE, LAST);
        let events = [
            event(1, (TABLE, "first"), Fate::Continue, Some((A, B, 0))),
            event(2, ("filter", "FORWARD"), Fate::Accept, Some((A, B, 4))),
            event(2, last, Fate::Accept, Some((HOST, B, 4))),
            event(
                9,
                ("filter", "FORWARD"),
                Fate::Accept,
                Some((HOST, HOST, 4)),
            ),
            event(3, (TABLE, "answers"), Fate::Continue, Some((B, HOST, 0))),
            event(4, ("filter", "FORWARD"), Fate::Accept, Some((B, A, 3))),
            event(4, last, Fate::Drop, Some((B, A, 3))),
        ];
        let tracks = Tracks::new(&events, A.into(), B.into());
        let left = tracks.there.left.unwrap();
        assert_eq!((left.source, left.interface), (HOST.into(), 4));
        assert_eq!(tracks.there.hops.len(), 1);
        assert_eq!(tracks.back.hops.len(), 1);
        assert!(tracks.back.refusal().is_none());
        assert_eq!(tracks.back.left.unwrap().interface, 3);
    }
}
