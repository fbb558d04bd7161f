//! Everything that a diagnosis is based on, gathered once.

use std::collections::BTreeMap;

use virt_forward_policy::config::{Config, MarkBit};
use virt_forward_reconcile::{Error, Inspection};
use virt_forward_ruleset::gates::chain_model::Chains;

use super::{
    BridgeFilter, ConfigFile, Daemon, ForwardingSysctls, FwmarkUsers, Hooks, Iptables, MacState,
    StateFolder, libvirt::Version, processes::Process,
};
use crate::{host::Host, networks::Networks, sysctl::SysctlView};

/// The state of the host.
pub(crate) struct HostSnapshot {
    pub(crate) config_file: ConfigFile,
    pub(crate) config: Result<Config, Error>,
    pub(crate) networks: Networks,
    /// The version of libvirt, or the reason why it does not answer.
    pub(crate) libvirt: Result<Version, String>,
    pub(crate) daemon: Daemon,
    pub(crate) hooks: Hooks,
    pub(crate) mac: MacState,
    /// The processes of `virt-forward watch`.
    pub(crate) watch: Vec<Process>,
    pub(crate) host: Host,
    pub(crate) sysctls: InterfaceSysctls,
    pub(crate) forwarding: ForwardingSysctls,
    pub(crate) bridge_filter: BridgeFilter,
    pub(crate) rules: ObservedRules,
    pub(crate) state: StateFolder,
    /// The bit in use; under an invalid config, that of the table.
    pub(crate) mark: MarkBit,
    /// The users of the fwmark, or the reason why they could not be read.
    pub(crate) fwmark_users: Result<FwmarkUsers, String>,
}

/// The rules of all firewalls, each as far as it could be read.
pub(crate) struct ObservedRules {
    pub(crate) inspection: Result<Inspection, Error>,
    pub(crate) chains: Result<Chains, Error>,
    pub(crate) iptables: Result<Iptables, Error>,
}

/// Sysctls of interfaces, for judgements that take [`Settings`].
#[derive(Clone, Debug, Default)]
pub(crate) struct InterfaceSysctls(pub(super) BTreeMap<String, InterfaceSysctl>);

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct InterfaceSysctl {
    /// rp_filter is 1.
    pub(super) is_rp_filter_strict: bool,
    pub(super) forwards_ipv4: bool,
    pub(super) forwards_ipv6: bool,
}

impl InterfaceSysctls {
    /// Reads the sysctls of all interfaces from `settings`.
    pub(crate) fn collect(host: &Host, settings: &dyn SysctlView) -> Self {
        let mut sysctls = BTreeMap::new();
        for interface in &host.interfaces {
            let name = interface.name.as_str();
            let sysctl = InterfaceSysctl {
                is_rp_filter_strict: settings.is_rp_filter_strict(name),
                forwards_ipv4: settings.forwards(name, true),
                forwards_ipv6: settings.forwards(name, false),
            };
            sysctls.insert(name.to_owned(), sysctl);
        }
        Self(sysctls)
    }

    fn of(&self, interface: &str) -> InterfaceSysctl {
        self.0.get(interface).copied().unwrap_or_default()
    }
}

impl SysctlView for InterfaceSysctls {
    fn is_rp_filter_strict(&self, interface: &str) -> bool {
        self.of(interface).is_rp_filter_strict
    }

    fn forwards(&self, interface: &str, is_ipv4: bool) -> bool {
        let sysctl = self.of(interface);
        if is_ipv4 {
            sysctl.forwards_ipv4
        } else {
            sysctl.forwards_ipv6
        }
    }
}
