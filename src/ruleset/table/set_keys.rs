//! The elements of the table's sets in the kernel's form, to compare them with a dump and to change
//! them by netlink.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use ipnet::IpNet;

use super::{Ip, Layout, Member, chains, sets};
use virt_forward_policy::{network::KernelName, sanitize};

/// The key of an element, byte for byte as the kernel has it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SetKey {
    /// The only value, or the first.
    pub from: Vec<u8>,
    /// The last value, in a set of intervals of concatenated values. It is always present there, even
    /// for a single address: nft reads an element without it as the start of a range up to the next
    /// element, and a listing that is loaded again would open that range.
    pub to: Option<Vec<u8>>,
    /// Whether it is the end of an interval, in a set of plain intervals: the first value after it.
    pub is_end: bool,
}

/// An element of a set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Element {
    /// The name of the set.
    pub set: String,
    /// The key.
    pub key: SetKey,
    /// The comment, which is the network's name.
    pub comment: Option<String>,
}

/// The size to which the kernel pads the name of an interface (linux/if.h).
const IFNAMSIZ: usize = 16;

/// Every set of the table with `members`, by name, with the keys of its elements.
pub fn keys(layout: &Layout, members: &[Member]) -> BTreeMap<String, BTreeSet<SetKey>> {
    let mut sets: BTreeMap<String, BTreeSet<SetKey>> = BTreeMap::new();
    for set in [sets::BRIDGES, sets::SAME_BRIDGE] {
        sets.insert(set.to_owned(), BTreeSet::new());
    }
    for family in [Ip::V4, Ip::V6] {
        if layout.host.restricted.contains(&family) {
            let others = layout.host.enabled_of(family).map(interface_key);
            sets.insert(chains::enabled_set(family).to_owned(), others.collect());
        }
        let paths = layout
            .host
            .return_paths_of(family)
            .map(|path| range(&path.interface, &path.subnet));
        put_some(&mut sets, chains::paths_set(family), paths.collect());
    }
    let masqueraded = layout.host.masqueraded.iter();
    let masqueraded = masqueraded.map(|name| interface_key(name));
    put_some(&mut sets, chains::MASQUERADED, masqueraded.collect());
    for name in chains::others_bridged(layout, members) {
        let pair = [padded(name), padded(name)].concat();
        let set = sets.entry(sets::SAME_BRIDGE.to_owned());
        set.or_default().insert(single(pair));
    }
    for subnets in &sets::SUBNETS {
        sets.insert(subnets.set.to_owned(), BTreeSet::new());
    }
    for set in layout.sets() {
        sets.insert(set, BTreeSet::new());
    }
    for group in &layout.groups {
        let subnets = sets::SUBNETS.iter();
        for set in subnets.filter_map(|subnets| subnets.of_group(&group.name)) {
            sets.insert(set, BTreeSet::new());
        }
        for peers in group.peers() {
            sets.insert(peers.set, peers.subnets.iter().flat_map(bounds).collect());
        }
    }
    let mut put = |set: &str, key: SetKey| {
        sets.entry(set.to_owned()).or_default().insert(key);
    };
    for element in members.iter().flat_map(elements_of) {
        put(&element.set, element.key);
    }
    sets
}

/// The elements of a network, the same as [`add`](super::add) adds by nft.
pub(super) fn elements_of(member: &Member) -> Vec<Element> {
    let Member {
        name: network,
        bridge,
        subnets,
        ..
    } = member;
    let element = |set: &str, key, comment| Element {
        set: set.to_owned(),
        key,
        comment,
    };
    let comment = || Some(sanitize::comment(network));
    let mut all = vec![
        element(sets::BRIDGES, single(name(bridge)), comment()),
        element(
            sets::SAME_BRIDGE,
            single([name(bridge), name(bridge)].concat()),
            None,
        ),
    ];
    for subnet in subnets {
        let set = sets::set_of(subnet);
        let key = if set.is_masked() {
            single(with_address(bridge.as_str(), subnet.network()))
        } else {
            interval(bridge, subnet)
        };
        for group in &member.groups {
            let of_group = set.of_group(group);
            all.extend(of_group.map(|set| element(&set, key.clone(), None)));
        }
        all.push(element(set.set, key, comment()));
    }
    for set in member.bridge_sets() {
        all.push(element(set, single(name(bridge)), None));
    }
    all
}

fn single(value: Vec<u8>) -> SetKey {
    SetKey {
        from: value,
        to: None,
        is_end: false,
    }
}

fn interface_key(interface: &str) -> SetKey {
    single(padded(interface))
}

