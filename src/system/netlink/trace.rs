//! What the kernel tells of packets that carry the trace bit: each rule of nf_tables that one
//! of them meets, and what comes of it (linux/netfilter/nfnetlink.h, group `NFNLGRP_NFTRACE`).

use std::{fmt, io, net::IpAddr, os::fd::OwnedFd};

use rustix::{
    io::Errno,
    net::{RecvFlags, netlink, sockopt::set_socket_recv_buffer_size_force},
};

use crate::netlink::{
    channel::listen,
    nft_rules::family as routed_family,
    socket::{BUFFER, NFNL_SUBSYS_NFTABLES, Object, attribute, be32, be64, messages, string},
    uapi::{ACCEPT, CONTINUE, DROP, GOTO, JUMP, RETURN, VERDICT_CHAIN, VERDICT_CODE},
};
use crate::{Error, Result};
use virt_forward_policy::{
    netfilter::{ChainName, Family},
    sanitize::escape,
};

const NFT_MSG_TRACE: u16 = 17;
/// `NFNLGRP_NFTRACE` is group 9.
const NFTRACE: u32 = 1 << (9 - 1);

const TABLE: u16 = 1;
const CHAIN: u16 = 2;
const RULE_HANDLE: u16 = 3;
const TYPE: u16 = 4;
const VERDICT: u16 = 5;
const ID: u16 = 6;
const LL_HEADER: u16 = 7;
const NETWORK_HEADER: u16 = 8;
const TRANSPORT_HEADER: u16 = 9;
const IIF: u16 = 10;
const OIF: u16 = 12;
const POLICY: u16 = 16;
/// `NFT_TRACETYPE_POLICY`, `NFT_TRACETYPE_RULE`
const TYPE_POLICY: u32 = 1;
const TYPE_RULE: u32 = 3;

/// A chain of any family: those of bridges and devices see a packet before and after routing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// nft's word for the family.
    pub family: &'static str,
    /// The table.
    pub table: String,
    /// The chain.
    pub chain: String,
}

impl Place {
    /// As a chain that routed packets come by; nothing where it is none.
    pub fn routed(&self) -> Option<ChainName> {
        let mut families = [Family::Ip, Family::Ip6, Family::Inet].into_iter();
        let family = families.find(|family| family.word() == self.family)?;
        Some(ChainName::nft(family, &self.table, &self.chain))
    }
}

/// `ip filter FORWARD`
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (table, chain) = (escape(&self.table), escape(&self.chain));
        write!(f, "{} {table} {chain}", self.family)
    }
}

/// `NFPROTO_*`
fn word(family: u8) -> Option<&'static str> {
    match (routed_family(family), family) {
        (Some(family), _) => Some(family.word()),
        (None, 5) => Some("netdev"),
        (None, 7) => Some("bridge"),
        _ => None,
    }
}

/// To, from, and what is in it.
const ETHERNET: usize = 14;

/// What the kernel keeps for us until we read, in bytes: a connection has hundreds of events.
const BACKLOG: usize = 8 * 1024 * 1024;

/// What a rule or a policy does with a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It goes on to the next rule.
    Continue,
    /// It has passed this base chain.
    Accept,
    /// It ends here; it was rejected, if the rule rejects.
    Drop,
    /// To another chain, and maybe back.
    Jump(String),
    /// To another chain.
    Goto(String),
    /// Back to the chain it came from.
    Return,
    /// Anything else, a queue for example.
    Other,
}

/// What decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// The rule with that handle.
    Rule(u64),
    /// The policy of the base chain.
    Policy,
    /// The end of a chain.
    End,
}

/// A packet as a base chain sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// From, on the Ethernet that it came by; nothing where it came by none.
    pub mac: Option<[u8; 6]>,
    /// From.
    pub source: IpAddr,
    /// To.
    pub target: IpAddr,
    /// Of IP: 6 is TCP.
    pub protocol: u8,
    /// The first bytes of what comes after the header of IP.
    pub transport: Vec<u8>,
    /// The number of the interface that it came in by; 0 where it is this host's own.
    pub came: u32,
    /// That of the interface that it leaves by; 0 where that is not decided yet.
    pub leaves: u32,
}

/// One rule that a packet met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The same for one packet in one base chain; in the next it may be another.
    pub id: u32,
    /// Where.
    pub chain: Place,
    /// What decided.
    pub by: By,
    /// What comes of it.
    pub fate: Fate,
    /// The packet, with the first event of each base chain.
    pub seen: Option<Seen>,
}

/// Listens.
#[derive(Debug)]
pub struct Trace(OwnedFd);

impl Trace {
    /// From now on.
    pub fn start() -> Result<Self> {
        let socket = listen(Some(netlink::NETFILTER), NFTRACE).map_err(failed)?;
        set_socket_recv_buffer_size_force(&socket, BACKLOG).map_err(|why| failed(why.into()))?;
        Ok(Self(socket))
    }

    /// What came since it was asked last; does not wait.
    pub fn events(&self) -> Result<Vec<Event>> {
        let mut buffer = vec![0; BUFFER];
        let mut events = Vec::new();
        loop {
            match rustix::net::recv(&self.0, &mut buffer[..], RecvFlags::empty()) {
                Ok((received, _)) => {
                    let all = messages(buffer.get(..received).unwrap_or_default());
                    let traces =
                        all.filter(|one| one.kind == NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_TRACE);
                    events.extend(traces.filter_map(|one| event(&one.object())));
                }
                // Some were lost; those that are there came first.
                Err(Errno::INTR | Errno::NOBUFS) => {}
                Err(Errno::AGAIN) => return Ok(events),
                Err(why) => return Err(failed(why.into())),
            }
        }
    }
}

