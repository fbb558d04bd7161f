//! The status of this host, made from observations.

use virt_forward_policy::netfilter::Family;
use virt_forward_reconcile::{Inspection, Preview};
use virt_forward_ruleset::gates::{BlockingChain, GateState, Site};
use virt_forward_system::state::Record;

use super::{
    fault::{NetworkFault, NetworkState},
    gate::gates,
    model::{
        FirewalldState, LibvirtState, NetworkStatus, SCHEMA, Status, StatusInput, SysctlStatus,
        TableState,
    },
    reachability,
};

impl Status {
    pub(crate) fn of(input: &StatusInput) -> Self {
        let inspection = input.inspection;
        let wanted = &inspection.wanted;
        let records = wanted.records.iter();
        let networks: Vec<_> = records
            .map(|record| network_status(record, input))
            .collect();
        let (reach, outside) = reachability::of(input, &networks);
        Self {
            schema: SCHEMA,
            networks,
            table: table_state(inspection),
            libvirt: if wanted.is_libvirt_flushed {
                LibvirtState::Flushed
            } else {
                LibvirtState::Right
            },
            firewalld: if wanted.is_firewalld_closed {
                FirewalldState::Closed
            } else {
                FirewalldState::Right
            },
            troubles: troubles(wanted),
            note: input.config.opens_nothing().map(|note| note.to_string()),
            gates: gates(inspection, input.config.mark),
            sysctls: sysctls(wanted),
            reach,
            outside,
        }
    }

    /// Whether every network is in its desired state.
    pub(crate) fn are_networks_right(&self) -> bool {
        self.networks.iter().all(|network| network.state.is_right())
    }
}

fn table_state(inspection: &Inspection) -> TableState {
    if inspection.is_table_right() {
        TableState::Right
    } else if inspection.table.is_none() {
        TableState::Missing
    } else {
        TableState::Differs
    }
}

fn sysctls(wanted: &Preview) -> Vec<SysctlStatus> {
    let settings = wanted.settings.iter();
    settings
        .map(|setting| SysctlStatus {
            key: setting.wanted.key.name(),
            value: setting.value.clone(),
            wanted: setting.wanted.value.clone(),
        })
        .collect()
}

fn troubles(wanted: &Preview) -> Vec<String> {
    let misfits = wanted.misfits.iter().map(ToString::to_string);
    let unseen = wanted.trouble.iter().map(ToString::to_string);
    let absent = wanted.survey.absent.iter().map(|chain| {
        format!("extra of [gates]: {chain} is not a chain that sees forwarded packets")
    });
    misfits.chain(unseen).chain(absent).collect()
}

/// The chains that block every packet that none of their rules accepts.
pub(super) fn blocking_chains(wanted: &Preview) -> impl Iterator<Item = &BlockingChain> {
    let obstacles = wanted.survey.obstacles.iter();
    obstacles.filter(|obstacle| obstacle.is_certain)
}

fn network_status(record: &Record, input: &StatusInput) -> NetworkStatus {
    let network = &record.network;
    let bridge = network.known_bridge().as_ref().map(ToString::to_string);
    let bridge = bridge.unwrap_or_default();
    let drift = drift(record, &bridge, input);
    let unmanaged = drift.is_some() && input.unmanaged.contains(&network.name);
    let state = match &drift {
        Some(fault) => fault.state(),
        None if record.access.is_empty() => NetworkState::Closed,
        None => NetworkState::Open,
    };
    let fault = match &network.fault {
        Some(error) => Some(NetworkFault::Xml(error.clone())),
        None if record.is_admin_closed() => Some(NetworkFault::Held),
        None if unmanaged => Some(NetworkFault::Unmanaged),
        None => drift,
    };
    NetworkStatus {
        name: network.name.clone(),
        state,
        fault,
        held: record.is_admin_closed(),
        unmanaged,
        bridge,
        mode: network.mode.word(),
        subnets: network.subnets().iter().map(ToString::to_string).collect(),
        access: record.access.clone(),
    }
}

/// The first difference to the desired state of a network that the config opens.
fn drift(record: &Record, bridge: &str, input: &StatusInput) -> Option<NetworkFault> {
    if record.access.is_empty() {
        return None;
    }
    let wanted = &input.inspection.wanted;
    let Some(interface) = input.host.interface(bridge) else {
        let bridge = bridge.to_owned();
        return Some(NetworkFault::BridgeMissing { bridge });
    };
    if !interface.is_up {
        let bridge = bridge.to_owned();
        return Some(NetworkFault::BridgeDown { bridge });
    }
    let mut settings = wanted.settings.iter();
    let wrong =
        settings.find(|setting| setting.wanted.key.interface() == bridge && !setting.is_right());
    if let Some(setting) = wrong {
        return Some(NetworkFault::Sysctl {
            key: setting.wanted.key.name(),
            value: setting.value.clone(),
        });
    }
    let table = input.inspection.table.as_deref().unwrap_or_default();
    if !table.contains(&format!("\"{bridge}\"")) {
        return Some(NetworkFault::NotInTable);
    }
    firewall_fault(record, wanted)
}

/// The first firewall that blocks what our table allows.
fn firewall_fault(record: &Record, wanted: &Preview) -> Option<NetworkFault> {
    let sees = |family: Family| match family {
        Family::Inet => true,
        Family::Ip => !record.network.subnets4().is_empty(),
        Family::Ip6 => !record.network.subnets6().is_empty(),
    };
    let gate_fault = |site: &Site| {
        let chain = site.chain().clone();
        match site.state {
            GateState::Missing => Some(NetworkFault::GateMissing { chain }),
            GateState::Shadowed => Some(NetworkFault::GateShadowed { chain }),
            GateState::Present | GateState::High | GateState::NotNeeded => None,
        }
    };
    let mut sites = wanted.survey.sites.iter();
    let gate = sites.find_map(|site| gate_fault(site).filter(|_| sees(site.base.family)));
    gate.or_else(|| {
        let mut chains = blocking_chains(wanted).map(|obstacle| &obstacle.chain);
        let chain = chains.find(|chain| sees(chain.family))?.clone();
        Some(NetworkFault::ChainBlocks { chain })
    })
}