/// Adds a set that the table has only where it has elements.
fn put_some(sets: &mut BTreeMap<String, BTreeSet<SetKey>>, set: &str, keys: BTreeSet<SetKey>) {
    if !keys.is_empty() {
        sets.insert(set.to_owned(), keys);
    }
}

fn interval(bridge: &KernelName, subnet: &IpNet) -> SetKey {
    range(bridge.as_str(), subnet)
}

fn range(interface: &str, subnet: &IpNet) -> SetKey {
    SetKey {
        from: with_address(interface, subnet.network()),
        to: Some(with_address(interface, subnet.broadcast())),
        is_end: false,
    }
}

/// The keys of an interval of plain addresses: its first address and, marked as an end, the address
/// after its last one; no end where that would be beyond the last address of the family.
fn bounds(subnet: &IpNet) -> Vec<SetKey> {
    let bytes = |address: IpAddr| match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    let after = match subnet.broadcast() {
        IpAddr::V4(last) => u32::from(last)
            .checked_add(1)
            .map(|next| IpAddr::V4(next.into())),
        IpAddr::V6(last) => u128::from(last)
            .checked_add(1)
            .map(|next| IpAddr::V6(next.into())),
    };
    let end = |after| SetKey {
        is_end: true,
        ..single(bytes(after))
    };
    let start = single(bytes(subnet.network()));
    std::iter::once(start).chain(after.map(end)).collect()
}

fn name(bridge: &KernelName) -> Vec<u8> {
    padded(bridge.as_str())
}

fn padded(interface: &str) -> Vec<u8> {
    let mut bytes = interface.as_bytes().to_vec();
    bytes.resize(IFNAMSIZ, 0);
    bytes
}

fn with_address(interface: &str, address: IpAddr) -> Vec<u8> {
    let mut bytes = padded(interface);
    match address {
        IpAddr::V4(address) => bytes.extend(address.octets()),
        IpAddr::V6(address) => bytes.extend(address.octets()),
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subnet_of_odd_length_is_an_interval() {
        let bridge: KernelName = "virbr0".parse().unwrap();
        let key = interval(&bridge, &"10.0.0.0/22".parse().unwrap());
        assert_eq!(key.from, b"virbr0\0\0\0\0\0\0\0\0\0\0\x0a\0\0\0");
        let to = b"virbr0\0\0\0\0\0\0\0\0\0\0\x0a\0\x03\xff";
        assert_eq!(key.to.as_deref(), Some(&to[..]));
    }

    #[test]
    fn the_set_of_enabled_bridges_exists_only_where_the_layout_has_it() {
        let network = virt_forward_policy::network::read(
            &b"<network><name>n</name><forward mode='nat'/><bridge name='virbr0'/></network>"[..],
        );
        let member =
            Member::new(&network.unwrap(), &virt_forward_policy::Access::default()).unwrap();
        let member = member.with_enabled(&BTreeSet::from([Ip::V4]));
        let mut host = crate::table::Host::default();
        let config = virt_forward_policy::config::Config::default();
        let of = |host: &crate::table::Host, members: &[Member]| {
            let sets = keys(&Layout::of(&config, host), members);
            sets.get("enabled4").map(BTreeSet::len)
        };
        assert_eq!(of(&host, &[]), None);
        host.restricted.insert(Ip::V4);
        // The last such bridge has gone: the set remains until the table is rebuilt.
        assert_eq!(of(&host, &[]), Some(0));
        assert_eq!(of(&host, std::slice::from_ref(&member)), Some(1));
        host.enabled.insert(crate::table::Enabled {
            interface: "eth0".to_owned(),
            family: Ip::V4,
        });
        assert_eq!(of(&host, std::slice::from_ref(&member)), Some(2));
    }

    #[test]
    fn a_single_address_in_an_interval_set_has_an_end() {
        let bridge: KernelName = "virbr0".parse().unwrap();
        for address in ["198.51.100.5/32", "255.255.255.255/32", "fd17:27::5/128"] {
            let key = interval(&bridge, &address.parse().unwrap());
            assert_eq!(key.to.as_ref(), Some(&key.from), "{address}");
        }
    }

    #[test]
    fn neighbours_in_a_set_of_plain_intervals_keep_their_ends() {
        let all: BTreeSet<_> = ["10.0.0.1/32", "10.0.0.2/32", "255.255.255.255/32"]
            .iter()
            .flat_map(|subnet| bounds(&subnet.parse().unwrap()))
            .map(|key| (key.from, key.is_end))
            .collect();
        let expected = [
            (vec![10, 0, 0, 1], false),
            (vec![10, 0, 0, 2], false),
            (vec![10, 0, 0, 2], true),
            (vec![10, 0, 0, 3], true),
            (vec![255; 4], false),
        ];
        assert_eq!(all, BTreeSet::from(expected));
    }
}
