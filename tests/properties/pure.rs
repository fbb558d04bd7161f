//! What holds without a kernel: of what is handed to nft, carried out on sets in memory.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use serde_json::Value;
use virt_forward_policy::{
    self as policy, MatrixEndpoint, Reason,
    config::{Config, Selector, Side},
    network::{Mode, Network},
    overlap,
};
use virt_forward_ruleset::table::{self, Batch, Host, Layout, Member};
use virt_forward_system::state::Record;
use virt_forward_test_support::generate::{Case, Event, case};

/// The sets of the table, each with its elements.
type Sets = BTreeMap<String, BTreeSet<String>>;

/// Carries `batch` out as the kernel would; a delete of what is not there fails.
fn carried_out(sets: &mut Sets, batch: &Batch) {
    let text = batch.to_json().unwrap();
    let all: Value = serde_json::from_str(&text).unwrap();
    for command in all["nftables"].as_array().unwrap() {
        let (verb, object) = command.as_object().unwrap().iter().next().unwrap();
        if verb == "delete" && object.get("table").is_some() {
            sets.clear();
        }
        let (set, is_new) = match (object.get("set"), object.get("element")) {
            (Some(set), _) => (set, true),
            (_, Some(element)) => (element, false),
            _ => continue,
        };
        let name = set["name"].as_str().unwrap().to_owned();
        let elements = set["elem"].as_array().into_iter().flatten();
        if is_new {
            sets.insert(name.clone(), BTreeSet::new());
        }
        let there = sets.get_mut(&name).expect("the set is there");
        for element in elements.map(Value::to_string) {
            if verb == "add" {
                there.insert(element);
            } else {
                assert!(there.remove(&element), "{element} is not in {name}");
            }
        }
    }
}

fn rebuilt(config: &Config, members: &[Member]) -> Sets {
    let mut batch = Batch::default();
    table::replace_table(&mut batch, &Layout::of(config, &Host::default()), members);
    let mut sets = Sets::new();
    carried_out(&mut sets, &batch);
    sets
}

fn record(config: &Config, network: &Network) -> Record {
    Record::new(config, network.clone())
}

fn member(config: &Config, network: &Network) -> Option<Member> {
    let record = record(config, network);
    Member::new(&record.network, &record.access)
}

fn any_order_ends_as_a_rebuild(case: &Case) {
    let config = case.config().unwrap();
    let mut running = BTreeMap::new();
    let mut sets = rebuilt(&config, &[]);
    for (place, event) in case.steps.iter().flatten() {
        let Some(member) = member(&config, &case.networks[*place]) else {
            continue;
        };
        let mut batch = Batch::default();
        match event {
            Event::Start | Event::Update => {
                table::add(&mut batch, &member);
                running.insert(place, member);
            }
            Event::Stop => {
                if let Some(member) = running.remove(place) {
                    table::remove(&mut batch, &member);
                }
            }
        }
        carried_out(&mut sets, &batch);
        let members: Vec<_> = running.values().cloned().collect();
        assert_eq!(sets, rebuilt(&config, &members));
    }
}

/// Whether the config, or the network itself, says that it is in that group.
fn is_named(config: &Config, network: &Network, name: &str) -> bool {
    let group = config.groups.iter().find(|group| group.name == name);
    let named = group.is_some_and(|group| {
        group.networks.iter().any(|one| {
            one.is_exactly(&network.name)
                || one.glob_matches(&network.name) && network.mode != Mode::Isolated
        })
    });
    match network.groups.as_ref().filter(|_| config.metadata) {
        Some(own) => group.is_some() && own.iter().any(|own| own == name),
        None => named,
    }
}

