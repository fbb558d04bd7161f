//! The kernel's memory of connections (linux/netfilter/nfnetlink_conntrack.h).

use std::{io, net::IpAddr};

use super::{
    deadline::Deadline,
    netlink::{NFNL_SUBSYS_CTNETLINK, attribute, be16, dump_of, nested, order},
};
use crate::{Error, Result};

const IPCTNL_MSG_CT_GET: u8 = 1;
const IPCTNL_MSG_CT_DELETE: u8 = 2;
/// As it was opened.
const TUPLE_ORIG: u16 = 1;
const TUPLE_IP: u16 = 1;
const TUPLE_PROTO: u16 = 2;
const IP_V4_SRC: u16 = 1;
const IP_V4_DST: u16 = 2;
const IP_V6_SRC: u16 = 3;
const IP_V6_DST: u16 = 4;
const PROTO_NUM: u16 = 1;
const PROTO_SRC_PORT: u16 = 2;
const PROTO_ICMP_ID: u16 = 4;
const PROTO_ICMPV6_ID: u16 = 7;
/// `AF_INET`, `AF_INET6`
const IPV4: u8 = 2;
const IPV6: u8 = 10;

/// A connection, as who opened it knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connection {
    /// Who opened it.
    pub source: IpAddr,
    /// To whom.
    pub target: IpAddr,
    /// Of IP: 6 is TCP.
    pub protocol: u8,
    /// The source's port, or the number of a ping.
    pub port: u16,
}

/// Makes the kernel forget those of one family that `is_meant` names.
pub fn forget(
    is_ipv4: bool,
    is_meant: impl Fn(&Connection) -> bool,
    deadline: Deadline,
) -> Result<()> {
    let failed = |why| Error::Rules {
        what: "connections".to_owned(),
        why,
    };
    let family = if is_ipv4 { IPV4 } else { IPV6 };
    forget_all(family, is_meant, deadline).map_err(failed)
}

fn forget_all(
    family: u8,
    is_meant: impl Fn(&Connection) -> bool,
    deadline: Deadline,
) -> io::Result<()> {
    let known = dump_of(NFNL_SUBSYS_CTNETLINK, IPCTNL_MSG_CT_GET, family, deadline)?;
    let tuples = known
        .iter()
        .filter_map(|one| attribute(&one.attributes, TUPLE_ORIG));
    for tuple in tuples.filter(|tuple| read(tuple).is_some_and(|one| is_meant(&one))) {
        let body = nested(TUPLE_ORIG, tuple);
        let told = order(
            NFNL_SUBSYS_CTNETLINK,
            IPCTNL_MSG_CT_DELETE,
            family,
            &body,
            deadline,
        );
        match told {
            // It ended by itself.
            Err(why) if why.kind() == io::ErrorKind::NotFound => {}
            other => other?,
        }
    }
    Ok(())
}

fn read(tuple: &[u8]) -> Option<Connection> {
    let (ip, proto) = (attribute(tuple, TUPLE_IP)?, attribute(tuple, TUPLE_PROTO)?);
    let four = |kind| attribute(ip, kind)?.first_chunk::<4>().copied();
    let sixteen = |kind| attribute(ip, kind)?.first_chunk::<16>().copied();
    let address = |short, long| {
        let short = four(short).map(IpAddr::from);
        short.or_else(|| sixteen(long).map(IpAddr::from))
    };
    let mut numbers = [PROTO_SRC_PORT, PROTO_ICMP_ID, PROTO_ICMPV6_ID].into_iter();
    Some(Connection {
        source: address(IP_V4_SRC, IP_V6_SRC)?,
        target: address(IP_V4_DST, IP_V6_DST)?,
        protocol: *attribute(proto, PROTO_NUM)?.first()?,
        port: be16(numbers.find_map(|kind| attribute(proto, kind))?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::netlink::written;

    #[test]
    fn a_connection_is_known_by_how_it_was_opened() {
        let ip = [
            written(IP_V4_SRC, &[10, 17, 3, 21]),
            written(IP_V4_DST, &[10, 17, 4, 21]),
        ];
        let ports = [
            written(PROTO_NUM, &[6]),
            written(PROTO_SRC_PORT, &[0xf0, 0x01]),
            written(3, &[0, 80]),
        ];
        let tuple = [
            nested(TUPLE_IP, &ip.concat()),
            nested(TUPLE_PROTO, &ports.concat()),
        ];
        let connection = read(&tuple.concat()).unwrap();
        assert_eq!(connection.source, IpAddr::from([10, 17, 3, 21]));
        assert_eq!(connection.target, IpAddr::from([10, 17, 4, 21]));
        assert_eq!((connection.protocol, connection.port), (6, 0xf001));
        assert_eq!(read(&nested(TUPLE_IP, &ip.concat())), None);
    }
}
