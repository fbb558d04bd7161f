//! The connection tracking table, read and changed through ctnetlink
//! (linux/netfilter/nfnetlink_conntrack.h).

use std::{io, net::IpAddr};

use crate::netlink::uapi::{
    AF_INET, AF_INET6, AF_UNSPEC, CTA_ID, CTA_IP_V4_DST, CTA_IP_V4_SRC, CTA_IP_V6_DST,
    CTA_IP_V6_SRC, CTA_LABELS, CTA_PROTO_ICMP_ID, CTA_PROTO_ICMPV6_ID, CTA_PROTO_NUM,
    CTA_PROTO_SRC_PORT, CTA_TUPLE_IP, CTA_TUPLE_ORIG, CTA_TUPLE_PROTO, CTA_TUPLE_REPLY, CTA_ZONE,
    IPCTNL_MSG_CT_DELETE, IPCTNL_MSG_CT_GET, IPPROTO_ICMP, IPPROTO_ICMPV6, IPPROTO_TCP,
    IPPROTO_UDP, NFNL_SUBSYS_CTNETLINK,
};
use crate::{Error, Result};
use crate::{
    deadline::Deadline,
    netlink::socket::{Object, attr, attribute, be16, dump_subsystem, nested, request_ack},
};
use virt_forward_policy::{Flow, Packet};
use virt_forward_ruleset::table::{self, Ip};

/// One direction of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tuple {
    /// The source address.
    pub source: IpAddr,
    /// The destination address.
    pub target: IpAddr,
    /// `IPPROTO_*`: 6 is TCP.
    pub protocol: u8,
    /// The source port, or the identifier of an echo request; 0 if the protocol has neither.
    pub port: u16,
}

/// A connection. With NAT the reply tuple is not the mirror image of the original one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connection {
    /// Packets from the end that opened the connection, before NAT.
    pub original: Tuple,
    /// Packets from the other end, before NAT is undone.
    pub reply: Tuple,
    /// The table `inet virt_forward` allowed and labelled it.
    pub is_labelled: bool,
}

impl Connection {
    /// The connection as policy sees it, with the real addresses of both ends.
    pub fn flow(&self) -> Flow {
        Flow {
            from: self.original.source,
            to: self.reply.source,
            packet: match self.original.protocol {
                IPPROTO_TCP => Packet::Tcp(self.reply.port),
                IPPROTO_UDP => Packet::Udp(self.reply.port),
                IPPROTO_ICMP | IPPROTO_ICMPV6 => Packet::Icmp,
                _ => Flow::OTHER,
            },
        }
    }

    /// Whether `is_address` holds for an address of either end, before or after NAT.
    pub fn concerns(&self, is_address: impl Fn(&IpAddr) -> bool) -> bool {
        let ends = [self.original, self.reply];
        ends.iter()
            .any(|tuple| is_address(&tuple.source) || is_address(&tuple.target))
    }
}

/// Deletes the connections for which `is_selected` holds, of one family or of both. The kernel then
/// treats the next packet as the first of a new connection.
pub fn delete_matching(
    family: Option<Ip>,
    is_selected: impl Fn(&Connection) -> bool,
    deadline: Deadline,
) -> Result<()> {
    delete_all_matching(family, is_selected, deadline).map_err(|why| Error::Rules {
        what: "connections".to_owned(),
        why,
    })
}

fn delete_all_matching(
    family: Option<Ip>,
    is_selected: impl Fn(&Connection) -> bool,
    deadline: Deadline,
) -> io::Result<()> {
    let family = match family {
        None => AF_UNSPEC,
        Some(Ip::V4) => AF_INET,
        Some(Ip::V6) => AF_INET6,
    };
    let known = dump_subsystem(NFNL_SUBSYS_CTNETLINK, IPCTNL_MSG_CT_GET, family, deadline)?;
    let meant = known
        .iter()
        .filter(|entry| read(entry).is_some_and(|one| is_selected(&one)));
    let requests = meant.map(|entry| (entry.family, key(entry)));
    request_ack(
        NFNL_SUBSYS_CTNETLINK,
        IPCTNL_MSG_CT_DELETE,
        requests,
        deadline,
    )
}

/// The attributes that identify an entry: original tuple, zone, and id. The id distinguishes it
/// from a later connection with the same tuple.
fn key(entry: &Object) -> Vec<u8> {
    let part = |kind| attribute(&entry.attributes, kind);
    let tuple = part(CTA_TUPLE_ORIG).map(|tuple| nested(CTA_TUPLE_ORIG, tuple));
    let plain = [CTA_ZONE, CTA_ID].map(|kind| part(kind).map(|value| attr(kind, value)));
    tuple
        .into_iter()
        .chain(plain.into_iter().flatten())
        .flatten()
        .collect()
}

