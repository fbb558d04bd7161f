//! Trace events: for packets with `meta nftrace set 1` the kernel reports each nf_tables rule that
//! they hit and its verdict (linux/netfilter/nfnetlink.h, group `NFNLGRP_NFTRACE`).

use std::{fmt, io, net::IpAddr, os::fd::OwnedFd};

use rustix::{
    io::Errno,
    net::{RecvFlags, netlink, sockopt::set_socket_recv_buffer_size_force},
};

use crate::netlink::uapi::{
    ETH_HLEN, NF_ACCEPT, NF_DROP, NFNL_SUBSYS_NFTABLES, NFNLGRP_NFTRACE_GROUP, NFPROTO_BRIDGE,
    NFPROTO_NETDEV, NFT_CONTINUE, NFT_GOTO, NFT_JUMP, NFT_MSG_TRACE, NFT_RETURN,
    NFT_TRACETYPE_POLICY, NFT_TRACETYPE_RULE, NFTA_TRACE_CHAIN, NFTA_TRACE_ID, NFTA_TRACE_IIF,
    NFTA_TRACE_LL_HEADER, NFTA_TRACE_NETWORK_HEADER, NFTA_TRACE_OIF, NFTA_TRACE_POLICY,
    NFTA_TRACE_RULE_HANDLE, NFTA_TRACE_TABLE, NFTA_TRACE_TRANSPORT_HEADER, NFTA_TRACE_TYPE,
    NFTA_TRACE_VERDICT, NFTA_VERDICT_CHAIN, NFTA_VERDICT_CODE,
};
use crate::netlink::{
    channel::listen,
    nft_rules::family as routed_family,
    socket::{Object, RECV_BUFFER_SIZE, attribute, be32, be64, messages, string},
};
use crate::{Error, Result};
use virt_forward_policy::{
    netfilter::{ChainName, Family},
    sanitize::escape,
};

/// A chain of any family, including bridge and netdev, which see a packet before and after routing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The family in nft's syntax.
    pub family: &'static str,
    /// The table.
    pub table: String,
    /// The chain.
    pub chain: String,
}

impl Place {
    /// The chain as one that routed packets traverse; `None` for bridge and netdev.
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

/// The family of an `NFPROTO_*` in nft's syntax.
fn word(family: u8) -> Option<&'static str> {
    match (routed_family(family), family) {
        (Some(family), _) => Some(family.word()),
        (None, NFPROTO_NETDEV) => Some("netdev"),
        (None, NFPROTO_BRIDGE) => Some("bridge"),
        _ => None,
    }
}

/// The receive buffer of the socket in bytes; a connection causes hundreds of events.
const SOCKET_BUFFER_SIZE: usize = 8 * 1024 * 1024;

/// The verdict of a rule or a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Continue with the next rule.
    Continue,
    /// The packet has passed this base chain.
    Accept,
    /// The packet is dropped; a rule that rejects also sends an error.
    Drop,
    /// Continue in another chain, and return from its end.
    Jump(String),
    /// Continue in another chain without returning.
    Goto(String),
    /// Return to the calling chain.
    Return,
    /// Any other, for example a queue.
    Other,
}

/// The kind of a trace event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// A rule, by its handle.
    Rule(u64),
    /// The policy of the base chain.
    Policy,
    /// The end of a chain.
    End,
}

/// The headers of a packet as a base chain sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The Ethernet source address; `None` on an interface without Ethernet.
    pub mac: Option<[u8; 6]>,
    /// The source address.
    pub source: IpAddr,
    /// The destination address.
    pub target: IpAddr,
    /// `IPPROTO_*`
    pub protocol: u8,
    /// The first bytes after the IP header.
    pub transport: Vec<u8>,
    /// The index of the input interface; 0 for a packet of this host.
    pub came: u32,
    /// The index of the output interface; 0 before routing.
    pub leaves: u32,
}

/// A trace event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Identifies the packet within one base chain; it may differ in the next chain.
    pub id: u32,
    /// The chain.
    pub chain: Place,
    /// The kind of a trace event.
    pub by: By,
    /// The verdict.
    pub fate: Fate,
    /// The packet's headers, in the first event of each base chain.
    pub seen: Option<Seen>,
}

/// A subscription to trace events.
#[derive(Debug)]
pub struct Trace(OwnedFd);

impl Trace {
    /// Subscribes.
    pub fn start() -> Result<Self> {
        let socket = listen(Some(netlink::NETFILTER), NFNLGRP_NFTRACE_GROUP).map_err(failed)?;
        set_socket_recv_buffer_size_force(&socket, SOCKET_BUFFER_SIZE)
            .map_err(|why| failed(why.into()))?;
        Ok(Self(socket))
    }

