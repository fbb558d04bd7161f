//! Decides what is in the graph.

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use virt_forward_policy::{
    self as policy, MatrixEndpoint, Reachability,
    config::{AllowRule, Config, Group, RuleEndpoint, RuleId, Selector},
    network::{Mode, Network},
    sanitize::escape,
};
use virt_forward_system::state::Record;

use super::model::{
    AllowLabel, Edge, EdgeEnd, EdgeKind, ExternalNode, Graph, GuestLabel, Node, NodeState, Note,
};
use crate::{
    guests::{Guest, Guests},
    status::{NetworkState, NetworkStatus, Status},
};

/// A network shows at most this many lines of guests.
const MAX_GUEST_LINES: usize = 8;

/// The inputs of a graph.
pub(crate) struct GraphInput<'a> {
    pub(crate) title: String,
    pub(crate) config: &'a Config,
    /// The active networks.
    pub(crate) records: &'a [Record],
    /// The status of the same networks, in the same order.
    pub(crate) status: &'a Status,
    /// Networks that libvirt defines and does not run.
    pub(crate) inactive: &'a [Network],
    pub(crate) guests: &'a Guests,
}

impl Graph {
    /// The graph of `input`. External hosts are in it only beside a network.
    pub(crate) fn build(input: &GraphInput) -> Self {
        let mut graph = Self {
            title: input.title.clone(),
            groups: groups_with_members(input),
            ..Self::default()
        };
        for (record, status) in input.records.iter().zip(&input.status.networks) {
            graph.add_network(input, record, status);
        }
        graph
            .nodes
            .extend(input.inactive.iter().filter_map(inactive_node));
        if graph.nodes.is_empty() {
            return graph;
        }
        let externals = graph.add_externals(input);
        for group in &input.config.groups {
            graph.add_peer_edges(group, &externals);
        }
        for allow in &input.config.allows {
            graph.add_allow_edge(input.records, &externals, allow);
        }
        graph.flag_inactive_edges();
        graph
    }

    fn group(&self, name: &str) -> Option<usize> {
        self.groups.iter().position(|group| group == name)
    }

    /// Adds a node, and an edge to each group but the one whose box contains the node.
    fn add_network(&mut self, input: &GraphInput, record: &Record, status: &NetworkStatus) {
        let names = status.access.groups.iter();
        let groups: Vec<_> = names.filter_map(|name| self.group(name)).collect();
        let node = self.nodes.len();
        for group in groups.iter().skip(1) {
            self.edges.push(Edge {
                kind: EdgeKind::Member,
                from: vec![EdgeEnd::Node(node)],
                to: vec![EdgeEnd::Group(*group)],
                is_inactive: false,
            });
        }
        let network = &record.network;
        let guests = input
            .guests
            .get(&network.name)
            .map_or(&[][..], Vec::as_slice);
        let (guests, omitted_guests) = guest_labels(guests);
        self.nodes.push(Node {
            name: escape(&network.name),
            state: node_state(network.mode, status),
            mode: status.mode.to_string(),
            bridge: status.bridge.clone(),
            subnets: status.subnets.clone(),
            notes: notes(network, input.status),
            fault: status.fault.as_ref().map(ToString::to_string),
            guests,
            omitted_guests,
            cluster: groups.first().copied(),
            groups,
        });
    }

    /// Adds a node for all external subnets of one role. Returns each subnet with its node.
    fn add_externals(&mut self, input: &GraphInput) -> Vec<(IpNet, usize)> {
        let networks = input.records.iter().map(|record| &record.network);
        let mut roles: Vec<Vec<Role>> = Vec::new();
        let mut externals = Vec::new();
        for net in policy::external_endpoints(input.config, networks) {
            let role = roles_of(input.config, &net);
            let known = roles.iter().position(|known| *known == role);
            let index = known.unwrap_or(roles.len());
            match self.externals.get_mut(index) {
                Some(external) => external.subnets.push(net),
                None => {
                    roles.push(role);
                    self.externals.push(ExternalNode { subnets: vec![net] });
                }
            }
            externals.push((net, index));
        }
        externals
    }

    fn add_peer_edges(&mut self, group: &Group, externals: &[(IpNet, usize)]) {
        let Some(index) = self.group(&group.name) else {
            return;
        };
        let mut peers: Vec<usize> = Vec::new();
        for (net, node) in externals {
            if group.peers.contains(net) && !peers.contains(node) {
                peers.push(*node);
            }
        }
        self.edges.extend(peers.into_iter().map(|node| Edge {
            kind: EdgeKind::Peers {
                keep_source: group.keep_source,
            },
            from: vec![EdgeEnd::External(node)],
            to: vec![EdgeEnd::Group(index)],
            is_inactive: false,
        }));
    }