fn nothing_is_opened_that_is_not_named(case: &Case) {
    let config = case.config().unwrap();
    let members = case.networks.iter().map(|network| member(&config, network));
    let members: Vec<_> = members.flatten().collect();
    let sets = rebuilt(&config, &members);
    let is_in = |set: &str, network: &Network| {
        let bridge = network.bridge.as_ref().unwrap().as_str();
        sets.get(set)
            .is_some_and(|set| set.contains(&format!("\"{bridge}\"")))
    };
    for network in &case.networks {
        for group in ["g0", "g1", "g2", "nowhere"] {
            let is_member = is_in(&format!("group_{group}"), network);
            assert_eq!(
                is_member,
                is_named(&config, network, group),
                "{network:?} in {group}"
            );
        }
        let is_open = sets
            .keys()
            .any(|set| set != "bridges" && is_in(set, network));
        let is_closed = record(&config, network).access.is_empty();
        assert!(is_open != is_closed, "{network:?}");
    }
    let records: Vec<_> = case
        .networks
        .iter()
        .map(|one| record(&config, one))
        .collect();
    let pairs: Vec<_> = records
        .iter()
        .map(|one| (&one.network, &one.access))
        .collect();
    for cell in policy::matrix(&config, &pairs) {
        let find = |end: &MatrixEndpoint| {
            let mut networks = case.networks.iter();
            networks
                .find(|one| end.network() == Some(&one.name))
                .unwrap()
        };
        let (from, to) = (find(&cell.from), find(&cell.to));
        let shares = |name: &&String| is_in(name, from) && is_in(name, to);
        let groups = sets.keys().filter(|name| name.starts_with("group_"));
        let is_whole = matches!(cell.reason, Reason::SameGroup { .. });
        assert_eq!(
            is_whole,
            groups.into_iter().any(|name| shares(&name)),
            "{cell:?}"
        );
        let by_rule = config.allows.iter().any(|rule| {
            let id = &rule.id;
            is_in(&format!("allow_{id}_from"), from) && is_in(&format!("allow_{id}_to"), to)
        });
        assert!(
            !cell.reason.is_by_policy() || is_whole || by_rule,
            "{cell:?}"
        );
    }
}

/// A subnet in a rule takes in one network or none, by its `<ip>`; and no claim makes a source its own
/// that is a peer's or everybody's.
fn no_address_is_captured(case: &Case) {
    let config = case.config().unwrap();
    let networks: Vec<_> = case.networks.iter().collect();
    let unused = policy::conflicts(&config, &networks, &[]);
    let usable = policy::without(&config, &unused);
    let records: Vec<_> = networks.iter().map(|one| record(&usable, one)).collect();
    for allow in &config.allows {
        for side in [Side::From, Side::To] {
            let Some(end) = side.of(allow).subnet() else {
                continue;
            };
            let meant = records.iter().filter(|record| match side {
                Side::From => record.access.from.contains(&allow.id),
                Side::To => record.access.to.contains(&allow.id),
            });
            let has = |network: &Network| network.ip_subnets().iter().any(|own| overlap(own, &end));
            let fit = networks
                .iter()
                .filter(|one| one.mode != Mode::Isolated && has(one));
            let (meant, fit): (Vec<_>, Vec<_>) = (meant.collect(), fit.collect());
            assert!(meant.is_empty() || fit.len() == 1, "{end}: {fit:?}");
            assert!(meant.iter().all(|record| has(&record.network)), "{end}");
            let is_all = matches!(side.of(allow).selector, Selector::Outside(_));
            assert!(meant.is_empty() || !is_all, "{end}");
        }
    }
    for record in &records {
        let peers = usable.groups.iter().flat_map(|group| &group.peers);
        for peer in peers {
            let is_peers = record.access.own.iter().find(|own| overlap(own, peer));
            assert_eq!(is_peers, None, "{record:?}");
        }
        let forged = "203.0.113.7".parse::<std::net::IpAddr>().unwrap();
        let mut own = record.access.own.iter();
        assert!(!own.any(|own| own.contains(&forged)), "{record:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn events_in_any_order_end_in_the_elements_of_a_rebuild(case in case()) {
        any_order_ends_as_a_rebuild(&case);
    }

    #[test]
    fn no_network_is_opened_that_nobody_names(case in case()) {
        nothing_is_opened_that_is_not_named(&case);
    }

    #[test]
    fn no_network_is_meant_by_an_address_that_others_have(case in case()) {
        no_address_is_captured(&case);
    }

    #[test]
    fn the_xml_of_a_network_is_read_as_it_was(case in case()) {
        for network in &case.networks {
            let read = virt_forward_policy::network::read(crate::xml::xml(network).as_bytes());
            prop_assert_eq!(&read.unwrap(), network);
        }
    }
}
