//! The elements of the sets in nft's form and in the kernel's form are the same, for any config and
//! networks: the first is loaded when the table is built, the second is compared with a dump of the
//! kernel, and changes it when a network starts or stops.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use ipnet::IpNet;
use nftables::{
    expr::{Expression, NamedExpression},
    schema::{NfCmd, NfListObject},
};
use proptest::prelude::*;
use virt_forward_policy::{access_of, config::Config, network::Network};
use virt_forward_test_support::generate;

use super::super::{
    Batch, ElementChanges, Enabled, Host, Ip, Layout, Member, Op, ReturnPath, SetKey, keys,
    replace_table,
};

type Sets = BTreeMap<String, BTreeSet<SetKey>>;

/// The sets of a batch that builds a table, or the elements that it adds or deletes.
fn sets_of(batch: &Batch) -> Sets {
    let mut sets = Sets::new();
    for command in batch.commands() {
        let (name, elements) = match command {
            NfCmd::Add(NfListObject::Set(set)) => (&set.name, set.elem.as_deref()),
            NfCmd::Add(NfListObject::Element(element))
            | NfCmd::Delete(NfListObject::Element(element)) => {
                (&element.name, Some(element.elem.as_ref()))
            }
            _ => continue,
        };
        let keys = elements.unwrap_or_default().iter().flat_map(keys_of);
        sets.entry(name.to_string()).or_default().extend(keys);
    }
    sets
}

/// The keys that the kernel has for an element of nft's.
fn keys_of(element: &Expression) -> Vec<SetKey> {
    match element {
        Expression::Named(NamedExpression::Elem(element)) => keys_of(&element.val),
        Expression::String(interface) => vec![key(interface_bytes(interface), None)],
        Expression::Named(NamedExpression::Concat(parts)) => {
            let [Expression::String(interface), second] = parts.as_slice() else {
                panic!("{parts:?}");
            };
            let with = |bytes| [interface_bytes(interface), bytes].concat();
            vec![match second {
                // A bridge with itself; it may have a name that reads like an address.
                Expression::String(same) if same == interface => {
                    key(with(interface_bytes(same)), None)
                }
                Expression::String(address) => {
                    key(with(address_bytes(address.parse().unwrap())), None)
                }
                subnet => {
                    let subnet = subnet_of(subnet);
                    let last = with(address_bytes(subnet.broadcast()));
                    key(with(address_bytes(subnet.network())), Some(last))
                }
            }]
        }
        subnet => {
            let subnet = subnet_of(subnet);
            let mut keys = vec![key(address_bytes(subnet.network()), None)];
            keys.extend(following(subnet.broadcast()).map(|next| SetKey {
                is_end: true,
                ..key(address_bytes(next), None)
            }));
            keys
        }
    }
}

fn key(from: Vec<u8>, to: Option<Vec<u8>>) -> SetKey {
    SetKey {
        from,
        to,
        is_end: false,
    }
}

/// The name as the kernel pads it; nft escapes a `*` at its end.
fn interface_bytes(name: &str) -> Vec<u8> {
    let mut bytes = name.replace('\\', "").into_bytes();
    bytes.resize(16, 0);
    bytes
}

fn address_bytes(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

fn subnet_of(expression: &Expression) -> IpNet {
    let Expression::Named(NamedExpression::Prefix(prefix)) = expression else {
        panic!("{expression:?}");
    };
    let Expression::String(address) = prefix.addr.as_ref() else {
        panic!("{prefix:?}");
    };
    format!("{address}/{}", prefix.len).parse().unwrap()
}

/// The next address; none after the last one.
fn following(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V4(address) => Some(IpAddr::V4(u32::from(address).checked_add(1)?.into())),
        IpAddr::V6(address) => Some(IpAddr::V6(u128::from(address).checked_add(1)?.into())),
    }
}

/// A host that needs every kind of set. Of its bridges the first may be a network's, too.
fn host() -> Host {
    let path = |subnet: &str| ReturnPath {
        interface: "eth1".to_owned(),
        subnet: subnet.parse().unwrap(),
    };
    let enabled = |interface: &str, family| Enabled {
        interface: interface.to_owned(),
        family,
    };
    Host {
        enabled: BTreeSet::from([enabled("eth0", Ip::V4), enabled("eth1", Ip::V6)]),
        restricted: BTreeSet::from([Ip::V4, Ip::V6]),
        bridged: BTreeSet::from(["virbr_kube02".to_owned(), "docker0".to_owned()]),
        return_paths: BTreeSet::from([
            path("192.168.0.0/24"),
            path("192.168.1.7/32"),
            path("fd00:1::/64"),
        ]),
        masqueraded: BTreeSet::from(["docker0".to_owned()]),
        ..Host::default()
    }
}

fn members(config: &Config, networks: &[Network]) -> Vec<Member> {
    let enabled = BTreeSet::from([Ip::V4]);
    let members = networks
        .iter()
        .filter_map(|network| Member::new(network, &access_of(config, network)));
    members
        .map(|member| member.with_enabled(&enabled))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn both_forms_of_the_sets_are_the_same(
        text in generate::config(),
        networks in generate::networks(),
        is_plain_host in proptest::bool::ANY,
    ) {
        let config = Config::read(&text, String::new()).unwrap();
        let host = if is_plain_host { Host::default() } else { host() };
        let layout = Layout::of(&config, &host);
        let mut members = members(&config, &networks);
        if is_plain_host {
            let none = BTreeSet::new();
            members = members.into_iter().map(|member| member.with_enabled(&none)).collect();
        }
        let mut batch = Batch::default();
        replace_table(&mut batch, &layout, &members);
        prop_assert_eq!(sets_of(&batch), keys(&layout, &members));
    }

    #[test]
    fn both_forms_of_a_change_are_the_same(
        text in generate::config(),
        networks in generate::networks(),
    ) {
        let config = Config::read(&text, String::new()).unwrap();
        for member in members(&config, &networks) {
            for expected in [Op::Add, Op::Delete] {
                let mut changes = ElementChanges::default();
                match expected {
                    Op::Add => changes.add(member.clone()),
                    Op::Delete => changes.remove(member.clone()),
                }
                let mut batch = Batch::default();
                changes.in_batch(&mut batch);
                let mut sets = Sets::new();
                for (op, element) in changes.elements() {
                    prop_assert_eq!(op, expected);
                    sets.entry(element.set).or_default().insert(element.key);
                }
                prop_assert_eq!(sets_of(&batch), sets);
                let is_of_op = |command: &NfCmd| match command {
                    NfCmd::Add(_) => expected == Op::Add,
                    NfCmd::Delete(_) => expected == Op::Delete,
                    _ => false,
                };
                prop_assert!(batch.commands().iter().all(is_of_op));
            }
        }
    }
}