fn read(entry: &Object) -> Option<Connection> {
    let part = |kind| attribute(&entry.attributes, kind);
    Some(Connection {
        original: tuple(part(CTA_TUPLE_ORIG)?)?,
        reply: tuple(part(CTA_TUPLE_REPLY)?)?,
        is_labelled: part(CTA_LABELS).is_some_and(has_label),
    })
}

/// The kernel and nft treat the labels as one 128-bit number in host byte order.
fn has_label(bytes: &[u8]) -> bool {
    let bits = bytes
        .first_chunk()
        .map_or(0, |all| u128::from_ne_bytes(*all));
    bits & (1 << table::LABEL) != 0
}

fn tuple(bytes: &[u8]) -> Option<Tuple> {
    let (ip, proto) = (
        attribute(bytes, CTA_TUPLE_IP)?,
        attribute(bytes, CTA_TUPLE_PROTO)?,
    );
    let four = |kind| attribute(ip, kind)?.first_chunk::<4>().copied();
    let sixteen = |kind| attribute(ip, kind)?.first_chunk::<16>().copied();
    let address = |short, long| {
        let short = four(short).map(IpAddr::from);
        short.or_else(|| sixteen(long).map(IpAddr::from))
    };
    let numbers = [CTA_PROTO_SRC_PORT, CTA_PROTO_ICMP_ID, CTA_PROTO_ICMPV6_ID];
    let port = numbers.into_iter().find_map(|kind| attribute(proto, kind));
    Some(Tuple {
        source: address(CTA_IP_V4_SRC, CTA_IP_V6_SRC)?,
        target: address(CTA_IP_V4_DST, CTA_IP_V6_DST)?,
        protocol: *attribute(proto, CTA_PROTO_NUM)?.first()?,
        port: port.map_or(0, be16),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn direction(kind: u16, from: [u8; 4], to: [u8; 4], ports: Option<(u16, u16)>) -> Vec<u8> {
        let ip = [attr(CTA_IP_V4_SRC, &from), attr(CTA_IP_V4_DST, &to)];
        let mut proto = attr(CTA_PROTO_NUM, &[if ports.is_some() { 6 } else { 47 }]);
        if let Some((source, target)) = ports {
            proto.extend(attr(CTA_PROTO_SRC_PORT, &source.to_be_bytes()));
            proto.extend(attr(3, &target.to_be_bytes()));
        }
        let parts = [
            nested(CTA_TUPLE_IP, &ip.concat()),
            nested(CTA_TUPLE_PROTO, &proto),
        ];
        nested(kind, &parts.concat())
    }

    fn entry(parts: &[Vec<u8>]) -> Object {
        Object {
            family: 2,
            attributes: parts.concat(),
        }
    }

    const CLIENT: [u8; 4] = [10, 17, 3, 21];
    const HOST: [u8; 4] = [192, 168, 0, 40];
    const SERVER: [u8; 4] = [10, 17, 4, 21];

    #[test]
    fn a_connection_has_the_addresses_that_its_ends_have_behind_nat() {
        let parts = [
            direction(CTA_TUPLE_ORIG, CLIENT, HOST, Some((61441, 8443))),
            direction(CTA_TUPLE_REPLY, SERVER, CLIENT, Some((443, 61441))),
            attr(CTA_ID, &[1, 2, 3, 4]),
        ];
        let connection = read(&entry(&parts)).unwrap();
        assert_eq!(connection.original.port, 61441);
        assert!(!connection.is_labelled);
        let flow = connection.flow();
        assert_eq!(flow.from, IpAddr::from(CLIENT));
        assert_eq!(flow.to, IpAddr::from(SERVER));
        assert_eq!(flow.packet, Packet::Tcp(443));
        for address in [CLIENT, HOST, SERVER] {
            assert!(connection.concerns(|one| *one == IpAddr::from(address)));
        }
        assert!(!connection.concerns(|one| *one == IpAddr::from([10, 17, 5, 21])));
        let [original, _, id] = parts;
        assert_eq!(
            key(&entry(&[original.clone(), id.clone()])),
            [original, id].concat()
        );
    }

    #[test]
    fn a_label_is_one_bit_of_many_and_a_protocol_without_ports_has_none() {
        let gre = [
            direction(CTA_TUPLE_ORIG, CLIENT, SERVER, None),
            direction(CTA_TUPLE_REPLY, SERVER, CLIENT, None),
        ];
        let with = |labels: u128| {
            let labels = attr(CTA_LABELS, &labels.to_ne_bytes());
            read(&entry(&[gre.concat(), labels])).unwrap()
        };
        assert!(with(1 << 127 | 1).is_labelled);
        assert!(!with((1 << 127) - 1).is_labelled);
        assert_eq!(with(0).flow().packet, Flow::OTHER);
        assert_eq!(
            read(&entry(&[direction(CTA_TUPLE_ORIG, CLIENT, SERVER, None)])),
            None
        );
    }
}
