//! What the table has to know of the host, looked up.

use std::collections::BTreeSet;

use ipnet::IpNet;

use super::{Run, settings};
use crate::{
    Error, Result,
    config::Config,
    gates::direct,
    kernel::{deadline::Deadline, direct_access, firewalld, host, routing},
    network::KernelName,
    policy,
    routing::{Found, Source, survey},
    state::{Record, Store},
    sysctls::{Plan, Setting},
    table::{Host, Ip},
};

/// The host, and the settings that go with it.
pub(super) struct Surroundings {
    /// What the table has to know.
    pub(super) host: Host,
    /// Docker's rules that go with it.
    pub(super) direct_access: Vec<direct::Rule>,
    /// What becomes of settings.
    pub(super) plan: Plan,
    /// The settings that are wanted.
    pub(super) wanted: Vec<Setting>,
    /// What could not be looked up, or is more than the table can hold.
    pub(super) troubles: Vec<Error>,
}

impl Surroundings {
    /// A setting that is wanted, and that the kernel tells nobody of.
    pub(super) fn untold(&self) -> Option<&Setting> {
        let mut wanted = self.wanted.iter();
        wanted.find(|setting| setting.key.is_untold())
    }
}

impl Run<'_> {
    /// Looks around, for these networks; without peers that are not used.
    pub(super) fn surroundings(&self, usable: &Config, records: &[Record]) -> Result<Surroundings> {
        let is_bridge = |name: &str| is_known(self.store, name);
        surroundings(self.store, usable, records, is_bridge, self.deadline)
    }

    /// Whether the table was built for the host as it is with one more network, and no setting has
    /// to be changed. It may need more than that one; but to look at all of them is worth it only
    /// where settings were changed before, which may be another's by now.
    pub(super) fn is_host_as_built_with(&self, record: &Record) -> Result<bool> {
        if !self.store.changed()?.is_empty() {
            let known = self.store.records()?.into_iter();
            let bridge = &record.network.bridge;
            let others = known.filter(|known| known.network.bridge != *bridge);
            return self.is_host_as_built(&others.chain([record.clone()]).collect::<Vec<_>>());
        }
        let Some(built) = self.store.layout().map(|built| built.host()) else {
            return Ok(true);
        };
        let around = self.surroundings(&self.usable(), std::slice::from_ref(record))?;
        Ok(around.plan.set.is_empty()
            && around.host.return_paths.is_subset(&built.return_paths)
            && around.host.drops_forged_peers == built.drops_forged_peers
            && around.host.masqueraded.is_subset(&built.masqueraded))
    }

    /// The same with some networks less.
    pub(super) fn is_host_as_built_without(&self, leaving: &[Record]) -> Result<bool> {
        if self.store.changed()?.is_empty() {
            return Ok(true);
        }
        let known = self.store.records()?.into_iter();
        let leaves = |record: &Record| {
            leaving
                .iter()
                .any(|one| one.network.bridge == record.network.bridge)
        };
        self.is_host_as_built(&known.filter(|record| !leaves(record)).collect::<Vec<_>>())
    }

    /// Whether the table was built for the host as it is with these networks, and no setting has to
    /// be changed.
    pub(super) fn is_host_as_built(&self, records: &[Record]) -> Result<bool> {
        let Some(built) = self.store.layout().map(|built| built.host()) else {
            return Ok(true);
        };
        let around = self.surroundings(&self.usable(), records)?;
        let is_settled = around.plan.set.is_empty() && around.plan.restored.is_empty();
        Ok(is_settled && around.host == built)
    }
}

