//! What libvirtd hands to the hook: who may define networks has written some of it.
#![no_main]

use std::{cell::LazyCell, sync::LazyLock};

use libfuzzer_sys::fuzz_target;
use virt_forward_fuzz::{assert_elements, assert_same, assert_shown, json, xml};
use virt_forward_policy::{
    self as policy,
    config::Config,
    network::{Mode, Network, read},
};
use virt_forward_reconcile::config_conflicts;
use virt_forward_ruleset::gates;
use virt_forward_system::state::{NetworkState, Record};

const CONFIG: &str = include_str!("../config.toml");

static OURS: LazyLock<Config> =
    LazyLock::new(|| Config::read(CONFIG, "config.toml".to_owned()).expect("is right"));

fuzz_target!(|data: &[u8]| {
    let network = match read(data) {
        Ok(network) => network,
        Err(why) => return assert_shown(&why.to_string()),
    };
    match &network.fault {
        // Known and closed, or none that the host routes.
        Some(why) => {
            assert!(!network.is_without_bridge());
            assert_shown(&why.to_string());
        }
        None => assert_eq!(
            read(xml(&network).as_bytes()).expect("is read again"),
            network
        ),
    }
    let again: Network = serde_json::from_str(&json(&network)).expect("is read again");
    assert_same(&again, &network);
    let record = Record::new(&OURS, network);
    assert_access(&record);
    assert_words(&record);
    assert_elements(&record);
    assert_elements(&Record::closed(record.network, NetworkState::AdminClosed));
});

/// It is in no group that neither the config nor itself names, and an isolated one in none by a
/// glob.
fn assert_access(record: &Record) {
    let network = &record.network;
    for name in &record.access.groups {
        let group = OURS.groups.iter().find(|group| group.name == *name);
        let group = group.expect("the config has it");
        let by_name = group
            .networks
            .iter()
            .any(|one| one.is_exactly(&network.name));
        let by_glob = group
            .networks
            .iter()
            .any(|one| one.glob_matches(&network.name));
        let is_named = match &network.groups {
            Some(own) => own.contains(name),
            None => by_name || by_glob && network.mode != Mode::Isolated,
        };
        assert!(is_named, "{record:?}");
    }
}

/// Everything that is said of it, to people and to firewalld.
fn assert_words(record: &Record) {
    let (network, access) = (&record.network, &record.access);
    assert_shown(&access.to_string());
    let networks = || std::iter::once(network);
    let unused = policy::conflicts(&OURS, &[network], &[]);
    for misfit in config_conflicts(&OURS, unused, networks()) {
        assert_shown(&misfit.to_string());
    }
    for inward in policy::inbound_grants(&OURS, network, access) {
        for rule in gates::rich_rules(&inward) {
            let plain = |c: char| c.is_ascii_alphanumeric() || " =\"./:-".contains(c);
            assert!(rule.chars().all(plain), "{rule}");
        }
    }
    let other = LazyCell::new(|| read(&b"<network><name>kube</name><forward/></network>"[..]));
    let other = other.as_ref().expect("is right");
    let theirs = policy::access_of(&OURS, other);
    let ends = policy::external_endpoints(&OURS, networks());
    let pairs = [(network, access), (other, &theirs)];
    let cells = policy::matrix(&OURS, &pairs).into_iter();
    for cell in cells.chain(policy::external_matrix(&OURS, &pairs, &ends)) {
        assert_shown(&cell.reason.to_string());
    }
}
