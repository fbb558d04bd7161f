//! Hosts for tests, without a kernel.

use std::collections::BTreeSet;

use virt_forward_policy::{
    config::Config,
    network::{self, Network},
};
use virt_forward_reconcile::{Inspection, Preview};
use virt_forward_ruleset::gates::Survey;
use virt_forward_system::state::Record;

use super::{Status, StatusInput};
use crate::{
    host::{Host, Interface, Route},
    sysctl::SysctlView,
};

/// A config for the reference networks.
pub(crate) const REFERENCE_CONFIG: &str = "[[group]]\nname = 'kube'\nnetworks = ['kube*']\n\
    peers = ['192.168.0.30', 'fd00:0:0:1::30']\n\
    [[allow]]\nfrom = 'kube05'\nto = 'isolated'\ntcp = [5432]\n\
    [[allow]]\nfrom = '192.168.0.0/24'\nto = 'isolated'\ntcp = [443]";

/// A network for each line `NAME MODE SUBNET…`; its bridge is `br_NAME`.
pub(crate) fn networks(lines: &[&str]) -> Vec<Network> {
    let network = |line: &&str| {
        // A name may contain blanks.
        let modes = [" nat ", " route ", " open ", " isolated "];
        let mode = modes.into_iter().find(|mode| line.contains(mode)).unwrap();
        let (name, words) = line.split_once(mode).unwrap();
        let (mode, words) = (mode.trim(), words.split(' '));
        let forward = match mode {
            "isolated" => String::new(),
            mode => format!("<forward mode='{mode}'/>"),
        };
        let ips = words.map(|word| {
            let (address, prefix) = word.split_once('/').unwrap();
            let family = if address.contains(':') {
                "ipv6"
            } else {
                "ipv4"
            };
            format!("<ip family='{family}' address='{address}' prefix='{prefix}'/>")
        });
        let ips: String = ips.collect();
        let escaped = name.replace('&', "&amp;").replace('<', "&lt;");
        let bridge: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
        let xml = format!(
            "<network><name>{escaped}</name>{forward}<bridge name='br_{bridge}'/>{ips}</network>"
        );
        network::read(xml.as_bytes()).unwrap()
    };
    lines.iter().map(network).collect()
}

/// The networks of the documentation.
pub(crate) fn reference_networks() -> Vec<Network> {
    networks(&[
        "isolated isolated 10.17.9.1/24",
        "kube02 route 10.17.3.1/24 fd00:10:17:3::1/64",
        "kube03 nat 10.17.4.1/24 fd00:10:17:4::1/64",
        "kube05 nat 10.17.5.1/24 fd00:10:17:5::1/64",
    ])
}

/// All networks in one group, as the shipped config has them.
pub(crate) const ALL: &str = "[[group]]\nname='all'\nnetworks=['*']";

pub(crate) fn config(text: &str) -> Config {
    Config::read(text, "config.toml".to_owned()).unwrap()
}

/// The status of a host in its desired state, in a LAN with a router.
pub(crate) fn status(config: &Config, networks: Vec<Network>) -> Status {
    let mut host = Host {
        interfaces: vec![Interface::new("eth0", &["192.168.0.40/24"])],
        routes: vec![Route {
            to: "0.0.0.0/0".parse().unwrap(),
            interface: "eth0".to_owned(),
            gateway: Some("192.168.0.1".parse().unwrap()),
            source: None,
            metric: 0,
        }],
    };
    let bridges = networks.iter().filter_map(|one| one.bridge.as_ref());
    host.interfaces
        .extend(bridges.map(|bridge| Interface::new(bridge.as_str(), &[])));
    let inspection = inspection(config, networks);
    Status::of(&StatusInput {
        config,
        inspection: &inspection,
        host: &host,
        settings: &Loose,
        unmanaged: &BTreeSet::new(),
    })
}

pub(crate) fn inspection(config: &Config, networks: Vec<Network>) -> Inspection {
    let records: Vec<_> = networks
        .into_iter()
        .map(|network| Record::new(config, network))
        .collect();
    let bridges = records.iter().filter_map(|one| one.network.bridge.as_ref());
    let table: String = bridges.map(|bridge| format!("\"{bridge}\"\n")).collect();
    Inspection {
        wanted: Preview {
            records,
            table: Some(table.clone()),
            survey: Survey::default(),
            trouble: None,
            is_libvirt_flushed: false,
            is_host_changed: false,
            host: virt_forward_ruleset::table::Host::default(),
            direct_access: Vec::new(),
            outsiders: Vec::new(),
            is_firewalld_closed: false,
            misfits: Vec::new(),
            usable: config.clone(),
            settings: Vec::new(),
        },
        table: Some(table),
    }
}

struct Loose;

impl SysctlView for Loose {
    fn is_rp_filter_strict(&self, _: &str) -> bool {
        false
    }

    fn forwards(&self, _: &str, _: bool) -> bool {
        true
    }
}
