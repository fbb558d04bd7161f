//! What would be done, and what is there: for `--dry-run` and `status`. Nothing is changed.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    ConfigConflict, Result, Warning, config_conflicts, firewalld,
    gates::{Reach, Wish, look},
    host::{Surroundings, surroundings},
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
    gates::{self, Obstacle, Outsider, State, Survey, direct},
    sysctls::{Seen, Setting},
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

/// What is wanted for some networks.
#[derive(Debug)]
pub struct Preview {
    /// Each with what the config opens it for.
    pub records: Vec<Record>,
    /// The config without what must not be used: what records, table and verdicts are made from.
    pub usable: Config,
    /// nft's text of our table; nothing where no network is open.
    pub table: Option<String>,
    /// What the table has to know of the host.
    pub host: Host,
    /// What the table that is there knows of the host is out of date.
    pub is_host_changed: bool,
    /// Docker's rules about packets to containers' own addresses.
    pub direct_access: Vec<direct::Rule>,
    /// The firewalls of this host: gates that are wanted, and what stands in the way.
    pub survey: Survey,
    /// A part of the observed state that could not be read.
    pub trouble: Option<Warning>,
    /// libvirt's own rules are gone, though it has networks that need them.
    pub is_libvirt_flushed: bool,
    /// Bridges that firewalld refuses, or may.
    pub outsiders: Vec<Outsider>,
    /// firewalld keeps peers out.
    pub is_firewalld_closed: bool,
    /// What the config and the networks do not agree in.
    pub misfits: Vec<ConfigConflict>,
    /// Every setting that is wanted, and what it is now.
    pub settings: Vec<SettingSeen>,
}

/// A setting that open networks need.
#[derive(Clone, Debug)]
pub struct SettingSeen {
    /// Which, and what it should be.
    pub wanted: Setting,
    /// What it is; nothing where the bridge is gone.
    pub value: Option<String>,
}

impl SettingSeen {
    /// Whether it is as it should be.
    pub fn is_right(&self) -> bool {
        self.value.as_ref() == Some(&self.wanted.value)
    }
}

/// What is there, beside what is wanted.
#[derive(Debug)]
pub struct Inspection {
    /// What is wanted.
    pub wanted: Preview,
    /// nft's text of our table as it is.
    pub table: Option<String>,
}

impl Inspection {
    /// Whether our table is what it should be, to the letter.
    pub fn is_table_right(&self) -> bool {
        match (&self.table, &self.wanted.table) {
            (Some(seen), Some(wanted)) => table::same(seen, wanted) && !self.wanted.is_host_changed,
            (None, None) => true,
            _ => false,
        }
    }

