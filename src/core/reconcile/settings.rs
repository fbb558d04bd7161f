//! Kernel settings, carried out and remembered.

use std::collections::BTreeSet;

use crate::{
    Error, Result,
    config::Config,
    kernel::{host, sysctl},
    network::{KernelName, Mode},
    policy,
    state::{Record, Store},
    sysctls::{self, Changed, Need, Seen, Setting},
};

/// What these networks need of settings, and the way to who is outside; none for a network that
/// is closed, or whose bridge is gone. `is_bridge` tells whether an interface is a network's,
/// be it not one of these.
pub(super) fn wanted(
    config: &Config,
    records: &[Record],
    is_bridge: impl Fn(&str) -> bool,
) -> Result<Vec<Setting>> {
    let open = records.iter().filter(|record| !record.access.is_none());
    let bridges = open.clone().filter_map(|record| {
        let bridge = record.network.routed_bridge()?;
        host::has(&bridge.into()).then(|| Need {
            interface: bridge.as_str(),
            ipv4: !record.network.subnets4().is_empty(),
            ipv6: !record.network.subnets6().is_empty(),
        })
    });
    let mut uplinks = uplinks(config, records);
    // A subnet of the config may be, or hold, a network's own, be it that of a closed one.
    uplinks.retain(|(way, _)| !is_bridge(way));
    let uplinks = uplinks.iter().map(|(interface, is_ipv4)| Need {
        interface,
        ipv4: *is_ipv4,
        ipv6: !is_ipv4,
    });
    sysctls::wanted(bridges.chain(uplinks), &sysctl::Kernel)
}

/// The interfaces that lead to who is outside and reaches these networks, or is reached by them;
/// each with whether that goes for IPv4 or for IPv6.
fn uplinks(config: &Config, records: &[Record]) -> BTreeSet<(String, bool)> {
    let outside = records
        .iter()
        .flat_map(|record| policy::outside_of(config, &record.access));
    let outside: BTreeSet<_> = outside.collect();
    let ways = outside.into_iter().flat_map(|subnet| {
        let ways = host::ways_to(subnet).into_iter();
        ways.map(move |way| (way, subnet.addr().is_ipv4()))
    });
    ways.collect()
}

fn is_known(store: &Store, interface: &str) -> bool {
    let name = interface.parse::<KernelName>();
    let is_known = |bridge| store.record(&bridge).is_ok_and(|record| record.is_some());
    name.is_ok_and(is_known)
}

/// Makes the settings so. Those that are already cost a look and are not ours to give back.
pub(super) fn make(store: &Store, config: &Config, records: &[Record]) -> Result<()> {
    let kernel = sysctl::Kernel;
    for setting in wanted(config, records, |name| is_known(store, name))? {
        // The settings of an interface go before the interface does.
        let Some(was) = kernel
            .value(&setting.key)?
            .filter(|was| *was != setting.value)
        else {
            continue;
        };
        let mut changed = store.changed()?;
        // A setting that we changed before keeps its first value: that is the one to give back.
        if !changed.iter().any(|known| known.key == setting.key) {
            changed.push(Changed {
                key: setting.key.clone(),
                was,
                set: setting.value.clone(),
            });
            store.set_changed(&changed)?;
        }
        match sysctl::write(&setting.key, &setting.value) {
            Err(why) if kernel.value(&setting.key)?.is_some() => return Err(why),
            // Gone in between.
            _ => {}
        }
    }
    Ok(())
}

/// What a look at the settings shows.
pub(super) struct Look {
    /// Those that are not so, for the log.
    pub(super) wrong: Vec<String>,
    /// One of those that the kernel tells nobody of.
    pub(super) untold: Option<Setting>,
}

/// Looks at them all.
pub(super) fn look(store: &Store, config: &Config, records: &[Record]) -> Result<Look> {
    let wanted = wanted(config, records, |name| is_known(store, name))?;
    let mut wrong = Vec::new();
    for setting in &wanted {
        let is = sysctl::Kernel.value(&setting.key)?;
        if let Some(is) = is.filter(|is| *is != setting.value) {
            wrong.push(format!("{} was {is}", setting.key.name()));
        }
    }
    let untold = wanted.into_iter().find(|setting| setting.key.is_untold());
    Ok(Look { wrong, untold })
}

/// Gives the settings of these networks' bridges back.
pub(super) fn restore_of(store: &Store, records: &[Record]) -> Result<()> {
    let bridges: Vec<_> = records
        .iter()
        .filter_map(|r| r.network.routed_bridge())
        .collect();
    let is_theirs = |changed: &Changed| {
        bridges
            .iter()
            .any(|bridge| bridge.as_str() == changed.key.interface())
    };
    let known = store.changed()?;
    let (theirs, others): (Vec<_>, Vec<_>) = known.into_iter().partition(is_theirs);
    if theirs.is_empty() {
        return Ok(());
    }
    restore(&theirs)?;
    store.set_changed(&others)
}

/// Gives all settings back, but IPv6 forwarding of the host while one of `records` runs that
/// libvirt routes IPv6 for: it switched that on too, and found it on.
pub(super) fn restore_all(store: &Store, records: &[Record]) -> Result<()> {
    let needs_ipv6 = |record: &Record| {
        let network = &record.network;
        network.mode != Mode::Isolated
            && !network.subnets6().is_empty()
            && network
                .known_bridge()
                .is_some_and(|bridge| host::has(&bridge))
    };
    let keep_ipv6 = records.iter().any(needs_ipv6);
    let is_hosts = |changed: &Changed| {
        changed.key.name().starts_with("net.ipv6.")
            && !changed.key.name().ends_with(".force_forwarding")
    };
    let changed = store.changed()?.into_iter();
    let changed: Vec<_> = changed
        .filter(|one| !(keep_ipv6 && is_hosts(one)))
        .collect();
    restore(&changed)
}

fn restore(changed: &[Changed]) -> Result<()> {
    // Backwards: accept_ra was raised before forwarding was switched on.
    let outcomes =
        changed
            .iter()
            .rev()
            .map(|one| match sysctls::may_restore(one, &sysctl::Kernel)? {
                true => sysctl::write(&one.key, &one.was),
                false => Ok(()),
            });
    Error::all(outcomes.filter_map(Result::err).collect())
}
