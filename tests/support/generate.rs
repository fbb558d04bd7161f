//! Strategies of random networks, configs and orders of events.

use std::collections::BTreeMap;

use ipnet::IpNet;
use proptest::{
    bool, collection, option,
    prelude::{Just, Strategy},
    prop_oneof,
    sample::{select, subsequence},
};
use virt_forward_policy::{
    config::Config,
    network::{Mode, Network},
};

/// Names that a libvirt network can have.
const NAMES: [&str; 8] = [
    "kube02",
    "kube03",
    "lab-1",
    "iso",
    "dmz",
    "a \"b\"; flush ruleset #",
    "größe",
    "-n",
];
/// Names that a bridge can have: some are keywords of nft.
const BRIDGES: [&str; 8] = [
    "virbr_kube02",
    "virbr.new",
    "drop",
    "10.0.0.1",
    "0x10",
    "123456789012345",
    "ip6",
    "-x",
];
/// Names and globs of networks, as a config has them.
const PATTERNS: [&str; 8] = [
    "*",
    "kube*",
    "kube02",
    "lab-?",
    "iso",
    "[!a-y]*",
    "{dmz,größe}",
    "-n",
];
const PEERS: [&str; 6] = [
    "192.168.0.30",
    "192.168.0.0/24",
    "172.16.0.0/12",
    "10.17.0.0/16",
    "fd00:1::/64",
    "fd00:10::1",
];
/// Subnets as ends of `[[allow]]` rules.
const SUBNETS: [&str; 5] = [
    "192.168.0.30",
    "10.17.3.0/24",
    "10.0.0.0/8",
    "fd00::/8",
    "::/0",
];
/// `<route>` destinations: none, those of others, or every address.
const ROUTES: [&[&str]; 5] = [
    &[],
    &[],
    &["192.168.0.0/28", "fd00:1::/96"],
    &["10.17.3.0/25"],
    &["0.0.0.0/1", "128.0.0.0/1"],
];
const PORTS: [&str; 6] = ["22", "80", "\"30000-32767\"", "\"79-81\"", "65535", "1"];

/// Tables of other programs.
const FOREIGN: [&str; 4] = [
    "table ip filter {
       chain FORWARD { type filter hook forward priority filter; policy drop; }
     }",
    "table ip6 filter {
       chain FORWARD {
         type filter hook forward priority filter; policy accept;
         iifname x counter accept
         counter reject
       }
     }",
    "table inet own {
       chain inner {
         tcp dport { 22, 80 } accept
       }
       chain forward {
         type filter hook forward priority 5; policy drop;
         ct state established accept
         jump inner
       }
     }",
    "table inet early {
       chain forward {
         type filter hook forward priority -300; policy accept;
         ct state invalid drop
       }
     }",
];

/// An event of a network; it can also occur for one that is not active.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The network starts, unless it is active.
    Start,
    /// The definition changes.
    Update,
    /// The network stops, if it is active.
    Stop,
}

/// A host and the events on it.
#[derive(Clone, Debug)]
pub struct Case {
    /// The text of the config file.
    pub config: String,
    /// The networks that libvirt defines.
    pub networks: Vec<Network>,
    /// Tables of other programs, as nft reads them.
    pub foreign: Vec<&'static str>,
    /// Events of different networks at the same time, by their indexes in `networks`.
    pub steps: Vec<BTreeMap<usize, Event>>,
}

impl Case {
    /// The config that the text means; none where it is wrong, which it never is.
    pub fn config(&self) -> Option<Config> {
        Config::read(&self.config, "config.toml".to_owned()).ok()
    }
}

/// Any host and any order of events.
pub fn case() -> impl Strategy<Value = Case> {
    let networks = networks().prop_filter("some", |networks| !networks.is_empty());
    networks.prop_flat_map(|networks| {
        let foreign = subsequence(FOREIGN.to_vec(), 0..=FOREIGN.len());
        let steps = collection::vec(step(networks.len()), 1..8);
        let case = (config(), Just(networks), foreign, steps);
        case.prop_map(|(config, networks, foreign, steps)| Case {
            config,
            networks,
            foreign,
            steps,
        })
    })
}

fn step(networks: usize) -> impl Strategy<Value = BTreeMap<usize, Event>> {
    let event = prop_oneof![
        3 => Just(Event::Start),
        1 => Just(Event::Update),
        2 => Just(Event::Stop),
    ];
    collection::btree_map(0..networks, event, 1..=networks.min(4))
}

/// Networks with distinct names and bridges; the subnets of some overlap.
pub fn networks() -> impl Strategy<Value = Vec<Network>> {
    let names = subsequence(NAMES.to_vec(), 1..=6).prop_shuffle();
    let bridges = Just(BRIDGES.to_vec()).prop_shuffle();
    let rest = collection::vec(details(), 8);
    (names, bridges, rest).prop_map(|(names, bridges, rest)| {
        let all = names.into_iter().zip(bridges).zip(rest).enumerate();
        let network = |(at, ((name, bridge), rest)): (usize, ((&str, &str), Details))| Network {
            name: name.to_owned(),
            mode: rest.mode,
            bridge: bridge.parse().ok(),
            forward_dev: None,
            zone: None,
            nat_ipv6: rest.nat_ipv6,
            addresses: rest.addresses(at),
            routes: rest.routes(at),
            groups: rest.groups,
            fault: None,
        };
        all.map(network).collect()
    })
}

