//! The desired and the observed state, for `--dry-run` and `status`. Changes nothing.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    ConfigConflict, Result, Warning, config_conflicts, firewalld,
    gates::{GateSpec, ScanScope, scan},
    host::{HostState, host_state},
    members::{is_any_open, members},
    remove::is_admin_closed,
    session::conflicts,
};
use virt_forward_policy::{
    self as policy,
    config::Config,
    netfilter::{Family, TABLE},
    network::{Mode, Network, XmlError},
};
use virt_forward_ruleset::{
    gates::{self, BlockingChain, GateState, Survey, UnzonedBridge, direct},
    sysctls::{Setting, SysctlReader},
    table::{self, Batch, Host},
};
use virt_forward_system::{
    deadline::Deadline,
    exec::{dry_run, nft},
    libvirt::status::Active,
    links, paths,
    state::{NetworkState, Record, Store, Unread},
    sysctl,
};

/// The desired state for some networks, with the observations that it depends on.
#[derive(Debug)]
pub struct Preview {
    /// The networks, each with its access.
    pub records: Vec<Record>,
    /// The configuration without conflicts, from which records, table and verdicts follow.
    pub usable: Config,
    /// The desired table in nft's syntax; none if no network is open.
    pub table: Option<String>,
    /// The host that the table depends on.
    pub host: Host,
    /// The host has changed since the present table was built.
    pub is_host_changed: bool,
    /// Docker's rules about packets to containers' own addresses.
    pub direct_access: Vec<direct::DirectAccessRule>,
    /// The firewalls of this host, with gates and blocking chains.
    pub survey: Survey,
    /// A part of the observed state that could not be read.
    pub trouble: Option<Warning>,
    /// libvirt has networks that need rules of its own, and those rules are gone.
    pub is_libvirt_flushed: bool,
    /// Bridges that firewalld has in no zone of libvirt's.
    pub outsiders: Vec<UnzonedBridge>,
    /// firewalld's policy object lacks the rules for peers.
    pub is_firewalld_closed: bool,
    /// The conflicts between the configuration and the networks.
    pub misfits: Vec<ConfigConflict>,
    /// The desired sysctls with their observed values.
    pub settings: Vec<SettingSeen>,
}

/// A sysctl that open networks need.
#[derive(Clone, Debug)]
pub struct SettingSeen {
    /// The sysctl and its desired value.
    pub wanted: Setting,
    /// Its observed value; none if its interface does not exist.
    pub value: Option<String>,
}

impl SettingSeen {
    /// Whether it has the desired value.
    pub fn is_right(&self) -> bool {
        self.value.as_ref() == Some(&self.wanted.value)
    }
}

/// The desired state beside the observed table.
#[derive(Debug)]
pub struct Inspection {
    /// The desired state.
    pub wanted: Preview,
    /// The observed table in nft's syntax.
    pub table: Option<String>,
}

impl Inspection {
    /// Whether the observed table is the desired one.
    pub fn is_table_right(&self) -> bool {
        match (&self.table, &self.wanted.table) {
            (Some(seen), Some(wanted)) => {
                table::is_equivalent(seen, wanted) && !self.wanted.is_host_changed
            }
            (None, None) => true,
            _ => false,
        }
    }

    /// Whether there is no drift at all.
    pub fn is_all_right(&self) -> bool {
        let open = self.wanted.table.is_some();
        let survey = &self.wanted.survey;
        let gate_right = |state: GateState| match state {
            GateState::Present => open,
            GateState::Missing => !open,
            GateState::Shadowed | GateState::High => false,
            GateState::NotNeeded => true,
        };
        let refuses = |obstacle: &BlockingChain| open && obstacle.is_certain;
        self.is_table_right()
            && survey.all().all(|site| gate_right(site.state))
            && !survey.obstacles.iter().any(refuses)
            && self.wanted.trouble.is_none()
            && !self.wanted.is_libvirt_flushed
            && !self.wanted.is_firewalld_closed
            && self.wanted.outsiders.iter().all(|one| one.zone.is_some())
            && self.wanted.misfits.is_empty()
            && self.wanted.settings.iter().all(SettingSeen::is_right)
    }
}