/// Looks around, for these networks; without peers that are not used. `is_bridge` tells whether an
/// interface is a network's, be it not one of these: a subnet of the config may be, or hold, a
/// network's own.
pub(super) fn surroundings(
    store: &Store,
    usable: &Config,
    records: &[Record],
    is_bridge: impl Fn(&str) -> bool,
    deadline: Deadline,
) -> Result<Surroundings> {
    let found = ways(usable, records, is_bridge, deadline)?;
    let (wanted, plan) = settings::plan(store, records, &found.ways)?;
    let (enabled, enabled_all_ipv6) = settings::enabled(&plan, records)?;
    let too_much = found.is_too_much.then_some(Error::ManyRoutes);
    let mut troubles: Vec<_> = too_much.into_iter().collect();
    // Without it some containers have no answer, and all else is as it should be.
    let direct_access = match usable.names_subnets() {
        true => direct_access::rules(deadline).unwrap_or_else(|why| {
            troubles.push(why);
            Vec::new()
        }),
        false => Vec::new(),
    };
    Ok(Surroundings {
        host: Host {
            bridged: bridged(&enabled, enabled_all_ipv6),
            enabled,
            enabled_all_ipv6,
            return_paths: found.return_paths,
            drops_forged_peers: admits_by_address(usable, deadline)?,
            masqueraded: direct::masqueraded(&direct_access, &open_bridges(records)),
        },
        direct_access,
        wanted,
        plan,
        troubles,
    })
}

/// Whether an interface is the bridge of a network that is known.
fn is_known(store: &Store, interface: &str) -> bool {
    let name = interface.parse::<KernelName>();
    let is_known = |bridge: KernelName| store.record(&bridge).is_ok_and(|record| record.is_some());
    name.is_ok_and(is_known)
}

/// The ways to who is outside and reaches these networks, or is reached by them.
fn ways(
    usable: &Config,
    records: &[Record],
    is_bridge: impl Fn(&str) -> bool,
    deadline: Deadline,
) -> Result<Found> {
    let outside = records
        .iter()
        .flat_map(|record| policy::outside_of(usable, &record.access));
    let outside: BTreeSet<_> = outside.collect();
    let sources = sources(records);
    let mut all = Found::default();
    for family in [Ip::V4, Ip::V6] {
        let subnets = outside.iter().filter(|net| Ip::of(net.addr()) == family);
        let subnets: Vec<IpNet> = subnets.copied().collect();
        let sources = sources
            .iter()
            .filter(|source| Ip::of(source.subnet.addr()) == family);
        let sources: Vec<Source> = sources.cloned().collect();
        if subnets.is_empty() || sources.is_empty() {
            continue;
        }
        let is_wanted = |to: &IpNet| subnets.iter().any(|subnet| policy::share(subnet, to));
        let is_source = |from: &IpNet| {
            let mut own = sources.iter();
            own.any(|source| policy::share(&source.subnet, from))
        };
        let routing = routing::routing(family, is_wanted, is_source, deadline)?;
        all = all.and(survey(&routing, &subnets, &sources));
    }
    all.ways.retain(|(interface, _)| !is_bridge(interface));
    all.return_paths.retain(|path| !is_bridge(&path.interface));
    Ok(all)
}

/// The open networks among these, as replies come from them.
fn sources(records: &[Record]) -> Vec<Source> {
    let open = records.iter().filter(|record| !record.access.is_none());
    let sources = open.flat_map(|record| {
        let bridge = record.network.routed_bridge();
        let subnets = record.access.own.clone().into_iter();
        bridge.into_iter().flat_map(move |bridge| {
            subnets.clone().map(|subnet| Source {
                bridge: bridge.to_string(),
                subnet,
            })
        })
    });
    sources.collect()
}

/// Bridges of the host: what passes within one of them may be shown to the table as if it were
/// forwarded (br_netfilter), and is none of ours.
fn bridged(enabled: &BTreeSet<crate::table::Enabled>, is_all_ipv6: bool) -> BTreeSet<String> {
    let enabled = enabled.iter().map(|one| one.interface.clone());
    let enabled = enabled.filter(|name| host::is_bridge(name));
    let all = is_all_ipv6.then(host::bridges).unwrap_or_default();
    enabled.chain(all).collect()
}

/// Whether another firewall lets peers in by their addresses alone: firewalld, by our rich rules.
fn admits_by_address(usable: &Config, deadline: Deadline) -> Result<bool> {
    Ok(usable.lets_in() && firewalld::table(deadline)?.is_some())
}

fn open_bridges(records: &[Record]) -> BTreeSet<String> {
    let open = records.iter().filter(|record| !record.access.is_none());
    let bridges = open.filter_map(|record| record.network.routed_bridge());
    bridges.map(ToString::to_string).collect()
}