    fn add_allow_edge(
        &mut self,
        records: &[Record],
        externals: &[(IpNet, usize)],
        allow: &AllowRule,
    ) {
        let positions = |is_member: &dyn Fn(&Record) -> bool| -> Vec<usize> {
            let indexed = records.iter().enumerate();
            let members = indexed.filter(|(_, record)| is_member(record));
            members.map(|(index, _)| index).collect()
        };
        let from = positions(&|record| record.access.from.contains(&allow.id));
        let to = positions(&|record| record.access.to.contains(&allow.id));
        // A subnet without an external node is a part of a network.
        let part_of_network = |end: &RuleEndpoint| {
            let subnet = end.subnet()?;
            let is_external = externals.iter().any(|(net, _)| *net == subnet);
            (!is_external).then_some(subnet)
        };
        self.edges.push(Edge {
            kind: EdgeKind::Allow(AllowLabel {
                id: allow.id.clone(),
                traffic: allow.traffic.to_string(),
                from: part_of_network(&allow.from),
                to: part_of_network(&allow.to),
            }),
            from: self.edge_ends(&allow.from, from, externals),
            to: self.edge_ends(&allow.to, to, externals),
            is_inactive: false,
        });
    }

    /// One side of an allow rule that applies to the networks `nodes`.
    fn edge_ends(
        &self,
        end: &RuleEndpoint,
        nodes: Vec<usize>,
        externals: &[(IpNet, usize)],
    ) -> Vec<EdgeEnd> {
        match &end.selector {
            Selector::Group(name) => self.group(name).map(EdgeEnd::Group).into_iter().collect(),
            Selector::Networks(_) => self.collapse_groups(nodes),
            Selector::Subnet(subnet) | Selector::Outside(subnet) => {
                let same = externals.iter().filter(|(net, _)| net == subnet);
                let mut ends: Vec<_> = same.map(|(_, node)| EdgeEnd::External(*node)).collect();
                ends.extend(self.collapse_groups(nodes));
                ends
            }
        }
    }

    /// The ends for `nodes`; a group of several members replaces them if all are in the list.
    fn collapse_groups(&self, mut nodes: Vec<usize>) -> Vec<EdgeEnd> {
        let mut ends = Vec::new();
        for group in 0..self.groups.len() {
            let all = self.nodes.iter().enumerate();
            let members = all.filter(|(_, node)| node.groups.contains(&group));
            let members: Vec<_> = members.map(|(index, _)| index).collect();
            if members.len() > 1 && members.iter().all(|member| nodes.contains(member)) {
                nodes.retain(|node| !members.contains(node));
                ends.push(EdgeEnd::Group(group));
            }
        }
        ends.extend(nodes.into_iter().map(EdgeEnd::Node));
        ends
    }

    fn flag_inactive_edges(&mut self) {
        let passes = |end: &EdgeEnd| match end {
            EdgeEnd::External(_) => true,
            EdgeEnd::Node(node) => self
                .nodes
                .get(*node)
                .is_some_and(|node| node.state.passes_traffic()),
            EdgeEnd::Group(group) => self
                .nodes
                .iter()
                .any(|node| node.groups.contains(group) && node.state.passes_traffic()),
        };
        for edge in &mut self.edges {
            let is_active = edge.from.iter().any(passes) && edge.to.iter().any(passes);
            edge.is_inactive = !is_active && edge.kind != EdgeKind::Member;
        }
    }
}

/// A group without members would show only edges that lead nowhere.
fn groups_with_members(input: &GraphInput) -> Vec<String> {
    let has_member = |name: &String| {
        let mut records = input.records.iter();
        records.any(|record| record.access.groups.contains(name))
    };
    let names = input.config.groups.iter().map(|group| &group.name);
    names.filter(|name| has_member(name)).cloned().collect()
}

fn node_state(mode: Mode, status: &NetworkStatus) -> NodeState {
    match status.state {
        NetworkState::Open if status.access.groups.is_empty() => NodeState::Partial,
        NetworkState::Open => NodeState::Open,
        NetworkState::Closed if status.held => NodeState::AdminClosed,
        NetworkState::Closed if mode == Mode::Isolated => NodeState::Isolated,
        NetworkState::Closed => NodeState::Closed,
        fault => NodeState::Faulty(fault),
    }
}

