//! Changes of sysctls, and the records of their original values.
//!
//! Order: the table drops packets that are forwarded only because of a changed sysctl, so it is built
//! before the change, and the sysctl is restored before the table is rebuilt without that rule.

use std::collections::BTreeSet;

use crate::{Drift, Error, Result};
use virt_forward_policy::network::Mode;
use virt_forward_ruleset::{
    sysctls::{self, ALL, ForwardingNeed, Plan, SavedSysctl, Setting, SysctlReader},
    table::{Enabled, Ip},
};
use virt_forward_system::{
    links,
    state::{Basis, Record, Store, Switches},
    sysctl,
};

/// The sysctls that these networks and the interfaces towards external subnets need; none for a network
/// that is closed or has no bridge. `known` are sysctls that were changed before.
fn wanted(
    records: &[Record],
    ways: &BTreeSet<(String, Ip)>,
    known: &[SavedSysctl],
) -> Result<Vec<Setting>> {
    let open = records.iter().filter(|record| !record.access.is_empty());
    let bridges = open.filter_map(|record| {
        let bridge = record.network.routed_bridge()?;
        links::exists(&bridge.into()).then(|| ForwardingNeed {
            interface: bridge.as_str(),
            ipv4: !record.network.subnets4().is_empty(),
            ipv6: !record.network.subnets6().is_empty(),
        })
    });
    let uplinks = ways.iter().map(|(interface, family)| ForwardingNeed {
        interface,
        ipv4: *family == Ip::V4,
        ipv6: *family == Ip::V6,
    });
    let bridges_of_all: BTreeSet<_> = records
        .iter()
        .filter_map(|record| record.network.known_bridge())
        .collect();
    let is_bridge = |name: &str| {
        name.parse()
            .is_ok_and(|name| bridges_of_all.contains(&name))
    };
    Ok(sysctls::wanted(
        bridges.chain(uplinks),
        known,
        is_bridge,
        &sysctl::Kernel,
    )?)
}

/// The desired sysctls of these networks, and the changes that lead to them and restore all others.
pub(super) fn plan(
    store: &Store,
    records: &[Record],
    ways: &BTreeSet<(String, Ip)>,
) -> Result<(Vec<Setting>, Plan)> {
    let known = store.saved_sysctls()?;
    let wanted = wanted(records, ways, &known)?;
    let libvirts = libvirt_routes_ipv6(records);
    let plan = sysctls::plan(&wanted, &known, libvirts, &sysctl::Kernel)?;
    Ok((wanted, plan))
}

/// Whether a network runs for which libvirt itself enables IPv6 forwarding.
fn libvirt_routes_ipv6(records: &[Record]) -> bool {
    records.iter().any(|record| {
        let network = &record.network;
        network.mode != Mode::Isolated
            && !network.subnets6().is_empty()
            && network
                .known_bridge()
                .is_some_and(|bridge| links::exists(&bridge))
    })
}

/// The changes of the sysctls of some networks' bridges, and of no others.
#[derive(Debug, Default)]
pub(super) struct BridgeSysctls {
    bridges: BTreeSet<String>,
    plan: Plan,
    /// The families that a new bridge forwards because of them.
    pub(super) enabled: BTreeSet<Ip>,
}

impl BridgeSysctls {
    /// The changes for a network that starts, with `ways` to external subnets; none if sysctls of other
    /// interfaces have to be changed or restored.
    pub(super) fn of_start(
        store: &Store,
        record: &Record,
        ways: &BTreeSet<(String, Ip)>,
    ) -> Result<Option<Self>> {
        let Some(bridge) = record.network.routed_bridge() else {
            return Ok(Some(Self::default()));
        };
        let bridge = bridge.as_str();
        let records = std::slice::from_ref(record);
        let mut known = store.saved_sysctls_of(bridge)?;
        let mut others = store.saved_sysctls_of(ALL)?;
        let uplinks: BTreeSet<_> = ways.iter().map(|(interface, _)| interface).collect();
        for uplink in uplinks {
            others.extend(store.saved_sysctls_of(uplink)?);
        }
        let wanted = wanted(records, ways, &others)?;
        let is_libvirts = libvirt_routes_ipv6(records);
        // Sysctls that it does not need are needed by other networks.
        others.retain(|changed| {
            is_libvirts && changed.key.is_hosts_ipv6()
                || wanted.iter().any(|setting| setting.key == changed.key)
        });
        known.extend(others.iter().cloned());
        let plan = sysctls::plan(&wanted, &known, is_libvirts, &sysctl::Kernel)?;
        let is_own = |key: &sysctls::Key| key.interface() == bridge;
        let (own, kept): (Vec<_>, Vec<_>) = plan
            .changed
            .into_iter()
            .partition(|changed| is_own(&changed.key));
        let is_alone = plan.restored.is_empty()
            && kept == others
            && plan.set.iter().all(|setting| is_own(&setting.key))
            && own.iter().all(|changed| !changed.key.is_hosts_ipv6());
        if !is_alone {
            return Ok(None);
        }
        let plan = Plan {
            changed: own,
            ..plan
        };
        let (enabled, _) = enabled(&plan, records)?;
        Ok(Some(Self {
            bridges: BTreeSet::from([bridge.to_owned()]),
            enabled: enabled.into_iter().map(|one| one.family).collect(),
            plan,
        }))
    }

