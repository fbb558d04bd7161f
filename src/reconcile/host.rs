//! The state of the host that the table depends on: routes, sysctls, firewalld and Docker.

use std::collections::BTreeSet;

use ipnet::IpNet;

use crate::{
    Result, Warning,
    session::{FEW, Session},
    sysctls::{self, BridgeSysctls},
};
use virt_forward_policy::{self as policy, config::Config, network::KernelName};
use virt_forward_ruleset::{
    gates::direct,
    routing::{Found, From, Source, survey},
    sysctls::{Plan, Setting},
    table::{Enabled, Host, Ip},
};
use virt_forward_system::{
    deadline::Deadline,
    exec::firewalld,
    links,
    netlink::{direct_access, routes},
    state::{Basis, Record, Store},
};

/// The host, and the sysctls that it needs.
pub(super) struct HostState {
    /// The facts that the table depends on.
    pub(super) host: Host,
    /// Bridges of networks that forward because of virt-forward.
    enabled: BTreeSet<Enabled>,
    /// The facts that later events rely on.
    pub(super) basis: Basis,
    /// Docker's rules about packets to containers' own addresses.
    pub(super) direct_access: Vec<direct::DirectAccessRule>,
    /// The changes of sysctls.
    pub(super) plan: Plan,
    /// The desired sysctls.
    pub(super) wanted: Vec<Setting>,
    /// Lookups that failed, and routes that the table cannot hold.
    pub(super) warnings: Vec<Warning>,
}

impl HostState {
    /// A desired sysctl whose changes the kernel does not announce.
    pub(super) fn untold(&self) -> Option<&Setting> {
        let mut wanted = self.wanted.iter();
        wanted.find(|setting| setting.key.has_no_notification())
    }
}

impl HostState {
    /// The families that the bridge of a network forwards because of virt-forward.
    pub(super) fn enabled_of(&self, record: &Record) -> BTreeSet<Ip> {
        let bridge = record.network.routed_bridge();
        let bridge = bridge.map_or("", |bridge| bridge.as_str());
        let all = self.enabled.iter();
        all.filter(|one| one.interface == bridge)
            .map(|one| one.family)
            .collect()
    }
}