/// The external traffic of `network` that does not depend on virt-forward, as observed.
fn notes(network: &Network, status: &Status) -> Vec<Note> {
    let passes = |from: &MatrixEndpoint, to: &MatrixEndpoint| {
        let mut pairs = status.outside.iter();
        let pair = pairs.find(|pair| pair.from == *from && pair.to == *to);
        pair.is_none_or(|pair| pair.verdict != Reachability::Closed)
    };
    let own = MatrixEndpoint::Network(network.name.clone());
    let internet = MatrixEndpoint::External(IpNet::V4(Ipv4Net::default()));
    let is_ipv4_blocked = !network.subnets4().is_empty() && !passes(&own, &internet);
    let is_reachable = passes(&internet, &own);
    let note = match network.mode {
        Mode::Isolated => Some(Note::IsolatedByLibvirt),
        _ if is_ipv4_blocked => Some(Note::NoOutbound),
        Mode::Nat => Some(Note::Masqueraded),
        Mode::Route if is_reachable => Some(Note::RoutedInbound),
        Mode::Open if is_reachable => Some(Note::OpenInbound),
        Mode::Route | Mode::Open | Mode::Unrouted | Mode::Unknown => None,
    };
    let has_routed_ipv6 =
        network.mode == Mode::Nat && !network.nat_ipv6 && !network.subnets6().is_empty();
    let mut notes: Vec<_> = note.into_iter().collect();
    if has_routed_ipv6
        && passes(
            &MatrixEndpoint::External(IpNet::V6(Ipv6Net::default())),
            &own,
        )
    {
        notes.push(Note::RoutedIpv6Inbound);
    }
    notes
}

/// The node of a network that is not active; none for one that the host does not route.
fn inactive_node(network: &Network) -> Option<Node> {
    let bridge = network.routed_bridge()?;
    Some(Node {
        name: escape(&network.name),
        state: NodeState::Inactive,
        mode: network.mode.word().to_string(),
        bridge: bridge.to_string(),
        subnets: network.subnets().iter().map(ToString::to_string).collect(),
        notes: Vec::new(),
        fault: None,
        guests: Vec::new(),
        omitted_guests: 0,
        cluster: None,
        groups: Vec::new(),
    })
}

/// The guests to show, and the number of those left out. The count takes the line of one.
fn guest_labels(guests: &[Guest]) -> (Vec<GuestLabel>, usize) {
    let shown_guests = if guests.len() > MAX_GUEST_LINES {
        MAX_GUEST_LINES - 1
    } else {
        guests.len()
    };
    let labels = guests.iter().take(shown_guests).map(|guest| GuestLabel {
        name: escape(&guest.name),
        addresses: guest.addresses.iter().map(ToString::to_string).collect(),
    });
    (labels.collect(), guests.len() - shown_guests)
}

/// What an external subnet takes part in.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Role {
    /// A peer of the group at this position of the config.
    Peer(usize),
    /// The source of this allow rule.
    Source(RuleId),
    /// The destination of this allow rule.
    Destination(RuleId),
}