/// The desired state for active networks under `config`. `is_closed` selects networks that the
/// administrator closed. `built` is the host that the present table was built for, to be compared with
/// the host as it is; without it the desired table is for the host as it is.
pub fn preview(
    config: &Config,
    active: Active,
    is_closed: impl Fn(&Network) -> bool,
    built: Option<Host>,
    deadline: Deadline,
) -> Result<Preview> {
    let store = Store::at(paths::STATE);
    let unread = unread(&store, active.unread)?;
    let shut = (!unread.is_empty()).then(|| policy::without_outside(config));
    let config = shut.as_ref().unwrap_or(config);
    let is_known = |network: &Network| network.known_bridge().is_some();
    let networks: Vec<_> = active.networks.into_iter().filter(is_known).collect();
    let all: Vec<_> = networks.iter().collect();
    let unused = conflicts(config, &all, deadline)?;
    let usable = policy::without(config, &unused);
    let mut misfits = config_conflicts(config, unused, networks.iter());
    let records = networks
        .into_iter()
        .map(|network| match is_closed(&network) {
            true => Record::closed(network, NetworkState::AdminClosed),
            false => Record::new(&usable, network),
        });
    let records: Vec<_> = records.collect();
    let mut present: Vec<_> = records
        .iter()
        .filter(|record| is_present(record))
        .cloned()
        .collect();
    let closed = known_closed(&store, &present)?;
    misfits.extend(unread);
    misfits.extend(closed.iter().filter_map(left_behind));
    let config = &usable;
    let is_bridge = |name: &str| {
        let mut bridges = records
            .iter()
            .chain(&closed)
            .filter_map(|record| record.network.known_bridge());
        bridges.any(|bridge| bridge.as_str() == name)
    };
    let state = host_state(&store, config, &present, is_bridge, deadline)?;
    // The present table is compared with the one for the host that it was built for: changes of the
    // host since then are a finding of their own.
    let is_forwarding_changed = match &built {
        Some(_) => has_other_enabled(&store, &mut present, &state)?,
        None => {
            let enable = |one: &mut Record| one.enabled = state.enabled_of(one);
            present.iter_mut().for_each(enable);
            false
        }
    };
    let members = [members(&present), members(&closed)].concat();
    let table = match is_any_open(&present) {
        false => None,
        true => {
            let mut batch = Batch::default();
            let layout = table::Layout::of(config, built.as_ref().unwrap_or(&state.host));
            table::replace_table(&mut batch, &layout, &members);
            dry_run::list_table(&batch, TABLE, deadline)?
        }
    };
    let settings = state.wanted.into_iter();
    let settings = settings.map(|wanted| {
        let value = sysctl::Kernel.value(&wanted.key)?;
        Ok(SettingSeen { wanted, value })
    });
    let settings = settings.collect::<Result<Vec<_>>>()?;
    // A sysctl without its desired value changes the host, too: that is one finding, not two.
    let is_host_changed = settings.iter().all(SettingSeen::is_right)
        && (is_forwarding_changed || built.is_some_and(|built| built != state.host));
    let seen = scan(&GateSpec::of(config), ScanScope::AllChains, deadline)?;
    let survey = seen.survey;
    Ok(Preview {
        table,
        host: state.host,
        is_host_changed,
        direct_access: state.direct_access,
        is_libvirt_flushed: is_libvirt_flushed(&survey, &records),
        survey,
        trouble: seen
            .failure
            .map(Warning::from)
            .or_else(|| state.warnings.into_iter().next()),
        // A firewalld that does not reply hides nothing else.
        outsiders: firewalld::unzoned_bridges(&present, deadline).unwrap_or_default(),
        is_firewalld_closed: firewalld::is_missing(&store, config, &records, deadline)?,
        misfits,
        settings,
        records,
        usable,
    })
}

/// Copies from the records which bridges forward because of virt-forward; returns whether that differs
/// from the host as it is.
fn has_other_enabled(store: &Store, present: &mut [Record], state: &HostState) -> Result<bool> {
    let mut is_other = false;
    for record in present {
        if let Some(bridge) = record.network.known_bridge() {
            let known = store.record(&bridge)?;
            record.enabled = known.map(|known| known.enabled).unwrap_or_default();
            is_other |= record.enabled != state.enabled_of(record);
        }
    }
    Ok(is_other)
}

/// Whether the bridge of the network exists.
fn is_present(record: &Record) -> bool {
    let bridge = record.network.known_bridge();
    bridge.is_some_and(|bridge| links::exists(&bridge))
}

/// Networks whose bridge is not known, according to libvirt's status files and to earlier events.
fn unread(store: &Store, active: Vec<(Vec<u8>, XmlError)>) -> Result<Vec<ConfigConflict>> {
    let known = store.unread()?.into_iter();
    let mut all: BTreeMap<_, _> = known.map(|one| (one.name.clone(), one)).collect();
    for (name, why) in active {
        all.entry(name.clone())
            .or_insert_with(|| Unread::new(&name, why));
    }
    Ok(all.into_values().map(ConfigConflict::from).collect())
}

/// Recorded networks beside these that are closed: they are starting, or libvirt does not have them
/// active, or their bridges do not exist any more.
fn known_closed(store: &Store, records: &[Record]) -> Result<Vec<Record>> {
    let bridges = records.iter().map(|record| record.network.known_bridge());
    let bridges: BTreeSet<_> = bridges.collect();
    let mut others = store.records()?;
    others.retain(|record| {
        record.access.is_empty() && !bridges.contains(&record.network.known_bridge())
    });
    Ok(others)
}

fn left_behind(record: &Record) -> Option<ConfigConflict> {
    let is_left = record.state == NetworkState::Inactive && is_present(record);
    let bridge = record.network.known_bridge().filter(|_| is_left)?;
    let network = record.network.name.clone();
    Some(ConfigConflict::NotActive { network, bridge })
}

/// Inspects the host for the networks that are active.
pub fn inspect(config: &Config, active: Active, deadline: Deadline) -> Result<Inspection> {
    let store = Store::at(paths::STATE);
    Ok(Inspection {
        wanted: preview(
            config,
            active,
            // If the record cannot be read, the network is shown as the configuration has it.
            |network| is_admin_closed(&store, network).unwrap_or_default(),
            store.layout().map(|built| built.host()),
            deadline,
        )?,
        table: nft::list(TABLE, deadline)?,
    })
}

/// Whether libvirt has networks that need rules of its own, and those rules are missing. libvirt creates
/// the rules of a network after its `start` hook.
pub(super) fn is_libvirt_flushed(survey: &Survey, records: &[Record]) -> bool {
    let mut with_rules = records
        .iter()
        .filter(|record| record.state != NetworkState::Starting)
        .map(|record| &record.network)
        .filter(|network| matches!(network.mode, Mode::Nat | Mode::Route | Mode::Isolated));
    with_rules.any(|network| {
        let gone = |family| gates::are_libvirt_rules_missing(survey, family);
        !network.subnets4().is_empty() && gone(Family::Ip)
            || !network.subnets6().is_empty() && gone(Family::Ip6)
    })
}
