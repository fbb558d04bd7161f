//! Interfaces of the host, and its routes.

use std::{
    collections::BTreeSet,
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::Path,
};

use ipnet::IpNet;

use crate::{network::KernelName, paths};

/// `RTF_UP`, `RTF_REJECT` (linux/route.h): it is in use; it leads nowhere.
const UP: u32 = 0x1;
const REJECT: u32 = 0x200;

/// Whether there is such an interface now. Where that cannot be told, there is: to forget a
/// network closes it, and one too many opens nothing.
pub fn has(name: &KernelName) -> bool {
    let path = Path::new(paths::INTERFACES).join(name.as_str());
    path.try_exists().unwrap_or(true)
}

/// Whether there is such a bridge now: another interface is none that libvirt made for a network.
pub fn has_bridge(name: &KernelName) -> bool {
    let path = Path::new(paths::INTERFACES).join(name.as_str());
    path.join("bridge").try_exists().unwrap_or(false)
}

/// The interfaces that packets to `subnet`, or to some address in it, leave by, as the main
/// routing table says; none where there is no route.
pub fn ways_to(subnet: IpNet) -> BTreeSet<String> {
    let (path, route): (_, fn(&str) -> Option<Route>) = match subnet {
        IpNet::V4(_) => (paths::IPV4_ROUTES, route4),
        IpNet::V6(_) => (paths::IPV6_ROUTES, route6),
    };
    // Without a file there is no IPv6, or no network at all.
    ways(&fs::read_to_string(path).unwrap_or_default(), route, subnet)
}

/// A route.
struct Route {
    to: IpNet,
    metric: u32,
    interface: String,
}

/// The best route to the whole of it, and all to parts of it.
fn ways(routes: &str, route: fn(&str) -> Option<Route>, subnet: IpNet) -> BTreeSet<String> {
    let routes = routes.lines().filter_map(route);
    let (whole, others): (Vec<_>, Vec<_>) = routes.partition(|route| route.to.contains(&subnet));
    let best = whole.into_iter().max_by_key(|route| {
        let prefix = route.to.prefix_len();
        (prefix, std::cmp::Reverse(route.metric))
    });
    let parts = others
        .into_iter()
        .filter(|route| subnet.contains(&route.to));
    best.into_iter()
        .chain(parts)
        .map(|route| route.interface)
        .collect()
}

/// A line of /proc/net/route: interface, destination, gateway, flags, two counters, metric,
/// mask; addresses as the machine keeps their bytes.
fn route4(line: &str) -> Option<Route> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let [interface, to, _, flags, _, _, metric, mask, ..] = fields[..] else {
        return None;
    };
    let address = |hex| {
        let number = u32::from_str_radix(hex, 16).ok()?;
        Some(Ipv4Addr::from(number.to_ne_bytes()))
    };
    if u32::from_str_radix(flags, 16).ok()? & (UP | REJECT) != UP {
        return None;
    }
    let to = IpNet::with_netmask(address(to)?.into(), address(mask)?.into());
    Some(Route {
        to: to.ok()?,
        metric: metric.parse().ok()?,
        interface: interface.to_owned(),
    })
}

/// A line of /proc/net/ipv6_route: destination, its length, source, its length, gateway,
/// metric, two counters, flags, interface; all but the interface in hexadecimal.
fn route6(line: &str) -> Option<Route> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let [to, length, _, _, _, metric, _, _, flags, interface] = fields[..] else {
        return None;
    };
    if u32::from_str_radix(flags, 16).ok()? & (UP | REJECT) != UP {
        return None;
    }
    let to = Ipv6Addr::from(u128::from_str_radix(to, 16).ok()?);
    let length = u8::from_str_radix(length, 16).ok()?;
    Some(Route {
        to: IpNet::new(IpAddr::V6(to), length).ok()?,
        metric: u32::from_str_radix(metric, 16).ok()?,
        interface: interface.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_and_cheapest_route_is_taken() {
        let routes = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
            eth0\t00000000\t0100A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n\
            wlan0\t00000000\t0100A8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0\n\
            eth1\t0000A8C0\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n\
            lo\t0000000A\t00000000\t0201\t0\t0\t0\t000000FF\t0\t0\t0\n";
        let way = |to: &str| {
            let ways = ways(routes, route4, to.parse().unwrap());
            ways.into_iter().collect::<Vec<_>>().join(" ")
        };
        assert_eq!(way("192.168.0.0/24"), "eth1");
        assert_eq!(way("172.16.0.0/16"), "eth0");
        assert_eq!(way("10.1.0.0/16"), "eth0");
        assert_eq!(way("192.168.0.0/15"), "eth0 eth1");
        assert!(ways("", route4, "10.0.0.0/8".parse().unwrap()).is_empty());
    }

    #[test]
    fn ipv6_routes_are_read_too() {
        let zeros = "0".repeat(32);
        let line = |to: &str, length, flags, interface| {
            format!(
                "{to} {length} {zeros} 00 {zeros} 00000400 00000001 00000000 {flags} {interface}\n"
            )
        };
        let lan = "fd000001000000000000000000000000";
        let routes = [
            line(&zeros, "00", "00000003", "eth0"),
            line(lan, "40", "00000001", "eth1"),
            line(&zeros, "00", "00200200", "lo"),
        ]
        .concat();
        let way = |to: &str| {
            let ways = ways(&routes, route6, to.parse().unwrap());
            ways.into_iter().collect::<Vec<_>>().join(" ")
        };
        assert_eq!(way("fd00:1::/64"), "eth1");
        assert_eq!(way("2001:db8::/32"), "eth0");
        assert_eq!(way("fd00::/8"), "eth0 eth1");
    }
}
