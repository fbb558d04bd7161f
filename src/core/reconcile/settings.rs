//! Kernel settings, carried out and remembered.
//!
//! Order: the table drops what passes only because of a setting of ours, so it is built before the
//! setting is changed, and the setting goes back before the table forgets it.

use std::collections::BTreeSet;

use crate::{
    Error, Result,
    kernel::{host, sysctl},
    network::Mode,
    state::{Record, Store},
    sysctls::{self, Changed, Need, Plan, Seen, Setting},
    table::{Enabled, Ip},
};

/// What these networks need of settings, and the ways to who is outside; none for a network that
/// is closed, or whose bridge is gone. `known` are settings that were changed before.
fn wanted(
    records: &[Record],
    ways: &BTreeSet<(String, Ip)>,
    known: &[Changed],
) -> Result<Vec<Setting>> {
    let open = records.iter().filter(|record| !record.access.is_none());
    let bridges = open.filter_map(|record| {
        let bridge = record.network.routed_bridge()?;
        host::has(&bridge.into()).then(|| Need {
            interface: bridge.as_str(),
            ipv4: !record.network.subnets4().is_empty(),
            ipv6: !record.network.subnets6().is_empty(),
        })
    });
    let uplinks = ways.iter().map(|(interface, family)| Need {
        interface,
        ipv4: *family == Ip::V4,
        ipv6: *family == Ip::V6,
    });
    sysctls::wanted(bridges.chain(uplinks), known, &sysctl::Kernel)
}

/// The settings of these networks, and what leads to them and to no others that are ours.
pub(super) fn plan(
    store: &Store,
    records: &[Record],
    ways: &BTreeSet<(String, Ip)>,
) -> Result<(Vec<Setting>, Plan)> {
    let known = store.changed()?;
    let wanted = wanted(records, ways, &known)?;
    let libvirts = libvirt_routes_ipv6(records);
    let plan = sysctls::plan(&wanted, &known, libvirts, &sysctl::Kernel)?;
    Ok((wanted, plan))
}

/// Whether one of these networks runs for which libvirt itself switches IPv6 forwarding on.
fn libvirt_routes_ipv6(records: &[Record]) -> bool {
    records.iter().any(|record| {
        let network = &record.network;
        network.mode != Mode::Isolated
            && !network.subnets6().is_empty()
            && network
                .known_bridge()
                .is_some_and(|bridge| host::has(&bridge))
    })
}

/// The interfaces that forward because of what `plan` leaves changed.
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
    sysctls::enabled(&plan.changed, is_libvirts, &sysctl::Kernel)
}

/// Gives back what is not needed any more, and remembers what is going to be changed: before it
/// is, so that none is forgotten.
pub(super) fn give_back(store: &Store, plan: &Plan) -> Result<()> {
    let outcomes = plan.restored.iter().map(restore);
    let failed: Vec<_> = outcomes.filter_map(Result::err).collect();
    if store.changed()? != plan.changed {
        store.set_changed(&plan.changed)?;
    }
    Error::all(failed)
}

fn restore(changed: &Changed) -> Result<()> {
    match sysctls::may_restore(changed, &sysctl::Kernel)? {
        true => write(&changed.key, &changed.was),
        false => Ok(()),
    }
}

/// Makes the settings so.
pub(super) fn set(plan: &Plan) -> Result<()> {
    let mut all = plan.set.iter();
    all.try_for_each(|setting| write(&setting.key, &setting.value))
}

/// An interface may go in between.
fn write(key: &sysctls::Key, value: &str) -> Result<()> {
    match sysctl::write(key, value) {
        Err(why) if sysctl::Kernel.value(key)?.is_some() => Err(why),
        _ => Ok(()),
    }
}

/// Gives all settings back. `records` are networks that may still run.
pub(super) fn restore_all(store: &Store, records: &[Record]) -> Result<()> {
    let known = store.changed()?;
    let plan = sysctls::plan(&[], &known, libvirt_routes_ipv6(records), &sysctl::Kernel)?;
    give_back(store, &plan)
}

/// The settings that `plan` would change, for the log.
pub(super) fn wrong(plan: &Plan) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    for setting in &plan.set {
        if let Some(is) = sysctl::Kernel.value(&setting.key)? {
            wrong.push(format!("{} was {is}", setting.key.name()));
        }
    }
    Ok(wrong)
}
