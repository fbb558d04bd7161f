//! The graph, independent of the output format. Indices refer to the lists of [`Graph`].

use ipnet::IpNet;

use virt_forward_policy::config::RuleId;

use crate::status::NetworkState;

/// A diagram of one host.
#[derive(Debug, Default)]
pub(crate) struct Graph {
    pub(crate) title: String,
    pub(crate) nodes: Vec<Node>,
    /// The names of the groups that have a member.
    pub(crate) groups: Vec<String>,
    pub(crate) externals: Vec<ExternalNode>,
    pub(crate) edges: Vec<Edge>,
}

/// A virtual network.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    /// Safe to print.
    pub(crate) name: String,
    pub(crate) state: NodeState,
    /// libvirt's forward mode.
    pub(crate) mode: String,
    pub(crate) bridge: String,
    pub(crate) subnets: Vec<String>,
    pub(crate) notes: Vec<Note>,
    /// The cause of a faulty state.
    pub(crate) fault: Option<String>,
    pub(crate) guests: Vec<GuestLabel>,
    /// The number of guests beyond those in `guests`.
    pub(crate) omitted_guests: usize,
    /// The group whose box contains the node.
    pub(crate) cluster: Option<usize>,
    /// All groups of the network.
    pub(crate) groups: Vec<usize>,
}

/// The state of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NodeState {
    Open,
    /// Only allow rules open the network; it is in no group.
    Partial,
    /// `virt-forward remove` closed the network.
    AdminClosed,
    /// An isolated network that the config does not open.
    Isolated,
    Closed,
    /// The config opens the network, but traffic does not pass.
    Faulty(NetworkState),
    /// libvirt defines the network and does not run it.
    Inactive,
}

/// The classes of states that formats draw differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NodeStyle {
    Open,
    Partial,
    Closed,
    Faulty,
    Inactive,
}

impl NodeState {
    pub(crate) fn style(self) -> NodeStyle {
        match self {
            Self::Open => NodeStyle::Open,
            Self::Partial => NodeStyle::Partial,
            Self::AdminClosed | Self::Isolated | Self::Closed => NodeStyle::Closed,
            Self::Faulty(_) => NodeStyle::Faulty,
            Self::Inactive => NodeStyle::Inactive,
        }
    }

    /// Whether any traffic to or from other networks passes.
    pub(crate) fn passes_traffic(self) -> bool {
        matches!(self, Self::Open | Self::Partial)
    }
}

/// Traffic with external hosts that passes or fails without a rule of virt-forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Note {
    /// libvirt isolates the network from external hosts.
    IsolatedByLibvirt,
    /// The host does not forward to external hosts, although libvirt would.
    NoOutbound,
    /// libvirt masquerades towards external hosts.
    Masqueraded,
    /// libvirt's routed mode admits connections of external hosts.
    RoutedInbound,
    /// libvirt's open mode has no rules.
    OpenInbound,
    /// libvirt routes the IPv6 subnets of a NAT network.
    RoutedIpv6Inbound,
}

/// A guest as shown on its network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GuestLabel {
    /// Safe to print.
    pub(crate) name: String,
    pub(crate) addresses: Vec<String>,
}

/// External subnets with the same role in groups and allow rules.
#[derive(Clone, Debug)]
pub(crate) struct ExternalNode {
    pub(crate) subnets: Vec<IpNet>,
}

/// One end of an edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum EdgeEnd {
    Node(usize),
    Group(usize),
    External(usize),
}

/// What an edge stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum EdgeKind {
    /// All traffic, in both directions.
    Peers { keep_source: bool },
    /// The traffic of one `[[allow]]` rule, in one direction.
    Allow(AllowLabel),
    /// A further group of a network.
    Member,
}

/// An allow rule as shown on its edge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AllowLabel {
    /// The name or the number of the rule.
    pub(crate) id: RuleId,
    /// The protocols and ports.
    pub(crate) traffic: String,
    /// The source, where it is only a part of a network.
    pub(crate) from: Option<IpNet>,
    /// The destination, where it is only a part of a network.
    pub(crate) to: Option<IpNet>,
}

/// A connection from each of the sources to each of the destinations.
#[derive(Clone, Debug)]
pub(crate) struct Edge {
    pub(crate) kind: EdgeKind,
    pub(crate) from: Vec<EdgeEnd>,
    pub(crate) to: Vec<EdgeEnd>,
    /// No traffic passes, because no network on one of the sides is open.
    pub(crate) is_inactive: bool,
}

impl Edge {
    /// Sources and destinations; the flag tells whether an arrowhead is at that end.
    pub(crate) fn ends(&self) -> impl Iterator<Item = (EdgeEnd, bool)> {
        let has_from_arrow = matches!(self.kind, EdgeKind::Peers { .. });
        let has_to_arrow = !matches!(self.kind, EdgeKind::Member);
        let from = self.from.iter().map(move |end| (*end, has_from_arrow));
        from.chain(self.to.iter().map(move |end| (*end, has_to_arrow)))
    }
}

impl Graph {
    /// The nodes in the box of `cluster`, with their indices.
    pub(crate) fn nodes_in(&self, cluster: Option<usize>) -> impl Iterator<Item = (usize, &Node)> {
        let nodes = self.nodes.iter().enumerate();
        nodes.filter(move |(_, node)| node.cluster == cluster)
    }
}