fn roles_of(config: &Config, net: &IpNet) -> Vec<Role> {
    let mut roles = Vec::new();
    for (position, group) in config.groups.iter().enumerate() {
        if group.peers.contains(net) {
            roles.push(Role::Peer(position));
        }
    }
    for allow in &config.allows {
        if allow.from.subnet().as_ref() == Some(net) {
            roles.push(Role::Source(allow.id.clone()));
        }
        if allow.to.subnet().as_ref() == Some(net) {
            roles.push(Role::Destination(allow.id.clone()));
        }
    }
    roles
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{graph::fixtures, status::fixtures as reference};

    fn graph(config: &str, lines: &[&str]) -> Graph {
        let config = reference::config(config);
        fixtures::graph(&config, reference::networks(lines), &Guests::new())
    }

    #[test]
    fn the_state_of_a_node_follows_from_status_and_mode() {
        let config = reference::config(reference::ALL);
        let networks = reference::networks(&["kube02 nat 10.17.3.1/24"]);
        let status = reference::status(&config, networks);
        let [network] = <[NetworkStatus; 1]>::try_from(status.networks).unwrap();
        let mut network = network;
        assert_eq!(node_state(Mode::Nat, &network), NodeState::Open);
        network.access.groups.clear();
        assert_eq!(node_state(Mode::Nat, &network), NodeState::Partial);
        network.state = NetworkState::Closed;
        assert_eq!(node_state(Mode::Nat, &network), NodeState::Closed);
        assert_eq!(node_state(Mode::Isolated, &network), NodeState::Isolated);
        network.held = true;
        assert_eq!(node_state(Mode::Isolated, &network), NodeState::AdminClosed);
        network.state = NetworkState::Blocked;
        let blocked = NodeState::Faulty(NetworkState::Blocked);
        assert_eq!(node_state(Mode::Nat, &network), blocked);
    }

    #[test]
    fn notes_name_the_traffic_that_libvirt_decides() {
        let networks = reference::networks(&[
            "iso isolated 10.17.1.1/24",
            "nat4 nat 10.17.2.1/24",
            "nat6 nat 10.17.3.1/24 fd00:10:17:3::1/64",
            "routed route 10.17.4.1/24",
            "unfiltered open 10.17.5.1/24",
        ]);
        let config = reference::config(reference::ALL);
        let mut status = reference::status(&config, networks.clone());
        let notes = |status: &Status| -> Vec<_> {
            networks
                .iter()
                .map(|network| notes(network, status))
                .collect()
        };
        let expected = [
            vec![Note::IsolatedByLibvirt],
            vec![Note::Masqueraded],
            vec![Note::Masqueraded, Note::RoutedIpv6Inbound],
            vec![Note::RoutedInbound],
            vec![Note::OpenInbound],
        ];
        assert_eq!(notes(&status), expected);
        for pair in &mut status.outside {
            pair.verdict = Reachability::Closed;
        }
        let [isolated, others @ ..] = &notes(&status)[..] else {
            panic!("no network");
        };
        assert_eq!(*isolated, [Note::IsolatedByLibvirt]);
        for notes in others {
            assert_eq!(notes.first(), Some(&Note::NoOutbound));
        }
    }

    #[test]
    fn the_count_of_omitted_guests_takes_the_line_of_one() {
        let guests: Vec<_> = (1..=9)
            .map(|at| fixtures::guest("web", &format!("10.17.3.{at}")))
            .collect();
        for (guests, shown, omitted) in [(&guests[..8], 8, 0), (&guests[..], 7, 2)] {
            let (labels, count) = guest_labels(guests);
            assert_eq!((labels.len(), count), (shown, omitted));
        }
    }

    #[test]
    fn external_subnets_of_one_role_are_one_node() {
        let config = "[[group]]\nname='a'\nnetworks=['a']\npeers=['192.0.2.1', '192.0.2.4', '192.0.2.9']\n\
            [[allow]]\nfrom='192.0.2.9'\nto='b'\ntcp=[22]";
        let graph = graph(config, &["a nat 10.17.3.1/24", "b nat 10.17.4.1/24"]);
        let counts = graph.externals.iter().map(|one| one.subnets.len());
        assert_eq!(counts.collect::<Vec<_>>(), [2, 1]);
        let ends: Vec<_> = graph
            .edges
            .iter()
            .map(|edge| (&edge.from[..], &edge.to[..]))
            .collect();
        let expected = [
            (&[EdgeEnd::External(0)][..], &[EdgeEnd::Group(0)][..]),
            (&[EdgeEnd::External(1)], &[EdgeEnd::Group(0)]),
            (&[EdgeEnd::External(1)], &[EdgeEnd::Node(1)]),
        ];
        assert_eq!(ends, expected);
    }

    #[test]
    fn a_rule_for_all_members_of_a_group_ends_at_the_group() {
        let config = "[[group]]\nname='app'\nnetworks=['app*']\n\
            [[allow]]\nfrom='app*'\nto='db'\ntcp=[5432]\n\
            [[allow]]\nfrom='app01'\nto='10.17.9.7'\nudp=[53]";
        let lines = [
            "app01 nat 10.17.1.1/24",
            "app02 nat 10.17.2.1/24",
            "db nat 10.17.9.1/24",
        ];
        let graph = graph(config, &lines);
        assert_eq!(graph.edges[0].from, [EdgeEnd::Group(0)]);
        assert_eq!(graph.edges[0].to, [EdgeEnd::Node(2)]);
        assert_eq!(graph.edges[1].from, [EdgeEnd::Node(0)]);
        let EdgeKind::Allow(label) = &graph.edges[1].kind else {
            panic!("{:?}", graph.edges[1]);
        };
        assert_eq!(
            (label.from, label.to),
            (None, Some("10.17.9.7/32".parse().unwrap()))
        );
    }

    #[test]
    fn an_edge_is_inactive_without_an_open_network_on_a_side() {
        let config = reference::config(reference::REFERENCE_CONFIG);
        let networks = reference::reference_networks();
        let mut status = reference::status(&config, networks.clone());
        // `isolated` is the end of both rules; the peers reach other networks.
        status.networks[0].state = NetworkState::Blocked;
        let records: Vec<_> = networks
            .into_iter()
            .map(|network| Record::new(&config, network))
            .collect();
        let graph = Graph::build(&GraphInput {
            title: String::new(),
            config: &config,
            records: &records,
            status: &status,
            inactive: &reference::networks(&["new nat 10.17.8.1/24"]),
            guests: &Guests::new(),
        });
        let inactive: Vec<_> = graph.edges.iter().map(|edge| edge.is_inactive).collect();
        assert_eq!(inactive, [false, true, true]);
        assert_eq!(graph.nodes[4].state, NodeState::Inactive);
    }
}