impl Session<'_> {
    /// The state of the host for these networks. `usable` is the configuration without conflicts.
    pub(super) fn host_state(&self, usable: &Config, records: &[Record]) -> Result<HostState> {
        let is_bridge = |name: &str| is_known(self.store, name);
        host_state(self.store, usable, records, is_bridge, self.deadline)
    }

    /// The changes of sysctls for a network that starts; none if the table has to be built for another
    /// state of the host. Reads only what concerns the network, so that the cost of an event does not
    /// grow with the number of networks.
    pub(super) fn part_of_start(&self, record: &Record) -> Result<Option<BridgeSysctls>> {
        let Some(built) = self.store.layout().map(|built| built.host()) else {
            return Ok(Some(BridgeSysctls::default()));
        };
        let Some(basis) = self.basis_that_holds()? else {
            return Ok(None);
        };
        let usable = self.usable();
        let records = std::slice::from_ref(record);
        let ways = match self.are_ways_known(&usable, record, &basis)? {
            true => Ways::default(),
            false => {
                let is_bridge = |name: &str| is_known(self.store, name);
                ways(&usable, records, is_bridge, self.deadline)?
            }
        };
        let Some(part) = BridgeSysctls::of_start(self.store, record, &ways.found.ways)? else {
            return Ok(None);
        };
        // Without it, replies of some containers are lost, and nothing else.
        let direct_access = direct_access(&usable, self.deadline).unwrap_or_default();
        let masqueraded = direct::masqueraded(&direct_access, &open_bridges(records));
        let is_first = basis.switches.is_none() && part.changes_something();
        let is_as_built = !is_first
            && part.enabled.is_subset(&built.restricted)
            && ways.found.return_paths.is_subset(&built.return_paths)
            && admits_by_address(&usable, self.deadline)? == built.drops_forged_peers
            && masqueraded.is_subset(&built.masqueraded);
        Ok(is_as_built.then_some(part))
    }

    /// The changes of sysctls for networks that are closed, under the same condition.
    pub(super) fn part_of_close(&self, leaving: &[Record]) -> Result<Option<BridgeSysctls>> {
        if self.store.layout().is_none() {
            return Ok(Some(BridgeSysctls::default()));
        }
        let Some(basis) = self.basis_that_holds()? else {
            return Ok(None);
        };
        if basis.switches.is_none() {
            return Ok(Some(BridgeSysctls::default()));
        }
        match self.are_enough_left(leaving, &basis)? {
            true => BridgeSysctls::of_close(self.store, leaving),
            false => Ok(None),
        }
    }

    /// The facts that the table was built on, if they still hold.
    fn basis_that_holds(&self) -> Result<Option<Basis>> {
        let Some(basis) = self.store.basis()? else {
            return Ok(None);
        };
        let is_so = match basis.switches {
            Some(switches) => sysctls::switches()? == switches,
            None => true,
        };
        Ok(is_so.then_some(basis))
    }

    /// Whether the routes to external subnets were read for another network, so that they need not be
    /// read for this one. With few networks they always are.
    fn are_ways_known(&self, usable: &Config, record: &Record, basis: &Basis) -> Result<bool> {
        let outside = policy::external_subnets(usable, &record.access);
        let families = families(record);
        let outside = outside
            .iter()
            .filter(|net| families.contains(&Ip::of(net.addr())));
        Ok(basis.has_ways_to(outside) && self.store.are_more_known_than(FEW)?)
    }

    /// Whether networks that stay open need everything that those in `leaving` needed.
    fn are_enough_left(&self, leaving: &[Record], basis: &Basis) -> Result<bool> {
        let usable = self.usable();
        let enabled = self.store.layout().map(|built| built.host().enabled);
        let enabled = enabled.unwrap_or_default();
        let is_leaving = |record: &Record| {
            let mut bridges = leaving.iter().map(|one| &one.network.bridge);
            bridges.any(|bridge| *bridge == record.network.bridge)
        };
        for record in leaving {
            for family in &record.enabled {
                let mut others = enabled.iter();
                let has_it = |one: &Record| one.enabled.contains(family) && !is_leaving(one);
                if !others.any(|other| other.family == *family)
                    && self.store.find_open(has_it)?.is_none()
                {
                    return Ok(false);
                }
            }
            let outside = policy::external_subnets(&usable, &record.access);
            let families = families(record);
            let needs_shared = !outside.is_empty() || families.contains(&Ip::V6);
            if basis.shared.is_empty() || !needs_shared {
                continue;
            }
            let needs_it_too = |one: &Record| {
                let theirs = policy::external_subnets(&usable, &one.access);
                !is_leaving(one)
                    && outside.iter().all(|net| theirs.contains(net))
                    && self::families(one).is_superset(&families)
            };
            if basis.is_by_source || self.store.find_open(needs_it_too)?.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// The families of an open network's subnets.
fn families(record: &Record) -> BTreeSet<Ip> {
    let subnets = record.network.subnets().into_iter();
    subnets.map(|net| Ip::of(net.addr())).collect()
}

/// The state of the host for these networks. `usable` is the configuration without conflicts;
/// `is_bridge` says whether an interface is the bridge of any network, as a subnet of the configuration
/// may contain one of a network.
pub(super) fn host_state(
    store: &Store,
    usable: &Config,
    records: &[Record],
    is_bridge: impl Fn(&str) -> bool,
    deadline: Deadline,
) -> Result<HostState> {
    let ways = ways(usable, records, &is_bridge, deadline)?;
    let found = ways.found;
    let (wanted, plan) = sysctls::plan(store, records, &found.ways)?;
    let (enabled, enabled_all_ipv6) = sysctls::enabled(&plan, records)?;
    let restricted = enabled.iter().map(|one| one.family).collect();
    let (of_networks, enabled): (BTreeSet<_>, BTreeSet<_>) = enabled
        .into_iter()
        .partition(|one| is_bridge(&one.interface));
    let too_much = found.is_too_much.then_some(Warning::TooManyRoutes);
    let mut warnings: Vec<_> = too_much.into_iter().collect();
    // Without it, replies of some containers are lost, and nothing else.
    let direct_access = direct_access(usable, deadline).unwrap_or_else(|why| {
        warnings.push(why.into());
        Vec::new()
    });
    let mut bridged = bridged(&enabled, enabled_all_ipv6);
    bridged.retain(|name| !is_bridge(name));
    Ok(HostState {
        host: Host {
            bridged,
            enabled,
            restricted,
            enabled_all_ipv6,
            return_paths: found.return_paths,
            drops_forged_peers: admits_by_address(usable, deadline)?,
            masqueraded: direct::masqueraded(&direct_access, &open_bridges(records)),
        },
        enabled: of_networks,
        basis: Basis {
            outside: ways.outside,
            is_by_source: ways.is_by_source,
            ..sysctls::basis(&plan, &is_bridge)?
        },
        direct_access,
        wanted,
        plan,
        warnings,
    })
}

fn direct_access(usable: &Config, deadline: Deadline) -> Result<Vec<direct::DirectAccessRule>> {
    match usable.references_subnets() {
        true => Ok(direct_access::rules(deadline)?),
        false => Ok(Vec::new()),
    }
}

/// Whether an interface is the bridge of a recorded network.
fn is_known(store: &Store, interface: &str) -> bool {
    let name = interface.parse::<KernelName>();
    let is_known = |bridge: KernelName| store.record(&bridge).is_ok_and(|record| record.is_some());
    name.is_ok_and(is_known)
}

/// The host's routes to external subnets.
#[derive(Default)]
struct Ways {
    found: Found,
    /// The subnets whose routes were read.
    outside: BTreeSet<IpNet>,
    /// Some routing rule depends on the source address.
    is_by_source: bool,
}

/// Reads the routes to the external subnets that reach these networks or are reached by them.
fn ways(
    usable: &Config,
    records: &[Record],
    is_bridge: impl Fn(&str) -> bool,
    deadline: Deadline,
) -> Result<Ways> {
    let outside = records
        .iter()
        .flat_map(|record| policy::external_subnets(usable, &record.access));
    let outside: BTreeSet<_> = outside.collect();
    let sources = sources(records);
    let mut ways = Ways::default();
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
        let is_wanted = |to: &IpNet| subnets.iter().any(|subnet| policy::overlap(subnet, to));
        let is_source = |from: &IpNet| {
            let mut own = sources.iter();
            own.any(|source| policy::overlap(&source.subnet, from))
        };
        let routing = routes::routing(family, is_wanted, is_source, deadline)?;
        let mut rules = routing.rules.iter();
        ways.is_by_source |= rules.any(|rule| rule.from != From::default());
        ways.found = ways.found.and(survey(&routing, &subnets, &sources));
        ways.outside.extend(subnets);
    }
    let found = &mut ways.found;
    found.ways.retain(|(interface, _)| !is_bridge(interface));
    found
        .return_paths
        .retain(|path| !is_bridge(&path.interface));
    Ok(ways)
}

/// The subnets of open networks, as the sources of replies.
fn sources(records: &[Record]) -> Vec<Source> {
    let open = records.iter().filter(|record| !record.access.is_empty());
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

/// Bridges that are no network's: br_netfilter may show packets within one of them to our table as if
/// they were forwarded.
fn bridged(enabled: &BTreeSet<Enabled>, is_all_ipv6: bool) -> BTreeSet<String> {
    let enabled = enabled.iter().map(|one| one.interface.clone());
    let enabled = enabled.filter(|name| links::is_bridge(name));
    let all = is_all_ipv6.then(links::bridges).unwrap_or_default();
    enabled.chain(all).collect()
}

/// Whether firewalld runs with our rich rules, which accept peers by their addresses alone.
fn admits_by_address(usable: &Config, deadline: Deadline) -> Result<bool> {
    Ok(usable.allows_inbound_external() && firewalld::table(deadline)?.is_some())
}

fn open_bridges(records: &[Record]) -> BTreeSet<String> {
    let open = records.iter().filter(|record| !record.access.is_empty());
    let bridges = open.filter_map(|record| record.network.routed_bridge());
    bridges.map(ToString::to_string).collect()
}
