//! Graphs for tests.

use ipnet::IpNet;
use proptest::prelude::*;
use virt_forward_policy::{config::Config, network::Network};
use virt_forward_system::state::Record;

use super::{
    build::GraphInput,
    model::{
        AllowLabel, Edge, EdgeEnd, EdgeKind, ExternalNode, Graph, GuestLabel, Node, NodeState, Note,
    },
};
use crate::{
    guests::{Guest, Guests},
    status::{NetworkState, fixtures as reference},
};

/// Builds the graph of a host on which everything is in order.
pub(super) fn graph(config: &Config, networks: Vec<Network>, guests: &Guests) -> Graph {
    let status = reference::status(config, networks.clone());
    let records: Vec<_> = networks
        .into_iter()
        .map(|network| Record::new(config, network))
        .collect();
    Graph::build(&GraphInput {
        title: "Virtual networks of kvm1".to_owned(),
        config,
        records: &records,
        status: &status,
        inactive: &[],
        guests,
    })
}

pub(super) fn guest(name: &str, address: &str) -> Guest {
    Guest {
        name: name.to_owned(),
        addresses: vec![address.parse().unwrap()],
    }
}

/// Three networks in a group with a peer, and an isolated network with two allow rules.
pub(super) fn reference() -> Graph {
    let guests = Guests::from([
        ("isolated".to_owned(), vec![guest("db", "10.17.9.21")]),
        (
            "kube02".to_owned(),
            vec![guest("node1", "10.17.3.21"), guest("node2", "10.17.3.22")],
        ),
        ("kube03".to_owned(), vec![guest("node3", "10.17.4.21")]),
        ("kube05".to_owned(), vec![guest("web", "10.17.5.21")]),
    ]);
    let config = reference::config(reference::REFERENCE_CONFIG);
    graph(&config, reference::reference_networks(), &guests)
}

const THREE_GROUPS: &str = "
[[group]]
name = 'web'
networks = ['web*']
peers = ['192.168.0.0/24']
[[group]]
name = 'app'
networks = ['app*']
keep_source = true
peers = ['172.16.0.0/12', 'fd01::/64']
[[group]]
name = 'data'
networks = ['data*', 'app03']
[[allow]]
from = 'web'
to = 'app'
tcp = [8080, 8443]
[[allow]]
from = 'app*'
to = 'data01'
tcp = [5432]
[[allow]]
from = '0.0.0.0/0'
to = 'web02'
tcp = [80, 443]
icmp = true
[[allow]]
from = 'data04'
to = '10.31.2.9'
tcp = ['30000-32767']
udp = [53, 123]";

/// Twelve networks in three groups, and 40 guests.
pub(super) fn three_groups() -> Graph {
    let mut lines = Vec::new();
    let mut guests = Guests::new();
    for (group, name) in ["web", "app", "data"].into_iter().enumerate() {
        for network in 1..=4 {
            lines.push(format!("{name}{network:02} nat 10.3{group}.{network}.1/24"));
            // One network has more guests than fit.
            let count = if name == "data" && network == 4 {
                18
            } else {
                2
            };
            let guests_of_network = (1..=count).map(|at| {
                guest(
                    &format!("{name}{network}-{at}"),
                    &format!("10.3{group}.{network}.{at}"),
                )
            });
            guests.insert(format!("{name}{network:02}"), guests_of_network.collect());
        }
    }
    let lines: Vec<_> = lines.iter().map(String::as_str).collect();
    graph(
        &reference::config(THREE_GROUPS),
        reference::networks(&lines),
        &guests,
    )
}