fn event(object: &Object) -> Option<Event> {
    let bytes = &object.attributes[..];
    let text = |kind| attribute(bytes, kind).map(string);
    let (by, fate) = match be32(attribute(bytes, TYPE)?) {
        TYPE_POLICY => (By::Policy, fate(be32(attribute(bytes, POLICY)?), None)),
        // The end of a chain comes as a rule without a handle, or as a type of its own.
        kind => match attribute(bytes, RULE_HANDLE).map(be64) {
            Some(handle) if kind == TYPE_RULE => {
                (By::Rule(handle), verdict(attribute(bytes, VERDICT)?)?)
            }
            _ => (By::End, Fate::Return),
        },
    };
    Some(Event {
        id: attribute(bytes, ID).map_or(0, be32),
        chain: Place {
            family: word(object.family)?,
            table: text(TABLE)?,
            chain: text(CHAIN)?,
        },
        by,
        fate,
        seen: seen(bytes),
    })
}

fn verdict(bytes: &[u8]) -> Option<Fate> {
    let chain = attribute(bytes, VERDICT_CHAIN).map(string);
    Some(fate(be32(attribute(bytes, VERDICT_CODE)?), chain))
}

fn fate(code: u32, chain: Option<String>) -> Fate {
    match (code, chain) {
        (CONTINUE, _) => Fate::Continue,
        (ACCEPT, _) => Fate::Accept,
        (DROP, _) => Fate::Drop,
        (RETURN, _) => Fate::Return,
        (JUMP, Some(chain)) => Fate::Jump(chain),
        (GOTO, Some(chain)) => Fate::Goto(chain),
        _ => Fate::Other,
    }
}

fn seen(bytes: &[u8]) -> Option<Seen> {
    let header = attribute(bytes, NETWORK_HEADER)?;
    let (source, target, protocol) = addresses(header)?;
    let interface = |kind| attribute(bytes, kind).map_or(0, be32);
    let ethernet = attribute(bytes, LL_HEADER).filter(|header| header.len() == ETHERNET);
    Some(Seen {
        mac: ethernet.and_then(|header| header.get(6..)?.first_chunk().copied()),
        source,
        target,
        protocol,
        transport: attribute(bytes, TRANSPORT_HEADER)
            .unwrap_or_default()
            .to_vec(),
        came: interface(IIF),
        leaves: interface(OIF),
    })
}

/// Of IPv6 the next header is taken for the protocol: what is sent here has no others.
fn addresses(header: &[u8]) -> Option<(IpAddr, IpAddr, u8)> {
    let four = |at: usize| header.get(at..)?.first_chunk::<4>().copied();
    let sixteen = |at: usize| header.get(at..)?.first_chunk::<16>().copied();
    match header.first()? >> 4 {
        4 => Some((four(12)?.into(), four(16)?.into(), *header.get(9)?)),
        6 => Some((sixteen(8)?.into(), sixteen(24)?.into(), *header.get(6)?)),
        _ => None,
    }
}

fn failed(why: io::Error) -> Error {
    Error::Rules {
        what: "traced packets".to_owned(),
        why,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::socket::{nested, written};

    #[test]
    fn an_event_says_where_and_what_came_of_it() {
        let mut header = [0; 20];
        header[0] = 0x45;
        header[9] = 6;
        header[12..16].copy_from_slice(&[10, 17, 3, 21]);
        header[16..20].copy_from_slice(&[10, 17, 4, 21]);
        let verdict = [
            written(VERDICT_CODE, &GOTO.to_be_bytes()),
            written(VERDICT_CHAIN, b"open\0"),
        ];
        let attributes = [
            written(TABLE, b"virt_forward\0"),
            written(CHAIN, b"forward\0"),
            written(RULE_HANDLE, &7_u64.to_be_bytes()),
            written(TYPE, &TYPE_RULE.to_be_bytes()),
            nested(VERDICT, &verdict.concat()),
            written(LL_HEADER, &[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 9, 8, 0]),
            written(NETWORK_HEADER, &header),
            written(IIF, &3_u32.to_be_bytes()),
        ];
        let object = Object {
            family: 1,
            attributes: attributes.concat(),
        };
        let event = super::event(&object).unwrap();
        assert_eq!(event.chain.to_string(), "inet virt_forward forward");
        let routed = ChainName::nft(Family::Inet, "virt_forward", "forward");
        assert_eq!(event.chain.routed(), Some(routed));
        assert_eq!(word(7), Some("bridge"));
        assert_eq!(word(3), None);
        assert_eq!(event.by, By::Rule(7));
        assert_eq!(event.fate, Fate::Goto("open".to_owned()));
        let seen = event.seen.unwrap();
        assert_eq!(seen.source.to_string(), "10.17.3.21");
        assert_eq!(seen.target.to_string(), "10.17.4.21");
        assert_eq!(seen.mac, Some([2, 0, 0, 0, 0, 9]));
        assert_eq!((seen.protocol, seen.came, seen.leaves), (6, 3, 0));
        let without_handle = [&attributes[..2], &attributes[3..]].concat().concat();
        let object = Object {
            family: 1,
            attributes: without_handle,
        };
        let end = super::event(&object).unwrap();
        assert_eq!((end.by, end.fate), (By::End, Fate::Return));
        assert!(end.seen.is_some());
        assert_eq!(addresses(&[0x45, 0, 0]), None);
        assert_eq!(addresses(&[]), None);
    }
}
