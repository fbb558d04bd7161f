//! The rules for peers in firewalld's policy object.

use std::collections::BTreeSet;

use crate::Result;
use virt_forward_policy::{self as policy, config::Config};
use virt_forward_ruleset::gates;
use virt_forward_system::{
    deadline::Deadline,
    exec::firewalld,
    state::{FirewalldRules, Record, Store},
};

/// The rules for external hosts that may open connections to these networks.
fn wanted(config: &Config, records: &[Record]) -> Vec<String> {
    let mut rules = BTreeSet::new();
    for record in records {
        for inward in policy::inbound_grants(config, &record.network, &record.access) {
            rules.extend(gates::rich_rules(&inward));
        }
    }
    rules.into_iter().collect()
}

/// The rules to set; none if they are in place or firewalld does not run. `records` is called only if
/// the rules depend on it.
pub(super) fn missing(
    store: &Store,
    config: &Config,
    records: impl FnOnce() -> Result<Vec<Record>>,
    deadline: Deadline,
) -> Result<Option<FirewalldRules>> {
    let known = store.firewalld()?;
    if !config.allows_inbound_external() && known.is_none() {
        return Ok(None);
    }
    let Some(table) = firewalld::table(deadline)? else {
        return Ok(None);
    };
    let rules = wanted(config, &records()?);
    if rules.is_empty() && known.is_none() {
        return Ok(None);
    }
    let wanted = FirewalldRules { table, rules };
    // A new table has no rules of ours.
    let seen = known.filter(|known| known.table == table);
    let has_none = seen.is_none() && wanted.rules.is_empty();
    Ok((!has_none && seen.as_ref() != Some(&wanted)).then_some(wanted))
}

/// Whether firewalld lacks rules for peers of these networks.
pub(super) fn is_missing(
    store: &Store,
    config: &Config,
    records: &[Record],
    deadline: Deadline,
) -> Result<bool> {
    let records = || Ok(records.to_vec());
    missing(store, config, records, deadline).map(|missing| missing.is_some())
}

/// The bridges of these networks that firewalld has in no zone of libvirt's. libvirt sets the zone
/// unless the network has `<forward mode='open'/>` or names another one.
pub(super) fn unzoned_bridges(
    records: &[Record],
    deadline: Deadline,
) -> Result<Vec<gates::UnzonedBridge>> {
    let mut outsiders = Vec::new();
    if firewalld::table(deadline)?.is_none() {
        return Ok(outsiders);
    }
    for record in records.iter().filter(|record| !record.access.is_empty()) {
        if let Some(bridge) = record.network.routed_bridge() {
            let zone = firewalld::zone_of(bridge.as_str(), deadline)?;
            outsiders.extend(gates::UnzonedBridge::new(bridge, zone));
        }
    }
    Ok(outsiders)
}

/// Replaces the rules of the policy object.
pub(super) fn set(store: &Store, wanted: &FirewalldRules, deadline: Deadline) -> Result<()> {
    firewalld::set_rules(&wanted.rules, deadline)?;
    let is_any = !wanted.rules.is_empty();
    Ok(store.set_firewalld(is_any.then_some(wanted))?)
}

/// Removes all rules of the policy object.
pub(super) fn clear(store: &Store, deadline: Deadline) -> Result<()> {
    match missing(store, &Config::closed(), || Ok(Vec::new()), deadline)? {
        Some(none) => set(store, &none, deadline),
        None => Ok(()),
    }
}