#[derive(Clone, Debug)]
struct Details {
    mode: Mode,
    nat_ipv6: bool,
    ipv4: Option<u8>,
    ipv6: Option<u8>,
    route: bool,
    claims: &'static [&'static str],
    groups: Option<Vec<String>>,
}

impl Details {
    fn addresses(&self, at: usize) -> Vec<IpNet> {
        let ipv4 = self
            .ipv4
            .map(|length| format!("10.17.{}.1/{length}", at * 16));
        let ipv6 = self.ipv6.map(|length| format!("fd00:10:{at}::1/{length}"));
        let all = ipv4.into_iter().chain(ipv6);
        all.filter_map(|net| net.parse().ok()).collect()
    }

    fn routes(&self, at: usize) -> Vec<IpNet> {
        let route = self.route.then(|| format!("10.{}.0.0/16", 100 + at));
        let claims = self.claims.iter().map(|net| (*net).to_owned());
        let all = route.into_iter().chain(claims);
        all.filter_map(|net| net.parse().ok()).collect()
    }
}

fn details() -> impl Strategy<Value = Details> {
    let modes = [
        Mode::Nat,
        Mode::Nat,
        Mode::Route,
        Mode::Open,
        Mode::Isolated,
    ];
    let groups = collection::vec(select(vec!["g0", "g1", "nowhere"]), 0..3);
    let details = (
        select(modes.to_vec()),
        bool::ANY,
        // The short prefixes overlap other networks.
        option::weighted(0.9, select(vec![16_u8, 20, 24, 24, 30])),
        option::of(select(vec![32_u8, 48, 64, 64, 120])),
        bool::weighted(0.3),
        select(ROUTES.to_vec()),
        option::weighted(0.2, groups),
    );
    details.prop_map(
        |(mode, nat_ipv6, ipv4, ipv6, route, claims, groups)| Details {
            mode,
            nat_ipv6,
            ipv4,
            // libvirt enables IPv6 forwarding for all networks but isolated ones, and never disables it.
            ipv6: ipv6.filter(|_| mode != Mode::Isolated),
            route,
            claims,
            groups: groups.map(|names| names.into_iter().map(str::to_owned).collect()),
        },
    )
}

/// The text of a valid config with up to two groups and two rules.
pub fn config() -> impl Strategy<Value = String> {
    let marks = select(vec!["0x10000000", "0x1", "0x80000000"]);
    let groups = collection::vec(group(), 0..3);
    let rules = collection::vec((bool::weighted(0.3), rule()), 0..3);
    let parts = (marks, bool::weighted(0.8), bool::ANY, groups, rules);
    let text = parts.prop_map(|(mark, metadata, extra, groups, rules)| {
        let mut text = format!("mark = {mark}\nmetadata = {metadata}\ngroup = [");
        for (number, group) in groups.iter().enumerate() {
            text += &format!("\n  {{ name = \"g{number}\", {group} }},");
        }
        text += "\n]\nallow = [\n";
        for (number, (has_name, rule)) in rules.iter().enumerate() {
            let name = if *has_name {
                format!("name = \"r{number}\", ")
            } else {
                String::new()
            };
            text += &format!("  {{ {name}{rule} }},\n");
        }
        text += "]\n";
        if extra {
            text += "[gates]\nextra = [\"inet own forward\"]\n";
        }
        text
    });
    let is_right = |text: &String| Config::read(text, String::new()).is_ok();
    text.prop_filter("one family", is_right)
}

fn group() -> impl Strategy<Value = String> {
    let networks = subsequence(PATTERNS.to_vec(), 0..4);
    let peers = option::weighted(0.4, subsequence(PEERS.to_vec(), 0..4));
    (networks, peers, bool::ANY).prop_map(|(networks, peers, keeps)| {
        let peers = peers.unwrap_or_default();
        format!("networks = {networks:?}, peers = {peers:?}, keep_source = {keeps}")
    })
}

fn rule() -> impl Strategy<Value = String> {
    let end = || {
        prop_oneof![
            select(PATTERNS.to_vec()),
            select(SUBNETS.to_vec()),
            select(vec!["g0", "g1"]),
        ]
    };
    let ports = || subsequence(PORTS.to_vec(), 0..4);
    (end(), end(), ports(), ports(), bool::ANY).prop_map(|(from, to, tcp, udp, icmp)| {
        let (tcp, udp) = (tcp.join(", "), udp.join(", "));
        // A rule that allows nothing is an error.
        let icmp = icmp || tcp.is_empty() && udp.is_empty();
        format!("from = {from:?}, to = {to:?}, tcp = [{tcp}], udp = [{udp}], icmp = {icmp}")
    })
}
