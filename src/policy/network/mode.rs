//! Forward modes of networks.

use serde::{Deserialize, Serialize};

/// The connection of a network to the outside: `<forward mode=…>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// No `<forward>` element.
    Isolated,
    /// Masqueraded towards everything; new connections inwards are rejected.
    Nat,
    /// Routed both ways, no masquerade.
    Route,
    /// A bridge for which libvirt has no rules.
    Open,
    /// A bridge that the administrator made (`bridge`), or no bridge at all (`private`, `vepa`,
    /// `passthrough`, `hostdev`): the host does not route it, so there is nothing to open.
    Unrouted,
    /// A mode of a later libvirt: whether the host routes the network is unknown.
    Unknown,
}

impl Mode {
    /// The word in libvirt's XML; `isolated`, `unrouted` and `unknown` are not libvirt's.
    pub fn word(self) -> &'static str {
        match self {
            Mode::Isolated => "isolated",
            Mode::Nat => "nat",
            Mode::Route => "route",
            Mode::Open => "open",
            Mode::Unrouted => "unrouted",
            Mode::Unknown => "unknown",
        }
    }
}
