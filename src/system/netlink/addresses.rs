//! The subnets that this host reaches through each interface: its addresses, and the routes of all
//! tables (linux/rtnetlink.h). Read through rtnetlink because /proc has the routes of one table
//! only and no IPv4 addresses.

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use ipnet::IpNet;
use rustix::net::{AddressFamily, SocketFlags, SocketType, netdevice::index_to_name};

use crate::netlink::uapi::{
    AF_UNSPEC, IFA_ADDRESS, IFA_LOCAL, RT_SCOPE_LINK, RTA_DST, RTA_MULTIPATH, RTA_OIF, RTM_GETADDR,
    RTM_GETROUTE, RTN_UNICAST, SIZEOF_IFADDRMSG, SIZEOF_RTMSG, SIZEOF_RTNEXTHOP,
};
use crate::{
    Error, Result,
    deadline::Deadline,
    netlink::socket::{attribute, dump_routing},
};
use virt_forward_policy::HostSubnet;

/// All subnets that this host reaches, without those of interfaces that were deleted meanwhile.
///
/// # Errors
///
/// [`Error::Subnets`] if the kernel does not list them.
pub fn host_subnets(deadline: Deadline) -> Result<Vec<HostSubnet>> {
    dump(deadline).map_err(Error::Subnets)
}

fn dump(deadline: Deadline) -> io::Result<Vec<HostSubnet>> {
    let mut found = Vec::new();
    dump_routing(
        RTM_GETADDR,
        AF_UNSPEC,
        SIZEOF_IFADDRMSG,
        deadline,
        &mut |message| {
            let subnets = of_address(message).into_iter().flatten();
            found.extend(subnets.map(|(index, subnet)| (index, subnet, false)));
        },
    )?;
    dump_routing(
        RTM_GETROUTE,
        AF_UNSPEC,
        SIZEOF_RTMSG,
        deadline,
        &mut |message| {
            let subnets = of_route(message).into_iter().flatten();
            found.extend(subnets.map(|(index, subnet)| (index, subnet, true)));
        },
    )?;
    let names = names(found.iter().map(|(index, ..)| *index))?;
    let found = found.into_iter().filter_map(|(index, subnet, is_route)| {
        Some(HostSubnet {
            interface: names.get(&index)?.clone(),
            subnet,
            is_route,
        })
    });
    Ok(found.collect())
}

/// The subnet of an address and, on a point-to-point link, the local address.
fn of_address(message: &[u8]) -> Option<Vec<(u32, IpNet)>> {
    let [_, length, _, scope, index @ ..] = message.first_chunk::<SIZEOF_IFADDRMSG>()?;
    let rest = message.get(SIZEOF_IFADDRMSG..)?;
    if *scope == RT_SCOPE_LINK {
        return None;
    }
    let own = |kind, length: Option<u8>| {
        let address = address(attribute(rest, kind)?)?;
        let length = length.unwrap_or(if address.is_ipv4() { 32 } else { 128 });
        Some(IpNet::new(address, length).ok()?.trunc())
    };
    let subnets = [own(IFA_ADDRESS, Some(*length)), own(IFA_LOCAL, None)];
    let index = u32::from_ne_bytes(*index);
    Some(
        subnets
            .into_iter()
            .flatten()
            .map(|net| (index, net))
            .collect(),
    )
}

/// The destination of a route, with each interface that it leads through.
fn of_route(message: &[u8]) -> Option<Vec<(u32, IpNet)>> {
    let [family, length, _, _, _, _, _, kind, ..] = message.first_chunk::<SIZEOF_RTMSG>()?;
    let rest = message.get(SIZEOF_RTMSG..)?;
    if *kind != RTN_UNICAST {
        return None;
    }
    let to = match attribute(rest, RTA_DST) {
        Some(bytes) => address(bytes)?,
        None if u16::from(*family) == AddressFamily::INET.as_raw() => Ipv4Addr::UNSPECIFIED.into(),
        None => Ipv6Addr::UNSPECIFIED.into(),
    };
    let to = IpNet::new(to, *length).ok()?;
    let mut ways: Vec<_> = attribute(rest, RTA_OIF)
        .and_then(number)
        .into_iter()
        .collect();
    let mut hops = attribute(rest, RTA_MULTIPATH).unwrap_or_default();
    while let Some(hop) = hops.first_chunk::<SIZEOF_RTNEXTHOP>() {
        let [low, high, _, _, index @ ..] = hop;
        ways.push(u32::from_ne_bytes(*index));
        let length = usize::from(u16::from_ne_bytes([*low, *high]));
        let next = length.max(SIZEOF_RTNEXTHOP).next_multiple_of(4);
        hops = hops.get(next..).unwrap_or_default();
    }
    Some(ways.into_iter().map(|index| (index, to)).collect())
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => Some(Ipv4Addr::from(*bytes.first_chunk::<4>()?).into()),
        16 => Some(Ipv6Addr::from(*bytes.first_chunk::<16>()?).into()),
        _ => None,
    }
}