    /// The events since the last call; does not wait.
    pub fn events(&self) -> Result<Vec<Event>> {
        let mut buffer = vec![0; RECV_BUFFER_SIZE];
        let mut events = Vec::new();
        loop {
            match rustix::net::recv(&self.0, &mut buffer[..], RecvFlags::empty()) {
                Ok((received, _)) => {
                    let all = messages(buffer.get(..received).unwrap_or_default());
                    let traces =
                        all.filter(|one| one.kind == NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_TRACE);
                    events.extend(traces.filter_map(|one| event(&one.object())));
                }
                // The kernel dropped later events; the queued ones are intact.
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
    let (by, fate) = match be32(attribute(bytes, NFTA_TRACE_TYPE)?) {
        NFT_TRACETYPE_POLICY => (
            By::Policy,
            fate(be32(attribute(bytes, NFTA_TRACE_POLICY)?), None),
        ),
        // The kernel reports the end of a chain as a rule without a handle, or as a type of its
        // own.
        kind => match attribute(bytes, NFTA_TRACE_RULE_HANDLE).map(be64) {
            Some(handle) if kind == NFT_TRACETYPE_RULE => (
                By::Rule(handle),
                verdict(attribute(bytes, NFTA_TRACE_VERDICT)?)?,
            ),
            _ => (By::End, Fate::Return),
        },
    };
    Some(Event {
        id: attribute(bytes, NFTA_TRACE_ID).map_or(0, be32),
        chain: Place {
            family: word(object.family)?,
            table: text(NFTA_TRACE_TABLE)?,
            chain: text(NFTA_TRACE_CHAIN)?,
        },
        by,
        fate,
        seen: seen(bytes),
    })
}

fn verdict(bytes: &[u8]) -> Option<Fate> {
    let chain = attribute(bytes, NFTA_VERDICT_CHAIN).map(string);
    Some(fate(be32(attribute(bytes, NFTA_VERDICT_CODE)?), chain))
}

fn fate(code: u32, chain: Option<String>) -> Fate {
    match (code, chain) {
        (NFT_CONTINUE, _) => Fate::Continue,
        (NF_ACCEPT, _) => Fate::Accept,
        (NF_DROP, _) => Fate::Drop,
        (NFT_RETURN, _) => Fate::Return,
        (NFT_JUMP, Some(chain)) => Fate::Jump(chain),
        (NFT_GOTO, Some(chain)) => Fate::Goto(chain),
        _ => Fate::Other,
    }
}

fn seen(bytes: &[u8]) -> Option<Seen> {
    let header = attribute(bytes, NFTA_TRACE_NETWORK_HEADER)?;
    let (source, target, protocol) = addresses(header)?;
    let interface = |kind| attribute(bytes, kind).map_or(0, be32);
    let ethernet = attribute(bytes, NFTA_TRACE_LL_HEADER).filter(|header| header.len() == ETH_HLEN);
    Some(Seen {
        mac: ethernet.and_then(|header| header.get(6..)?.first_chunk().copied()),
        source,
        target,
        protocol,
        transport: attribute(bytes, NFTA_TRACE_TRANSPORT_HEADER)
            .unwrap_or_default()
            .to_vec(),
        came: interface(NFTA_TRACE_IIF),
        leaves: interface(NFTA_TRACE_OIF),
    })
}

/// Takes IPv6's next header for the protocol: the probe sends no extension headers.
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
    use crate::netlink::socket::{attr, nested};

    #[test]
    fn an_event_says_where_and_what_came_of_it() {
        let mut header = [0; 20];
        header[0] = 0x45;
        header[9] = 6;
        header[12..16].copy_from_slice(&[10, 17, 3, 21]);
        header[16..20].copy_from_slice(&[10, 17, 4, 21]);
        let verdict = [
            attr(NFTA_VERDICT_CODE, &NFT_GOTO.to_be_bytes()),
            attr(NFTA_VERDICT_CHAIN, b"open\0"),
        ];
        let attributes = [
            attr(NFTA_TRACE_TABLE, b"virt_forward\0"),
            attr(NFTA_TRACE_CHAIN, b"forward\0"),
            attr(NFTA_TRACE_RULE_HANDLE, &7_u64.to_be_bytes()),
            attr(NFTA_TRACE_TYPE, &NFT_TRACETYPE_RULE.to_be_bytes()),
            nested(NFTA_TRACE_VERDICT, &verdict.concat()),
            attr(
                NFTA_TRACE_LL_HEADER,
                &[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 9, 8, 0],
            ),
            attr(NFTA_TRACE_NETWORK_HEADER, &header),
            attr(NFTA_TRACE_IIF, &3_u32.to_be_bytes()),
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
