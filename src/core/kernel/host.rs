//! Interfaces of the host, and its routes.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::Path,
};

use ipnet::IpNet;

use crate::{network::BridgeName, paths};

/// `RTF_UP`, `RTF_REJECT` (linux/route.h): it is in use; it leads nowhere.
const UP: u32 = 0x1;
const REJECT: u32 = 0x200;

/// Whether there is such an interface now.
pub fn has(bridge: &BridgeName) -> bool {
    Path::new(paths::INTERFACES).join(bridge.as_str()).exists()
}

/// The interface that packets to `subnet` leave by, as the main routing table says; nothing
/// where there is no route.
pub fn way_to(subnet: IpNet) -> Option<String> {
    let (path, route): (_, fn(&str) -> Option<Route>) = match subnet {
        IpNet::V4(_) => (paths::IPV4_ROUTES, route4),
        IpNet::V6(_) => (paths::IPV6_ROUTES, route6),
    };
    best(&fs::read_to_string(path).ok()?, route, subnet)
}

/// A route.
struct Route {
    to: IpNet,
    metric: u32,
    interface: String,
}

fn best(routes: &str, route: fn(&str) -> Option<Route>, subnet: IpNet) -> Option<String> {
    let routes = routes.lines().filter_map(route);
    let fitting = routes.filter(|route| route.to.contains(&subnet.network()));
    let best = fitting.max_by_key(|route| {
        let prefix = route.to.prefix_len();
        (prefix, std::cmp::Reverse(route.metric))
    });
    best.map(|route| route.interface)
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
        let way = |to: &str| best(routes, route4, to.parse().unwrap());
        assert_eq!(way("192.168.0.0/24").as_deref(), Some("eth1"));
        assert_eq!(way("172.16.0.0/16").as_deref(), Some("eth0"));
        assert_eq!(way("10.1.0.0/16").as_deref(), Some("eth0"));
        assert_eq!(best("", route4, "10.0.0.0/8".parse().unwrap()), None);
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
        let way = |to: &str| best(&routes, route6, to.parse().unwrap());
        assert_eq!(way("fd00:1::/64").as_deref(), Some("eth1"));
        assert_eq!(way("2001:db8::/32").as_deref(), Some("eth0"));
    }
}
