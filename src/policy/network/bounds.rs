//! Limits on the addresses that a network may own.
//!
//! What a network owns decides which sources its guests may use, and each subnet becomes an element
//! of a set. Users who may define networks need not be root, so both have an upper limit: without one, two
//! routes of half the Internet each would make every source a guest's own, and fifty thousand
//! subnets would keep every rebuild of the table busy for half a minute.

use std::fmt;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// Most subnets of one network, after aggregation.
pub const MOST_SUBNETS: usize = 1024;
/// Most IPv4 addresses: all private ones (RFC 1918) are half as many.
const MOST_IPV4: u128 = 1 << 25;
/// Most IPv6 addresses: as many as there are unique local ones (RFC 4193).
const MOST_IPV6: u128 = 1 << 121;

/// A limit that a network exceeds: it is known, and closed whatever the config says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Excess {
    /// Its `<ip>` elements alone hold too many addresses.
    Addresses,
    /// It has more than [`MOST_SUBNETS`] subnets.
    Subnets,
}

/// `it has more than 1024 subnets`
impl fmt::Display for Excess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Addresses => {
                f.write_str("its <ip> elements hold more than 2^25 IPv4 or 2^121 IPv6 addresses")
            }
            Self::Subnets => write!(f, "it has more than {MOST_SUBNETS} subnets"),
        }
    }
}

/// The subnets of one family, aggregated and within the limit.
pub(super) struct Bounded<N> {
    pub(super) subnets: Vec<N>,
    /// Whether the routes are left out, as they hold too many addresses.
    pub(super) is_without_routes: bool,
    /// Whether there are too many addresses even without routes.
    pub(super) is_too_broad: bool,
}

pub(super) fn ipv4(ip: Vec<Ipv4Net>, routes: Vec<Ipv4Net>) -> Bounded<Ipv4Net> {
    let size = |net: &Ipv4Net| addresses(32 - net.prefix_len());
    bounded(ip, routes, Ipv4Net::aggregate, size, MOST_IPV4)
}

pub(super) fn ipv6(ip: Vec<Ipv6Net>, routes: Vec<Ipv6Net>) -> Bounded<Ipv6Net> {
    let size = |net: &Ipv6Net| addresses(128 - net.prefix_len());
    bounded(ip, routes, Ipv6Net::aggregate, size, MOST_IPV6)
}

/// Addresses are counted after aggregation.
fn bounded<N: Clone>(
    ip: Vec<N>,
    routes: Vec<N>,
    aggregate: fn(&Vec<N>) -> Vec<N>,
    size: impl Fn(&N) -> u128,
    most: u128,
) -> Bounded<N> {
    let fits = |subnets: &[N]| subnets.iter().map(&size).fold(0, u128::saturating_add) <= most;
    let all = aggregate(&[ip.clone(), routes].concat());
    let is_without_routes = !fits(&all);
    let subnets = if is_without_routes {
        aggregate(&ip)
    } else {
        all
    };
    Bounded {
        is_too_broad: !fits(&subnets),
        is_without_routes,
        subnets,
    }
}

fn addresses(bits: u8) -> u128 {
    1_u128.checked_shl(bits.into()).unwrap_or(u128::MAX)
}

/// A default route through a guest (`<route address='0.0.0.0' prefix='0'>`) makes no address the
/// network's own.
pub(super) fn owned(nets: &[IpNet]) -> impl Iterator<Item = IpNet> + '_ {
    let nets = nets.iter().map(IpNet::trunc);
    nets.filter(|net| net.prefix_len() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{Network, model::tests::network};

    fn shown(network: &Network) -> Vec<String> {
        network.subnets().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_split_of_everything_is_everything() {
        let ip = &["10.17.3.1/24", "fd00::1/64"];
        let quarters: Vec<_> = (0..4).map(|at| format!("{}.0.0.0/2", at * 64)).collect();
        let quarters: Vec<_> = quarters.iter().map(String::as_str).collect();
        let many: Vec<_> = (0..256).map(|at| format!("{at}.0.0.0/8")).collect();
        let many: Vec<_> = many.iter().map(String::as_str).collect();
        for routes in [
            &["0.0.0.0/1", "128.0.0.0/1"][..],
            &["64.0.0.0/2"],
            &["0.0.0.0/0", "128.0.0.0/1"],
            &["::/1", "8000::/1", "0.0.0.0/1"],
            &["11.0.0.0/8", "12.0.0.0/8", "14.0.0.0/8"],
            &quarters,
            &many,
        ] {
            let net = network(ip, routes);
            assert_eq!(shown(&net), ["10.17.3.0/24", "fd00::/64"], "{routes:?}");
            assert!(net.is_without_routes() && net.excess().is_none());
        }
    }

    #[test]
    fn all_private_addresses_are_not_too_many() {
        let private = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"];
        let net = network(&["10.17.3.1/24"], &private);
        assert_eq!(shown(&net), private);
        assert!(!net.is_without_routes() && net.excess().is_none());
        // One family may be too broad, and the other not.
        let net = network(&["10.17.3.1/24"], &["fc00::/6", "10.244.0.0/16"]);
        assert_eq!(shown(&net), ["10.17.3.0/24", "10.244.0.0/16"]);
        assert!(net.is_without_routes());
    }

    #[test]
    fn an_ip_that_is_too_broad_closes() {
        for ip in ["8.0.0.1/6", "f000::1/4"] {
            let net = network(&[ip], &["10.244.0.0/16"]);
            assert_eq!(net.excess(), Some(Excess::Addresses));
            assert!(net.subnets().is_empty() && net.ip_subnets().is_empty());
        }
    }

    #[test]
    fn more_subnets_than_allowed_close_however_they_are_written() {
        let apart = |count: u32| -> Vec<String> {
            let address = |at: u32| std::net::Ipv4Addr::from(0x0a00_0000 + at * 512);
            (0..count).map(|at| format!("{}/24", address(at))).collect()
        };
        let of = |routes: &[String]| {
            let routes: Vec<_> = routes.iter().map(String::as_str).collect();
            network(&["192.168.200.1/24"], &routes).trimmed()
        };
        let fits = of(&apart(1023));
        assert!(fits.excess().is_none());
        assert_eq!(fits.subnets().len(), 1024);
        for count in [1024, 1025, 20_000] {
            let many = of(&apart(count));
            assert_eq!(many.excess(), Some(Excess::Subnets), "{count}");
            assert!(many.subnets().is_empty());
            assert!(many.routes.len() <= MOST_SUBNETS + 1);
        }
        // Fifty thousand neighbours are one.
        let neighbours: Vec<_> = (0..50_000_u32)
            .map(|at| format!("{}/32", std::net::Ipv4Addr::from(0x0a00_0000 + at)))
            .collect();
        assert!(of(&neighbours).excess().is_none());
    }
}
