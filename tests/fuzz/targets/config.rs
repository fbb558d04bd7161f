//! The admin's config: whatever is in it, nft gets what it can take, or a person a line to look at.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde::Serialize;
use toml::{Table, Value};
use virt_forward_fuzz::{assert_same, assert_shown, assert_table, json};
use virt_forward_policy::{
    self as policy,
    config::{Config, ConfigError, PortRange, RuleId, Selector},
    network::{Network, read},
};
use virt_forward_reconcile::{config_conflicts, unresolved_names};
use virt_forward_ruleset::table::Host;
use virt_forward_system::state::{self, Record};

const PATH: &str = "/etc/virt-forward/config.toml";

fuzz_target!(|text: &str| {
    let config = match Config::read(text, PATH.to_owned()) {
        Ok(config) => config,
        Err(why) => return assert_fault(text, &why),
    };
    let printed = printed(&config).to_string();
    let again = Config::read(&printed, PATH.to_owned()).expect("is read again");
    assert_same(&again, &config);
    let layout = state::Layout::of(&config, &policy::Conflicts::default(), &Host::default());
    assert_eq!(layout.mark(), Some(config.mark));
    assert_eq!(layout.extra(), config.extra);
    for error in unresolved_names(&config, |_| false) {
        assert_shown(&error.to_string());
    }
    let mut records = Vec::new();
    for network in networks() {
        let unused = policy::conflicts(&config, &[&network], &[]);
        let left = policy::without(&config, &unused);
        assert!(policy::conflicts(&left, &[&network], &[]).is_empty());
        for error in config_conflicts(&config, unused, std::iter::once(&network)) {
            assert_shown(&error.to_string());
        }
        let record = Record::new(&config, network);
        assert_shown(&record.access.to_string());
        records.push(record);
    }
    assert_table(&config, &records);
});

/// It names a line that is there.
fn assert_fault(text: &str, why: &ConfigError) {
    assert_shown(&why.to_string());
    let ConfigError::Wrong { line, .. } = why else {
        panic!("it was read: {why}");
    };
    let lines = text.bytes().filter(|byte| *byte == b'\n').count() + 1;
    assert!((1..=lines).contains(line), "{why}");
}

fn networks() -> [Network; 2] {
    let read = |xml: &str| read(xml.as_bytes()).expect("is right");
    [
        read(
            "<network><name>kube02</name><forward mode='nat'/><bridge name='virbr1'/>\
             <ip address='10.17.3.1' prefix='24'/><ip family='ipv6' address='fd00::1' prefix='64'/>\
             </network>",
        ),
        read(
            "<network><name>iso</name><bridge name='virbr2'/><ip address='10.9.0.1' prefix='20'/>\
             </network>",
        ),
    ]
}

/// The config as an admin might have written it.
fn printed(config: &Config) -> Table {
    let mut all = Table::new();
    all.insert("mark".into(), Value::Integer(config.mark.bit().into()));
    all.insert("on_error".into(), value(&config.on_error));
    all.insert("metadata".into(), Value::Boolean(config.metadata));
    let groups = config.groups.iter().map(|group| {
        let mut table = Table::new();
        table.insert("name".into(), value(&group.name));
        table.insert("networks".into(), value(&group.networks));
        table.insert("peers".into(), value(&group.peers));
        table.insert("keep_source".into(), value(&group.keep_source));
        Value::Table(table)
    });
    all.insert("group".into(), Value::Array(groups.collect()));
    let allows = config.allows.iter().map(|allow| {
        let mut table = Table::new();
        if let RuleId::Name(name) = &allow.id {
            table.insert("name".into(), value(name));
        }
        table.insert("from".into(), who(&allow.from.selector));
        table.insert("to".into(), who(&allow.to.selector));
        table.insert("tcp".into(), ports(&allow.traffic.tcp));
        table.insert("udp".into(), ports(&allow.traffic.udp));
        table.insert("icmp".into(), value(&allow.traffic.icmp));
        Value::Table(table)
    });
    all.insert("allow".into(), Value::Array(allows.collect()));
    let name = |chain: &virt_forward_policy::netfilter::ChainName| {
        let family = chain.family.word();
        value(&format!("{family} {} {}", chain.table, chain.chain))
    };
    let extra = config.extra.iter().map(name).collect();
    let gates = Table::from_iter([("extra".to_owned(), Value::Array(extra))]);
    all.insert("gates".into(), Value::Table(gates));
    all
}

fn ports(ports: &[PortRange]) -> Value {
    let ports = ports.iter().map(|ports| value(&ports.to_string()));
    Value::Array(ports.collect())
}

fn who(who: &Selector) -> Value {
    match who {
        Selector::Group(name) => value(name),
        Selector::Networks(pattern) => value(pattern),
        Selector::Subnet(net) | Selector::Outside(net) => value(net),
    }
}

fn value<T: Serialize>(of: &T) -> Value {
    serde_json::from_str(&json(of)).expect("TOML has the same kinds of values")
}
