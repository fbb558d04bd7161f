//! The wording of the graph.

use ipnet::IpNet;

use super::model::{Edge, EdgeKind, ExternalNode, Graph, GuestLabel, Node, NodeState, Note};
use crate::status::short;

pub(super) const NO_NETWORK: &str = "no network is active";
pub(super) const NO_GROUP: &str = "in no group";

pub(super) fn group(name: &str) -> String {
    format!("group {name}")
}

pub(super) fn state(state: NodeState) -> &'static str {
    match state {
        NodeState::Open => "open",
        NodeState::Partial => "partly open",
        NodeState::AdminClosed => "closed by admin",
        NodeState::Isolated => "isolated",
        NodeState::Closed => "closed",
        NodeState::Faulty(fault) => fault.word(),
        NodeState::Inactive => "inactive",
    }
}

/// `nat, virbr0`
pub(super) fn mode_and_bridge(node: &Node) -> String {
    format!("{}, {}", node.mode, node.bridge)
}

pub(super) fn note(note: Note) -> &'static str {
    match note {
        Note::IsolatedByLibvirt => "no external access",
        Note::NoOutbound => "no outbound access",
        Note::Masqueraded => "outbound: masqueraded",
        Note::RoutedInbound => "routed: reachable from outside",
        Note::OpenInbound => "unfiltered: reachable from outside",
        Note::RoutedIpv6Inbound => "IPv6 routed: reachable from outside",
    }
}

/// `• node1 10.17.3.21`, one line each.
pub(super) fn guests(node: &Node) -> Vec<String> {
    let mut lines: Vec<_> = node.guests.iter().map(guest).collect();
    if node.omitted_guests > 0 {
        lines.push(format!("and {} more", node.omitted_guests));
    }
    lines
}

fn guest(guest: &GuestLabel) -> String {
    let mut line = format!("• {}", guest.name);
    for address in &guest.addresses {
        line.push(' ');
        line.push_str(address);
    }
    line
}

/// All about a network, for formats without a badge for its state.
pub(super) fn node(node: &Node) -> Vec<String> {
    let mut lines = vec![
        format!("{} ({})", node.name, state(node.state)),
        mode_and_bridge(node),
    ];
    lines.extend(node.subnets.iter().cloned());
    lines.extend(node.notes.iter().map(|one| note(*one).to_owned()));
    lines.extend(node.fault.clone());
    lines.extend(guests(node));
    lines
}

pub(super) fn external(external: &ExternalNode) -> Vec<String> {
    external.subnets.iter().map(external_subnet).collect()
}

fn external_subnet(net: &IpNet) -> String {
    if net.prefix_len() == 0 {
        return format!("anywhere, {net}");
    }
    short(net)
}

/// `allow 1: tcp 443 to 10.17.4.21`
pub(super) fn edge(edge: &Edge) -> String {
    let mut label = match &edge.kind {
        EdgeKind::Peers { keep_source: false } => "peers, both directions".to_owned(),
        EdgeKind::Peers { keep_source: true } => {
            "peers, both directions, source address kept".to_owned()
        }
        EdgeKind::Allow(allow) => {
            let part = |word: &str, net: &IpNet| format!(" {word} {}", short(net));
            let from = allow.from.as_ref().map(|net| part("from", net));
            let to = allow.to.as_ref().map(|net| part("to", net));
            let parts: String = from.into_iter().chain(to).collect();
            format!("allow {}: {}{parts}", allow.id, allow.traffic)
        }
        EdgeKind::Member => "also a member".to_owned(),
    };
    if edge.is_inactive {
        label.push_str(" (inactive)");
    }
    label
}

/// An explanation of the symbols that the graph uses; empty without any.
pub(super) fn legend(graph: &Graph) -> String {
    let has_rule = graph
        .edges
        .iter()
        .any(|edge| matches!(edge.kind, EdgeKind::Allow(_)));
    let groups = (!graph.groups.is_empty()).then_some("networks in one box reach each other");
    let rules = has_rule.then_some("a one-way arrow allows only the traffic on its label");
    let parts: Vec<_> = groups.into_iter().chain(rules).collect();
    parts.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{fixtures, model::AllowLabel};

    fn label(kind: EdgeKind, is_inactive: bool) -> String {
        edge(&Edge {
            kind,
            from: Vec::new(),
            to: Vec::new(),
            is_inactive,
        })
    }

    #[test]
    fn an_edge_is_labelled_with_its_traffic() {
        let allow = |from: Option<&str>, to: Option<&str>| {
            EdgeKind::Allow(AllowLabel {
                id: virt_forward_policy::config::RuleId::Number(1),
                traffic: "tcp 443".to_owned(),
                from: from.map(|net| net.parse().unwrap()),
                to: to.map(|net| net.parse().unwrap()),
            })
        };
        assert_eq!(label(allow(None, None), false), "allow 1: tcp 443");
        let part = label(allow(Some("10.17.4.0/25"), Some("10.17.5.21/32")), false);
        assert_eq!(part, "allow 1: tcp 443 from 10.17.4.0/25 to 10.17.5.21");
        let peers = |keep_source| label(EdgeKind::Peers { keep_source }, false);
        assert_eq!(peers(false), "peers, both directions");
        assert_eq!(peers(true), "peers, both directions, source address kept");
        let inactive = label(allow(None, None), true);
        assert_eq!(inactive, "allow 1: tcp 443 (inactive)");
    }

    #[test]
    fn the_legend_explains_only_what_is_in_the_graph() {
        let mut graph = fixtures::reference();
        assert!(legend(&graph).contains("one box") && legend(&graph).contains("arrow"));
        graph.edges.clear();
        assert!(legend(&graph).contains("one box") && !legend(&graph).contains("arrow"));
        assert_eq!(legend(&Graph::default()), "");
    }
}