/// The named graphs.
pub(super) fn all() -> Vec<(&'static str, Graph)> {
    let config = reference::config(reference::ALL);
    let without_guests =
        |lines: &[&str]| graph(&config, reference::networks(lines), &Guests::new());
    let many: Vec<_> = (0..40)
        .map(|at| format!("net{at:02} nat 10.20.{at}.1/24"))
        .collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    vec![
        ("reference", reference()),
        ("three groups", three_groups()),
        ("forty networks", without_guests(&many)),
        (
            "odd names",
            without_guests(&[
                "a\"b<c>&d nat 10.1.1.1/24",
                "größe-網絡 route 10.1.2.1/24",
                "-- x open 10.1.3.1/24",
            ]),
        ),
        (
            "one network",
            without_guests(&["default nat 192.168.122.1/24"]),
        ),
        ("no network", without_guests(&[])),
    ]
}

const STATES: [NodeState; 6] = [
    NodeState::Open,
    NodeState::Partial,
    NodeState::AdminClosed,
    NodeState::Isolated,
    NodeState::Faulty(NetworkState::Blocked),
    NodeState::Inactive,
];

fn node(groups: usize) -> impl Strategy<Value = Node> {
    let name = "\\PC{1,60}";
    let membership = prop::collection::vec(any::<bool>(), groups);
    let guests = prop::collection::vec("[a-z網 ]{1,30}", 0..8);
    let state = prop::sample::select(&STATES[..]);
    (name, membership, guests, state, "[a-z /]{0,90}").prop_map(
        |(name, membership, guests, state, fault)| {
            let groups = membership.iter().enumerate();
            let groups = groups.filter(|(_, is_member)| **is_member);
            let groups: Vec<_> = groups.map(|(group, _)| group).collect();
            Node {
                name,
                state,
                mode: "nat".to_owned(),
                bridge: "virbr0".to_owned(),
                subnets: vec!["10.17.3.0/24".to_owned()],
                notes: vec![Note::Masqueraded],
                fault: (!fault.is_empty()).then_some(fault),
                omitted_guests: guests.len() % 3,
                guests: guests
                    .into_iter()
                    .map(|name| GuestLabel {
                        name,
                        addresses: vec!["10.17.3.21".to_owned()],
                    })
                    .collect(),
                cluster: groups.first().copied(),
                groups,
            }
        },
    )
}

fn edge(ends: Vec<EdgeEnd>) -> impl Strategy<Value = Edge> {
    let side = prop::collection::vec(prop::sample::select(ends), 0..6);
    let kind = prop::sample::select(vec![
        EdgeKind::Peers { keep_source: true },
        EdgeKind::Member,
        EdgeKind::Allow(AllowLabel {
            id: virt_forward_policy::config::RuleId::Number(1),
            traffic: "tcp 22, 80, 443, 30000-32767; udp 53; icmp".to_owned(),
            from: None,
            to: Some("fd00:10:17:4::21/128".parse().unwrap()),
        }),
    ]);
    (kind, side.clone(), side, any::<bool>()).prop_map(|(kind, from, to, is_inactive)| Edge {
        kind,
        from,
        to,
        is_inactive,
    })
}

/// Graphs of any shape: networks in no, one or several groups, and edges between any ends.
pub(super) fn any_graph() -> impl Strategy<Value = Graph> {
    let groups = prop::collection::vec("[a-z]{1,40}", 0..4);
    let externals = prop::collection::vec(1..4_usize, 0..4);
    (groups, externals, 1..24_usize).prop_flat_map(|(groups, externals, nodes)| {
        let ends: Vec<_> = (0..nodes)
            .map(EdgeEnd::Node)
            .chain((0..groups.len()).map(EdgeEnd::Group))
            .chain((0..externals.len()).map(EdgeEnd::External))
            .collect();
        let net: IpNet = "fd00:10:17:3::/64".parse().unwrap();
        let externals: Vec<_> = externals
            .into_iter()
            .map(|count| ExternalNode {
                subnets: vec![net; count],
            })
            .collect();
        let nodes = prop::collection::vec(node(groups.len()), nodes);
        (nodes, prop::collection::vec(edge(ends), 0..8)).prop_map(move |(nodes, edges)| Graph {
            title: "Virtual networks of kvm1".to_owned(),
            nodes,
            groups: groups.clone(),
            externals: externals.clone(),
            edges,
        })
    })
}
