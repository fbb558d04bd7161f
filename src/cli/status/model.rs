//! The status of this host, as values; `status --json` is their serialised form (docs/json.md).

use std::collections::BTreeSet;

use serde::Serialize;
use virt_forward_policy::{Access, MatrixEndpoint, Reachability, config::Config};
use virt_forward_reconcile::Inspection;

use super::{
    fault::{NetworkFault, NetworkState},
    gate::GateStatus,
    reason::PairReason,
};
use crate::{host::Host, sysctl::SysctlView};

/// The version of the JSON form. It changes with each change that is not an addition.
pub(super) const SCHEMA: u32 = 1;

/// The observations that a status is made from.
pub(crate) struct StatusInput<'a> {
    pub(crate) config: &'a Config,
    pub(crate) inspection: &'a Inspection,
    pub(crate) host: &'a Host,
    pub(crate) settings: &'a dyn SysctlView,
    /// Networks that libvirt has active and whose start no hook reported.
    pub(crate) unmanaged: &'a BTreeSet<String>,
}

/// The status of this host.
#[derive(Debug, Serialize)]
pub(crate) struct Status {
    pub(super) schema: u32,
    pub(crate) networks: Vec<NetworkStatus>,
    pub(super) table: TableState,
    pub(super) libvirt: LibvirtState,
    pub(super) firewalld: FirewalldState,
    /// Conflicts between the config and the networks, and errors of the inspection.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) troubles: Vec<String>,
    /// That the config opens nothing at all, which is not an error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) note: Option<String>,
    pub(super) gates: Vec<GateStatus>,
    pub(super) sysctls: Vec<SysctlStatus>,
    /// Pairs of networks.
    pub(super) reach: Vec<PairStatus>,
    /// Pairs of a network and an external subnet. `0.0.0.0/0` and `::/0` stand for the Internet,
    /// where the host has a route to it.
    pub(crate) outside: Vec<PairStatus>,
}

/// The state of the table `inet virt_forward`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum TableState {
    /// It is in its desired state.
    Right,
    /// It should exist, and does not.
    Missing,
    /// It differs from its desired state.
    Differs,
}

/// The state of libvirt's own rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum LibvirtState {
    /// They exist, or no network needs them.
    Right,
    /// A network needs them, and they are gone.
    Flushed,
}

/// The state of firewalld's rules for peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum FirewalldState {
    /// They exist, or firewalld is not in use.
    Right,
    /// They are missing, so firewalld rejects connections from peers.
    Closed,
}

#[derive(Debug, Serialize)]
pub(crate) struct NetworkStatus {
    pub(crate) name: String,
    pub(crate) bridge: String,
    pub(crate) mode: &'static str,
    pub(crate) subnets: Vec<String>,
    #[serde(flatten)]
    pub(crate) access: Access,
    pub(crate) state: NetworkState,
    /// Why it is not in its desired state, or is closed whatever the config says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) fault: Option<NetworkFault>,
    /// Whether it is closed until it starts again, or is applied by name.
    pub(crate) held: bool,
    /// Whether no hook reported its start.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) unmanaged: bool,
}

#[derive(Debug, Serialize)]
pub(super) struct SysctlStatus {
    pub(super) key: String,
    pub(super) value: Option<String>,
    pub(super) wanted: String,
}

/// Reachability of one endpoint from another.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct PairStatus {
    pub(crate) from: MatrixEndpoint,
    pub(crate) to: MatrixEndpoint,
    pub(crate) verdict: Reachability,
    /// The text of the reason.
    pub(super) why: String,
    pub(super) reason: PairReason,
}

impl PairStatus {
    pub(super) fn new(from: MatrixEndpoint, to: MatrixEndpoint, reason: PairReason) -> Self {
        Self {
            from,
            to,
            verdict: reason.reachability(),
            why: reason.to_string(),
            reason,
        }
    }
}