fn number(bytes: &[u8]) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.first_chunk()?))
}

fn names(indices: impl Iterator<Item = u32>) -> io::Result<BTreeMap<u32, String>> {
    let socket = rustix::net::socket_with(
        AddressFamily::UNIX,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    let mut names = BTreeMap::new();
    for index in indices {
        if !names.contains_key(&index)
            && let Ok(name) = index_to_name(&socket, index)
        {
            names.insert(index, name);
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::socket::attr;

    fn said(found: Option<Vec<(u32, IpNet)>>) -> Vec<String> {
        let found = found.unwrap_or_default().into_iter();
        found.map(|(index, net)| format!("{index} {net}")).collect()
    }

    #[test]
    fn addresses_are_subnets() {
        let message = |scope, length, address: &[u8], local: &[u8]| {
            let mut bytes = vec![2, length, 0, scope];
            bytes.extend(7_u32.to_ne_bytes());
            bytes.extend(attr(IFA_ADDRESS, address));
            bytes.extend(attr(IFA_LOCAL, local));
            bytes
        };
        let lan = message(0, 24, &[192, 168, 0, 40], &[192, 168, 0, 40]);
        assert_eq!(
            said(of_address(&lan)),
            ["7 192.168.0.0/24", "7 192.168.0.40/32"]
        );
        let peer = message(0, 32, &[10, 8, 0, 2], &[10, 8, 0, 1]);
        assert_eq!(said(of_address(&peer)), ["7 10.8.0.2/32", "7 10.8.0.1/32"]);
        let mut link = vec![0; 16];
        link[..2].copy_from_slice(&[0xfe, 0x80]);
        assert!(said(of_address(&message(RT_SCOPE_LINK, 64, &link, &[]))).is_empty());
        assert!(said(of_address(&message(0, 64, &link, &[]))) == ["7 fe80::/64"]);
        for cut in 0..lan.len() {
            said(of_address(&lan[..cut]));
        }
    }

    #[test]
    fn routes_lead_by_each_of_their_next_hops() {
        let header = |length, kind| vec![2, length, 0, 0, 254, 0, 0, kind, 0, 0, 0, 0];
        let mut plain = header(8, RTN_UNICAST);
        plain.extend(attr(RTA_DST, &[10, 0, 0, 0]));
        plain.extend(attr(RTA_OIF, &3_u32.to_ne_bytes()));
        assert_eq!(said(of_route(&plain)), ["3 10.0.0.0/8"]);
        let hop = |index: u32| {
            let gateway = attr(5, &[10, 0, 0, 1]);
            let mut bytes = ((SIZEOF_RTNEXTHOP + gateway.len()) as u16)
                .to_ne_bytes()
                .to_vec();
            bytes.extend([0, 0]);
            bytes.extend(index.to_ne_bytes());
            bytes.extend(gateway);
            bytes
        };
        let mut many = header(0, RTN_UNICAST);
        many.extend(attr(RTA_MULTIPATH, &[hop(3), hop(4)].concat()));
        assert_eq!(said(of_route(&many)), ["3 0.0.0.0/0", "4 0.0.0.0/0"]);
        let mut dead = header(8, 6);
        dead.extend(attr(RTA_DST, &[10, 0, 0, 0]));
        assert!(of_route(&dead).is_none());
        for cut in 0..many.len() {
            said(of_route(&many[..cut]));
        }
    }
}
