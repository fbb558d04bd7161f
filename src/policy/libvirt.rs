//! The effect of libvirt's own rules on a new connection.

use std::fmt;

use serde::Serialize;

use crate::network::{Mode, Network};

/// What libvirt's rules do with a new connection and its replies, without virt-forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LibvirtVerdict {
    /// Connections out of a network are accepted.
    AcceptsOutbound,
    /// The destination network is routed: connections in are accepted.
    RoutesToDestination,
    /// The destination network is of a mode for which libvirt has no rules.
    NoRules,
    /// The source network is isolated: neither its packets nor replies to them pass.
    RejectsIsolatedSource,
    /// The source network is forwarded through its `<forward dev=…>` only.
    RejectsSourceDevice,
    /// The source address is not one of the source network's.
    RejectsForeignSource,
    /// The destination network is a NAT or an isolated one: connections in are rejected.
    RejectsInbound,
    /// The destination network is forwarded through its `<forward dev=…>` only.
    RejectsDestinationDevice,
    /// The mode of the destination network is not known to this version.
    UnknownMode,
}

impl LibvirtVerdict {
    /// Whether the connection is known to pass.
    pub fn allows(self) -> bool {
        match self {
            Self::AcceptsOutbound | Self::RoutesToDestination | Self::NoRules => true,
            Self::RejectsIsolatedSource
            | Self::RejectsSourceDevice
            | Self::RejectsForeignSource
            | Self::RejectsInbound
            | Self::RejectsDestinationDevice
            | Self::UnknownMode => false,
        }
    }
}

/// A clause with its subject: `libvirt rejects inbound connections`
impl fmt::Display for LibvirtVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AcceptsOutbound => "libvirt accepts outbound connections",
            Self::RoutesToDestination => "libvirt routes to the destination network",
            Self::NoRules => "libvirt has no rules for the destination network",
            Self::RejectsIsolatedSource => {
                "libvirt rejects packets from an isolated network and replies to it"
            }
            Self::RejectsSourceDevice => {
                "libvirt forwards the source network through its forward dev only"
            }
            Self::RejectsForeignSource => "libvirt rejects packets with that source",
            Self::RejectsInbound => "libvirt rejects inbound connections",
            Self::RejectsDestinationDevice => {
                "libvirt forwards the destination network through its forward dev only"
            }
            Self::UnknownMode => {
                "the effect of libvirt's rules for the destination network's mode is unknown"
            }
        })
    }
}

/// The verdict of libvirt's rules on a new connection of one family between two networks; `None`
/// stands for external hosts.
///
/// Accepting in the rules of the receiving network does not help a connection that those of the
/// sending one reject (libvirt, src/network/network_nftables.c and network_iptables.c).
pub(crate) fn libvirt_verdict(
    from: Option<&Network>,
    to: Option<&Network>,
    is_ipv4: bool,
) -> LibvirtVerdict {
    if let Some(from) = from {
        if effective_mode(from, is_ipv4) == Mode::Isolated {
            return LibvirtVerdict::RejectsIsolatedSource;
        }
        if from.forward_dev.is_some() && to.is_some() {
            return LibvirtVerdict::RejectsSourceDevice;
        }
    }
    let Some(to) = to else {
        return LibvirtVerdict::AcceptsOutbound;
    };
    match (effective_mode(to, is_ipv4), &to.forward_dev) {
        (Mode::Nat | Mode::Isolated, _) => LibvirtVerdict::RejectsInbound,
        (_, Some(_)) if from.is_some() => LibvirtVerdict::RejectsDestinationDevice,
        (Mode::Route, _) => LibvirtVerdict::RoutesToDestination,
        (Mode::Open | Mode::Unrouted, _) => LibvirtVerdict::NoRules,
        (Mode::Unknown, _) => LibvirtVerdict::UnknownMode,
    }
}

/// The verdict on a packet whose source address is not one of its network's own. libvirt's rules
/// accept the network's own sources only (src/network/network_iptables.c,
/// `iptablesForwardAllowOut`), except in mode `open`, which has no rules.
pub(crate) fn libvirt_verdict_on_foreign_source(
    from: Option<&Network>,
    to: Option<&Network>,
    is_ipv4: bool,
) -> LibvirtVerdict {
    match from.map(|network| network.mode) {
        Some(Mode::Open) => libvirt_verdict(from, to, is_ipv4),
        _ => LibvirtVerdict::RejectsForeignSource,
    }
}

/// A NAT network's family that is not masqueraded is routed.
fn effective_mode(network: &Network, is_ipv4: bool) -> Mode {
    match network.mode {
        Mode::Nat if !network.is_masqueraded(is_ipv4) => Mode::Route,
        mode => mode,
    }
}
