//! The results of the steps of [`evaluate_path`](super::evaluate_path), as data.

use std::net::IpAddr;

use virt_forward_policy::{
    Decision, Denial,
    netfilter::ChainName,
    network::{BridgeName, Mode},
};
use virt_forward_ruleset::gates::{GateState, Owner, Remedy, UnzonedBridge};

use crate::step::StepStatus;

/// What a step examines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// A virtual network and its bridge.
    Network,
    /// A guest and its own routes.
    Guest,
    /// The configuration, and libvirt's own forwarding policy.
    Policy,
    /// The sysctls that enable forwarding on an interface.
    Forwarding,
    /// The routing decision for the packet.
    Route,
    /// The routing decision for its reply.
    ReplyPath,
    /// The table `inet virt_forward`.
    Table,
    /// A gate: the rule in a foreign chain that accepts marked packets.
    Gate,
    /// A foreign chain without a gate.
    Chain,
    /// libvirt's own rules.
    Libvirt,
    /// firewalld's zones and policies.
    Firewalld,
    /// Docker's rules for container addresses.
    Docker,
    /// The source address that the destination sees.
    Source,
}

impl Stage {
    /// The name of the stage, in text and in JSON.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Stage::Network => "network",
            Stage::Guest => "guest",
            Stage::Policy => "policy",
            Stage::Forwarding => "forwarding",
            Stage::Route => "route",
            Stage::ReplyPath => "reply path",
            Stage::Table => "table",
            Stage::Gate => "gate",
            Stage::Chain => "chain",
            Stage::Libvirt => "libvirt",
            Stage::Firewalld => "firewalld",
            Stage::Docker => "docker",
            Stage::Source => "source",
        }
    }

    /// Whether the packet gets there before it gets to rules, or whether no rule decides it.
    pub(super) fn is_routing(self) -> bool {
        matches!(
            self,
            Stage::Network | Stage::Forwarding | Stage::Route | Stage::ReplyPath
        )
    }
}

/// The direction of a packet, relative to the connection that it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Forward,
    Reply,
}

/// The reason for which this host's routing drops a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RouteDrop {
    /// `rp_filter` is strict, and the route back to the source leaves by another interface.
    StrictReversePath {
        source: IpAddr,
        iif: String,
        oif: String,
    },
    /// There is no route back to the source by the interface that the packet arrives on.
    NoReversePath { source: IpAddr, iif: String },
    /// There is no route to the destination.
    NoRoute { destination: IpAddr },
    /// The kernel reports the destination as unreachable from that interface.
    NotForwarded { iif: String, destination: IpAddr },
    /// Any other error of the kernel.
    Other {
        source: IpAddr,
        destination: IpAddr,
        error: String,
    },
}

/// A fault of the table `inet virt_forward`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TableFault {
    /// The table does not exist.
    Missing,
    /// The table is not the one that the configuration requires.
    OutOfSync,
}

/// The program that masquerades a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Masquerader {
    Docker,
    Libvirt,
}

/// The result of one step.
///
/// Names of networks are as libvirt has them: escape them before printing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Finding {
    /// The network is active and its bridge is up.
    NetworkActive { network: String, bridge: BridgeName },
    /// The network has a mode without routing by this host.
    NetworkNotRouted { network: String, mode: Mode },
    /// The bridge of an active network does not exist.
    BridgeMissing { network: String, bridge: BridgeName },
    /// The bridge is down.
    BridgeDown { network: String, bridge: BridgeName },
    /// Neighbour discovery (ARP, NDP) for the address failed.
    NeighbourUnreachable { address: IpAddr, bridge: BridgeName },
    /// libvirt's DHCP gives guests of an isolated network no default route.
    NoDefaultRoute {
        network: String,
        destination: IpAddr,
        /// This host's address in the network.
        gateway: Option<IpAddr>,
    },
    /// Both endpoints are on one bridge.
    SameNetwork { network: String },
    /// Neither endpoint is in a virtual network.
    NoNetwork,
    /// The configuration allows the packet, libvirt does, or nothing does.
    Decided(Decision),
    /// Nothing allows the packet while these networks are closed by the administrator.
    AdminClosed {
        networks: Vec<String>,
        denial: Denial,
    },
    /// The packet is denied by rules of libvirt that were flushed.
    DeniedByFlushedRules(Denial),
    /// The interface forwards what arrives on it.
    ForwardingEnabled {
        interface: String,
        direction: Direction,
    },
    /// The interface does not forward what arrives on it.
    ForwardingDisabled {
        interface: String,
        direction: Direction,
        is_ipv4: bool,
    },
    /// Routing takes the packet, or its reply, to the right interface.
    Routed {
        direction: Direction,
        source: IpAddr,
        destination: IpAddr,
        iif: String,
        oif: String,
    },
    /// No route leads to an external host.
    Unrouted { destination: IpAddr },
    /// Routing takes the packet, or its reply, to the wrong interface.
    Misrouted {
        direction: Direction,
        source: IpAddr,
        destination: IpAddr,
        oif: String,
        expected: String,
    },
    /// Routing drops the packet, or its reply.
    RouteDropped {
        direction: Direction,
        drop: RouteDrop,
    },
    /// The table marks the packet.
    TableInSync,
    /// The table may not mark the packet; `is_needed` where a firewall drops it without the mark.
    TableFaulty { fault: TableFault, is_needed: bool },
    /// The state of a gate; `is_needed` where the chain drops the packet without it.
    Gate {
        chain: ChainName,
        owner: Owner,
        state: GateState,
        is_needed: bool,
    },
    /// A chain drops the packet unless one of its own rules accepts it.
    DropsUnmarked { chain: ChainName, owner: Owner },
    /// A chain without a gate drops everything that none of its rules accepts.
    BlockingChain { chain: ChainName, remedy: Remedy },
    /// A chain without a gate has rules that drop some packets.
    MayBlock { chain: ChainName },
    /// libvirt's own rules are missing.
    LibvirtRulesFlushed,
    /// firewalld has no rules for peers.
    FirewalldPeersMissing,
    /// A bridge is in none of the zones that libvirt uses.
    FirewalldZone(UnzonedBridge),
    /// Docker drops packets to a container's own address.
    DockerDrops { destination: IpAddr, iif: String },
    /// The packet arrives with its own source address.
    SourceKept { source: IpAddr },
    /// The packet arrives with an address of this host; `None` where the interface has none.
    Masqueraded {
        by: Masquerader,
        source: Option<IpAddr>,
    },
    /// An external host needs a route back to the network.
    ReturnRouteNeeded { host: IpAddr, network: String },
}

