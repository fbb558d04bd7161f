//! Reasons for the reachability of a pair on this host; their texts are made here.

use std::fmt;

use serde::Serialize;
use virt_forward_policy::{LibvirtEffect, Reachability, Reason, sanitize::escape};

use super::fault::NetworkState;

/// Why new connections pass or do not: by policy, or because something on the host blocks them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub(crate) enum PairReason {
    /// The config or libvirt's rules decide.
    Policy(Reason),
    /// One of the networks is not in its desired state, so the config has no effect.
    Network(NetworkReason),
    /// Something on this host blocks the connections.
    Blocked(Block),
}

impl PairReason {
    pub(super) fn reachability(&self) -> Reachability {
        match self {
            Self::Policy(reason) => reason.reachability(),
            Self::Network(reason) if reason.libvirt.verdict.allows() => Reachability::Open,
            Self::Network(_) | Self::Blocked(_) => Reachability::Closed,
        }
    }

    /// Whether the config allows the connections and nothing on this host blocks them.
    pub(super) fn is_by_policy(&self) -> bool {
        match self {
            Self::Policy(reason) => reason.is_by_policy(),
            Self::Network(_) | Self::Blocked(_) => false,
        }
    }
}

impl fmt::Display for PairReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Policy(reason) => reason.fmt(f),
            Self::Network(reason) => reason.fmt(f),
            Self::Blocked(block) => block.fmt(f),
        }
    }
}

/// A network that is not in its desired state, and what libvirt's rules do without the config.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename = "network-fault")]
pub(crate) struct NetworkReason {
    pub(super) network: String,
    pub(super) state: NetworkState,
    pub(super) libvirt: LibvirtEffect,
}

impl fmt::Display for NetworkReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (network, state) = (escape(&self.network), self.state.word());
        write!(f, "{network} is {state}, {}", self.libvirt)
    }
}

/// Something on this host that blocks connections.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub(crate) enum Block {
    /// A base chain without a gate, in which every packet is dropped or rejected.
    Chain { chain: String },
    /// A base chain in which every packet without the mark is dropped or rejected.
    UnmarkedInChain { chain: String },
    /// firewalld lacks the rules for peers.
    Firewalld,
    /// The interface that leads to the external endpoint does not forward.
    Forwarding { interface: String },
}

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Chain { chain } => write!(f, "{chain} blocks it"),
            Self::UnmarkedInChain { chain } => write!(
                f,
                "{chain} blocks traffic that neither the config nor its own rules allow"
            ),
            Self::Firewalld => f.write_str("firewalld lacks the rules for peers"),
            Self::Forwarding { interface } => {
                write!(f, "forwarding is disabled on {interface}")
            }
        }
    }
}
