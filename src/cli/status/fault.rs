//! States of a network, and what keeps it from its desired state; their texts are made here.

use std::fmt;

use serde::{Serialize, Serializer};
use virt_forward_policy::{netfilter::ChainName, network::XmlError};

/// The state of a network, in the order in which a packet would meet what is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum NetworkState {
    /// No group and no rule of the config concerns it.
    Closed,
    /// The bridge does not exist, or is not up.
    Down,
    /// Forwarding is disabled on its bridge.
    Unforwarded,
    /// The network is not in the table `inet virt_forward`.
    Missing,
    /// A firewall in use has no working gate.
    Blocked,
    /// It is in its desired state.
    Open,
}

impl NetworkState {
    /// The word in tables and in JSON.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Down => "down",
            Self::Unforwarded => "unforwarded",
            Self::Missing => "missing",
            Self::Blocked => "blocked",
            Self::Open => "open",
        }
    }

    /// Whether it is what the config asks for.
    pub(crate) fn is_right(self) -> bool {
        matches!(self, Self::Open | Self::Closed)
    }
}

/// Why a network is not open although the config names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NetworkFault {
    /// Its definition cannot be followed.
    Xml(XmlError),
    /// It was closed, and stays so until it starts again.
    Held,
    /// libvirt has it active, and no hook reported its start.
    Unmanaged,
    /// Its bridge does not exist.
    BridgeMissing { bridge: String },
    /// Its bridge is down.
    BridgeDown { bridge: String },
    /// A sysctl of its bridge is not in its desired state; without a value it does not exist.
    Sysctl { key: String, value: Option<String> },
    /// The table does not contain it.
    NotInTable,
    /// A firewall that is in use has no gate.
    GateMissing { chain: ChainName },
    /// Other rules precede the gate and block its packets.
    GateShadowed { chain: ChainName },
    /// A chain that has no gate blocks its packets.
    ChainBlocks { chain: ChainName },
}

impl NetworkFault {
    /// The state of a network with this fault.
    pub(super) fn state(&self) -> NetworkState {
        match self {
            Self::Xml(_) | Self::Held => NetworkState::Closed,
            Self::BridgeMissing { .. } | Self::BridgeDown { .. } => NetworkState::Down,
            Self::Sysctl { .. } => NetworkState::Unforwarded,
            Self::Unmanaged | Self::NotInTable => NetworkState::Missing,
            Self::GateMissing { .. } | Self::GateShadowed { .. } | Self::ChainBlocks { .. } => {
                NetworkState::Blocked
            }
        }
    }
}

impl fmt::Display for NetworkFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Xml(error) => error.fmt(f),
            Self::Held => f.write_str("kept closed until it starts again"),
            Self::Unmanaged => f.write_str("no hook reported its start"),
            Self::BridgeMissing { bridge } => write!(f, "{bridge} does not exist"),
            Self::BridgeDown { bridge } => write!(f, "{bridge} is not up"),
            Self::Sysctl { key, value } => match value {
                Some(value) => write!(f, "{key} is {value}"),
                None => write!(f, "{key} does not exist"),
            },
            Self::NotInTable => f.write_str("it is not in the table inet virt_forward"),
            Self::GateMissing { chain } => write!(f, "there is no gate in {chain}"),
            Self::GateShadowed { chain } => {
                write!(f, "other rules precede the gate in {chain}")
            }
            Self::ChainBlocks { chain } => write!(f, "{chain} blocks it"),
        }
    }
}

impl Serialize for NetworkFault {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