    /// Whether everything is.
    pub fn is_all_right(&self) -> bool {
        let open = self.wanted.table.is_some();
        let survey = &self.wanted.survey;
        let gate_right = |state: State| match state {
            State::Standing => open,
            State::Missing => !open,
            State::Sunk | State::High => false,
            State::Unneeded => true,
        };
        let refuses = |obstacle: &Obstacle| open && obstacle.is_certain;
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

/// What `config` wants for the networks that are active; nothing for those of them that `is_closed`
/// names. `built` is the host that a table was built for, which is to be compared; without it the
/// table is that of the host as it is.
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
    let around = surroundings(&store, config, &present, is_bridge, deadline)?;
    // What is there is held against what it was built for: what has changed of the host since is
    // another finding.
    let is_forwarding_changed = match &built {
        Some(_) => has_other_enabled(&store, &mut present, &around)?,
        None => {
            let enable = |one: &mut Record| one.enabled = around.enabled_of(one);
            present.iter_mut().for_each(enable);
            false
        }
    };
    let members = [members(&present), members(&closed)].concat();
    let table = match is_any_open(&present) {
        false => None,
        true => {
            let mut batch = Batch::default();
            let layout = table::Layout::of(config, built.as_ref().unwrap_or(&around.host));
            table::whole(&mut batch, &layout, &members);
            dry_run::listed(&batch, TABLE, deadline)?
        }
    };
    let settings = around.wanted.into_iter();
    let settings = settings.map(|wanted| {
        let value = sysctl::Kernel.value(&wanted.key)?;
        Ok(SettingSeen { wanted, value })
    });
    let settings = settings.collect::<Result<Vec<_>>>()?;
    // Settings that are not as wanted change what the host is: one finding, not two.
    let is_host_changed = settings.iter().all(SettingSeen::is_right)
        && (is_forwarding_changed || built.is_some_and(|built| built != around.host));
    let seen = look(&Wish::of(config), Reach::Everywhere, deadline)?;
    let survey = seen.survey;
    Ok(Preview {
        table,
        host: around.host,
        is_host_changed,
        direct_access: around.direct_access,
        is_libvirt_flushed: is_libvirt_flushed(&survey, &records),
        survey,
        trouble: seen
            .trouble
            .map(Warning::from)
            .or_else(|| around.warnings.into_iter().next()),
        // A firewalld that does not answer is no reason to show nothing.
        outsiders: firewalld::outsiders(&present, deadline).unwrap_or_default(),
        is_firewalld_closed: firewalld::is_missing(&store, config, &records, deadline)?,
        misfits,
        settings,
        records,
        usable,
    })
}

/// Takes which bridges forward because of virt-forward from the records; whether they do not say
/// what is so now.
fn has_other_enabled(store: &Store, present: &mut [Record], around: &Surroundings) -> Result<bool> {
    let mut is_other = false;
    for record in present {
        if let Some(bridge) = record.network.known_bridge() {
            let known = store.record(&bridge)?;
            record.enabled = known.map(|known| known.enabled).unwrap_or_default();
            is_other |= record.enabled != around.enabled_of(record);
        }
    }
    Ok(is_other)
}

/// A network without its bridge is nothing to be opened.
fn is_present(record: &Record) -> bool {
    let bridge = record.network.known_bridge();
    bridge.is_some_and(|bridge| links::has(&bridge))
}

/// Networks whose bridge is not known, as libvirt tells now and as events told before.
fn unread(store: &Store, active: Vec<(Vec<u8>, XmlError)>) -> Result<Vec<ConfigConflict>> {
    let known = store.unread()?.into_iter();
    let mut all: BTreeMap<_, _> = known.map(|one| (one.name.clone(), one)).collect();
    for (name, why) in active {
        all.entry(name.clone())
            .or_insert_with(|| Unread::new(&name, why));
    }
    Ok(all.into_values().map(ConfigConflict::from).collect())
}

/// Networks that are known and closed, beside these: they start just now, or libvirt does not have
/// them active, or their bridges have gone since.
fn known_closed(store: &Store, records: &[Record]) -> Result<Vec<Record>> {
    let bridges = records.iter().map(|record| record.network.known_bridge());
    let bridges: BTreeSet<_> = bridges.collect();
    let mut others = store.records()?;
    others.retain(|record| {
        record.access.is_none() && !bridges.contains(&record.network.known_bridge())
    });
    Ok(others)
}

fn left_behind(record: &Record) -> Option<ConfigConflict> {
    let is_left = record.state == NetworkState::Inactive && is_present(record);
    let bridge = record.network.known_bridge().filter(|_| is_left)?;
    let network = record.network.name.clone();
    Some(ConfigConflict::NotActive { network, bridge })
}

/// What is there, for the networks that are active.
pub fn inspect(config: &Config, active: Active, deadline: Deadline) -> Result<Inspection> {
    let store = Store::at(paths::STATE);
    Ok(Inspection {
        wanted: preview(
            config,
            active,
            // To show it as open where that cannot be read changes nothing.
            |network| is_admin_closed(&store, network).unwrap_or_default(),
            store.layout().map(|built| built.host()),
            deadline,
        )?,
        table: nft::list(TABLE, deadline)?,
    })
}

/// Whether there are networks that libvirt makes rules for, and no rules of libvirt's. libvirt
/// makes those of a network that starts after its `start` hook.
pub(super) fn is_libvirt_flushed(survey: &Survey, records: &[Record]) -> bool {
    let mut with_rules = records
        .iter()
        .filter(|record| record.state != NetworkState::Starting)
        .map(|record| &record.network)
        .filter(|network| matches!(network.mode, Mode::Nat | Mode::Route | Mode::Isolated));
    with_rules.any(|network| {
        let gone = |family| gates::rules_are_gone(survey, family);
        !network.subnets4().is_empty() && gone(Family::Ip)
            || !network.subnets6().is_empty() && gone(Family::Ip6)
    })
}