    /// The changes for networks that are closed; none if other networks depend on a sysctl of one of
    /// their bridges.
    pub(super) fn of_close(store: &Store, leaving: &[Record]) -> Result<Option<Self>> {
        let mut part = Self::default();
        let mut known = Vec::new();
        for record in leaving {
            if let Some(bridge) = record.network.routed_bridge() {
                known.extend(store.saved_sysctls_of(bridge.as_str())?);
                part.bridges.insert(bridge.as_str().to_owned());
            }
        }
        if known.iter().any(|changed| changed.key.is_hosts_ipv6()) {
            return Ok(None);
        }
        part.plan = sysctls::plan(&[], &known, false, &sysctl::Kernel)?;
        Ok(Some(part))
    }

    /// Whether some sysctl is changed afterwards.
    pub(super) fn changes_something(&self) -> bool {
        !self.plan.changed.is_empty()
    }

    /// Restores sysctls.
    pub(super) fn give_back(&self) -> Result<()> {
        give_back(&self.plan)
    }

    /// Records the original values of the sysctls that are changed afterwards.
    pub(super) fn remember(&self, store: &Store) -> Result<()> {
        for bridge in &self.bridges {
            let of_bridge = self.plan.changed.iter();
            let of_bridge = of_bridge.filter(|changed| changed.key.interface() == bridge);
            store.save_sysctls_of(bridge, &of_bridge.cloned().collect::<Vec<_>>())?;
        }
        Ok(())
    }

    /// Sets the sysctls.
    pub(super) fn set(&self) -> Result<()> {
        set(&self.plan)
    }
}

/// The switches that forward all packets of a family.
pub(super) fn switches() -> Result<Switches> {
    let is_on = |family| sysctls::forwards_all(family, &sysctl::Kernel);
    Ok(Switches {
        ipv4: is_on(Ip::V4)?,
        ipv6: is_on(Ip::V6)?,
    })
}

/// The facts after `plan` that later events rely on. `is_bridge` says whether an interface is the bridge
/// of a network.
pub(super) fn basis(plan: &Plan, is_bridge: impl Fn(&str) -> bool) -> Result<Basis> {
    let interfaces = plan.changed.iter().map(|changed| changed.key.interface());
    let shared: BTreeSet<_> = interfaces
        .filter(|interface| !is_bridge(interface))
        .map(str::to_owned)
        .collect();
    let switches = match plan.changed.is_empty() {
        true => None,
        false => {
            let now = switches()?;
            Some(Switches {
                ipv6: now.ipv6 && !plan.gives_back_all_ipv6() || plan.sets_all_ipv6(),
                ..now
            })
        }
    };
    Ok(Basis {
        switches,
        shared,
        ..Basis::default()
    })
}

/// The interfaces that forward because of sysctls that are changed after `plan`.
pub(super) fn enabled(plan: &Plan, records: &[Record]) -> Result<(BTreeSet<Enabled>, bool)> {
    let is_libvirts = |interface: &str| {
        let mut forwarded = records
            .iter()
            .filter(|record| record.network.mode != Mode::Isolated);
        forwarded.any(|record| {
            let bridge = record.network.routed_bridge();
            bridge.is_some_and(|bridge| bridge.as_str() == interface)
        })
    };
    Ok(sysctls::enabled(
        &plan.changed,
        is_libvirts,
        &sysctl::Kernel,
    )?)
}

/// Restores sysctls that are not needed any more.
pub(super) fn give_back(plan: &Plan) -> Result<()> {
    let outcomes = plan.restored.iter().map(restore);
    Error::all(outcomes.filter_map(Result::err).collect())
}

/// Records the original values of the sysctls that are changed afterwards. A sysctl must not be changed
/// before, or it would never be restored.
pub(super) fn remember(store: &Store, plan: &Plan) -> Result<()> {
    match store.saved_sysctls()? == plan.changed {
        true => Ok(()),
        false => Ok(store.save_sysctls(&plan.changed)?),
    }
}

fn restore(changed: &SavedSysctl) -> Result<()> {
    match sysctls::can_restore(changed, &sysctl::Kernel)? {
        true => write(&changed.key, &changed.was),
        false => Ok(()),
    }
}

/// Sets the sysctls.
pub(super) fn set(plan: &Plan) -> Result<()> {
    let mut all = plan.set.iter();
    all.try_for_each(|setting| write(&setting.key, &setting.value))
}

/// Writes a sysctl; the interface may have been removed in the meantime.
fn write(key: &sysctls::Key, value: &str) -> Result<()> {
    match sysctl::write(key, value) {
        Err(why) if sysctl::Kernel.value(key)?.is_some() => Err(why.into()),
        _ => Ok(()),
    }
}

/// Restores all sysctls. `records` are networks that may still run.
pub(super) fn restore_all(store: &Store, records: &[Record]) -> Result<()> {
    let known = store.saved_sysctls()?;
    let plan = sysctls::plan(&[], &known, libvirt_routes_ipv6(records), &sysctl::Kernel)?;
    let outcomes = [give_back(&plan), remember(store, &plan)];
    Error::all(outcomes.into_iter().filter_map(Result::err).collect())
}

/// The sysctls that `plan` would change, with their observed values.
pub(super) fn drift(plan: &Plan) -> Result<Vec<Drift>> {
    let mut drift = Vec::new();
    for setting in &plan.set {
        if let Some(value) = sysctl::Kernel.value(&setting.key)? {
            let key = setting.key.clone();
            drift.push(Drift::Sysctl { key, value });
        }
    }
    Ok(drift)
}
