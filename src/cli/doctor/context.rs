//! What several checks judge together.

use virt_forward_policy::{config::Config, network::Network};
use virt_forward_reconcile::Inspection;
use virt_forward_ruleset::gates::chain_model::Chains;
use virt_forward_system::state::Record;

use crate::{host::Host, networks::Networks, sysctl::SysctlView};

/// The host, its networks and rules, and the desired state.
pub(crate) struct Context<'a> {
    /// The config; one that opens nothing if the file is invalid.
    pub(crate) config: &'a Config,
    pub(crate) is_config_valid: bool,
    pub(crate) inspection: &'a Inspection,
    /// All chains of the forward hook and those they lead to.
    pub(crate) chains: &'a Chains,
    pub(crate) networks: &'a Networks,
    pub(crate) host: &'a Host,
    pub(crate) sysctls: &'a dyn SysctlView,
}

impl Context<'_> {
    /// Whether any network should be open.
    pub(crate) fn is_any_open(&self) -> bool {
        self.inspection.wanted.table.is_some()
    }

    /// The desired state of each network.
    pub(crate) fn records(&self) -> impl Iterator<Item = &Record> {
        self.inspection.wanted.records.iter()
    }

    /// The active networks that this host routes, with their bridges.
    pub(crate) fn routed(&self) -> impl Iterator<Item = (&Network, &str)> {
        let active = self.networks.active.iter();
        active.filter_map(|network| Some((network, network.routed_bridge()?.as_str())))
    }

    /// Whether an interface is the bridge of a network.
    pub(crate) fn is_bridge(&self, interface: &str) -> bool {
        self.routed().any(|(_, bridge)| bridge == interface)
    }
}