impl Finding {
    pub(crate) fn stage(&self) -> Stage {
        match self {
            Finding::NetworkActive { .. }
            | Finding::NetworkNotRouted { .. }
            | Finding::BridgeMissing { .. }
            | Finding::BridgeDown { .. } => Stage::Network,
            Finding::NeighbourUnreachable { .. } | Finding::NoDefaultRoute { .. } => Stage::Guest,
            Finding::SameNetwork { .. }
            | Finding::NoNetwork
            | Finding::Decided(_)
            | Finding::AdminClosed { .. }
            | Finding::DeniedByFlushedRules(_) => Stage::Policy,
            Finding::ForwardingEnabled { .. } | Finding::ForwardingDisabled { .. } => {
                Stage::Forwarding
            }
            Finding::Unrouted { .. } => Stage::Route,
            Finding::Routed { direction, .. }
            | Finding::Misrouted { direction, .. }
            | Finding::RouteDropped { direction, .. } => match direction {
                Direction::Forward => Stage::Route,
                Direction::Reply => Stage::ReplyPath,
            },
            Finding::TableInSync | Finding::TableFaulty { .. } => Stage::Table,
            Finding::Gate { .. } => Stage::Gate,
            Finding::DropsUnmarked { .. }
            | Finding::BlockingChain { .. }
            | Finding::MayBlock { .. } => Stage::Chain,
            Finding::LibvirtRulesFlushed => Stage::Libvirt,
            Finding::FirewalldPeersMissing | Finding::FirewalldZone(_) => Stage::Firewalld,
            Finding::DockerDrops { .. } => Stage::Docker,
            Finding::SourceKept { .. } | Finding::Masqueraded { .. } => Stage::Source,
            Finding::ReturnRouteNeeded { .. } => Stage::ReplyPath,
        }
    }

    pub(crate) fn status(&self) -> StepStatus {
        match self {
            Finding::NetworkActive { .. }
            | Finding::SameNetwork { .. }
            | Finding::Decided(Decision::AllowedByPolicy { .. } | Decision::AllowedByLibvirt(_))
            | Finding::ForwardingEnabled { .. }
            | Finding::Routed { .. }
            | Finding::TableInSync
            | Finding::SourceKept { .. }
            | Finding::Masqueraded { .. } => StepStatus::Ok,
            Finding::NetworkNotRouted { .. }
            | Finding::BridgeMissing { .. }
            | Finding::BridgeDown { .. }
            | Finding::NoNetwork
            | Finding::Decided(Decision::Denied(_))
            | Finding::AdminClosed { .. }
            | Finding::ForwardingDisabled { .. }
            | Finding::Unrouted { .. }
            | Finding::Misrouted { .. }
            | Finding::RouteDropped { .. }
            | Finding::BlockingChain { .. }
            | Finding::FirewalldPeersMissing
            | Finding::DockerDrops { .. } => StepStatus::Blocked,
            Finding::NeighbourUnreachable { .. }
            | Finding::NoDefaultRoute { .. }
            | Finding::DeniedByFlushedRules(_)
            | Finding::DropsUnmarked { .. }
            | Finding::MayBlock { .. }
            | Finding::LibvirtRulesFlushed
            | Finding::ReturnRouteNeeded { .. } => StepStatus::Unknown,
            Finding::TableFaulty { is_needed, .. } => blocked_if(*is_needed),
            Finding::Gate {
                state, is_needed, ..
            } => match state {
                GateState::Present | GateState::NotNeeded => StepStatus::Ok,
                GateState::High => StepStatus::Unknown,
                GateState::Missing | GateState::Shadowed => blocked_if(*is_needed),
            },
            // The default zone lets no guest through unless the administrator changed it.
            Finding::FirewalldZone(outsider) => blocked_if(outsider.zone.is_none()),
        }
    }
}

fn blocked_if(is_blocked: bool) -> StepStatus {
    if is_blocked {
        StepStatus::Blocked
    } else {
        StepStatus::Unknown
    }
}
