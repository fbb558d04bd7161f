//! From an event or a wish to the kernel: lock, decide, carry out, remember.
//!
//! An event adds or removes elements of sets in one transaction. Where that does not do (the
//! table was flushed, the config changed, the last run was cut short), everything is rebuilt
//! from the records in [`state`](virt_forward_system::state), which is also what `apply` does.
//!
//! Order, for never more open than the config says: our table, which clears foreign marks,
//! comes before the gates, which trust marks, and goes after them. A record is written before
//! the kernel is changed, under the note `pending`: who is killed in between leaves the old
//! rules or the new ones, and the next run rebuilds.

mod active;
mod config_conflict;
mod connections;
mod drift;
mod error;
mod firewalld;
mod gates;
mod host;
mod inspect;
mod leftovers;
mod remove;
mod repair;
mod report;
mod settings;
mod zones;

use std::{
    cell::{Cell, OnceCell},
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

pub use config_conflict::{ConfigConflict, config_conflicts, unresolved_names};
pub use drift::{Drift, Subject};
pub use error::{Error, Result};
pub use inspect::{Inspection, Preview, SettingSeen, inspect, preview};
pub use leftovers::leftovers;
pub use repair::RepairReport;
pub use report::{Report, Warning};
pub use zones::restore_zones;

use gates::{Gates, Reach, Wish};
use host::Surroundings;
use remove::is_admin_closed;
use report::Effects;
use settings::Part;

use virt_forward_policy::{
    self as policy, Access, Conflicts,
    config::Config,
    network::{Network, XmlError},
};
use virt_forward_ruleset::table::{self, Batch, Changes, Member};
use virt_forward_system::{
    deadline::Deadline,
    exec::nft,
    libvirt::status::{self, Active},
    links,
    netlink::{addresses, set_elements, table_fingerprint},
    state::{Layout, Lock, NetworkState, Record, Store},
};

/// Up to that many known networks an event looks at the elements of all, and at all routes.
const FEW: usize = 32;
/// A run that took longer has used up much of [`virt_forward_system::state::STARTED_GRACE`].
const SLOW_RUN: Duration = Duration::from_millis(250);

/// What a run did with a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is open, with this access.
    Opened(Access),
    /// It is in no group and in no rule.
    NoMembership,
    /// The host does not route it, so there is nothing to open.
    NotRouted,
    /// libvirt does not have it active, or its bridge does not exist.
    NotActive,
    /// Its interface is not a bridge.
    NotABridge,
    /// Its definition is invalid: it is recorded, and closed.
    InvalidDefinition(XmlError),
    /// Its bridge is not known: nothing external is let in while it is active.
    UnknownBridge(XmlError),
    /// It is closed now.
    Closed,
    /// It was closed before.
    AlreadyClosed,
}

/// A run, with the lock held.
pub struct Run<'a> {
    /// The bridges of networks that libvirt is ending.
    leaving: BTreeSet<String>,
    store: &'a Store,
    /// As the administrator wrote it.
    written: &'a Config,
    /// The same without machines outside; made where it is needed.
    shut: OnceCell<Config>,
    /// Whether the bridge of some active network is not known.
    is_shut: Cell<bool>,
    /// What the start of the run found to differ from the records.
    settled: Vec<Drift>,
    deadline: Deadline,
    _lock: Lock,
}

impl<'a> Run<'a> {
    /// Waits for the lock.
    pub fn begin(store: &'a Store, config: &'a Config, deadline: Deadline) -> Result<Self> {
        Self::begin_for(None, store, config, deadline)
    }

    /// As [`begin`](Self::begin), for an event of the network of that name.
    pub fn begin_for(
        event: Option<&str>,
        store: &'a Store,
        config: &'a Config,
        deadline: Deadline,
    ) -> Result<Self> {
        Self::begin_while(BTreeSet::new(), event, store, config, deadline)
    }

    /// As [`begin_for`](Self::begin_for), while libvirt ends the networks with the bridges in `leaving`:
    /// their records stay until it calls the `stopped` hook.
    pub fn begin_while(
        leaving: BTreeSet<String>,
        event: Option<&str>,
        store: &'a Store,
        config: &'a Config,
        deadline: Deadline,
    ) -> Result<Self> {
        let lock = Lock::take(store, deadline)?;
        let mut run = Self {
            leaving,
            store,
            written: config,
            shut: OnceCell::new(),
            is_shut: Cell::default(),
            settled: Vec::new(),
            deadline,
            _lock: lock,
        };
        run.settled = run.settle(event)?;
        Ok(run)
    }

    /// The config that holds now.
    fn config(&self) -> &Config {
        match self.is_shut.get() {
            true => self
                .shut
                .get_or_init(|| policy::without_outside(self.written)),
            false => self.written,
        }
    }

    /// A network has started, or its definition has changed.
    pub fn started(&self, network: Network) -> Result<Report<Outcome>> {
        let Some(bridge) = network.known_bridge() else {
            return Ok(self.finish_interrupted()?.report(Outcome::NotRouted));
        };
        if !links::has_bridge(&bridge) {
            let outcome = match links::has(&bridge) {
                true => Outcome::NotABridge,
                false => Outcome::NotActive,
            };
            return Ok(self.finish_interrupted()?.report(outcome));
        }
        let began = Instant::now();
        let unused = self.unused();
        let mut record = Record::new(&policy::without(self.config(), &unused), network);
        let known = self.store.record(&bridge)?;
        let is_listed = status::has(&record.network.name, &bridge);
        let may_conflict = || {
            // Closed at its `start`, it has not been held against the config before.
            let is_new = known
                .as_ref()
                .is_none_or(|known| known.state != NetworkState::Active);
            is_new && policy::may_conflict(self.config(), &unused, &record.network)
        };
        let part = match self.is_built_otherwise() || may_conflict() {
            true => None,
            false => self.part_of_start(&record)?,
        };
        record.enabled = match (&part, &known) {
            (Some(part), _) => part.enabled.clone(),
            (None, Some(known)) => known.enabled.clone(),
            (None, None) => BTreeSet::new(),
        };
        let is_more = known
            .as_ref()
            .is_none_or(|known| is_less_of(known, &record));
        let mut effects = self.change(part.filter(|_| is_more), &[], |changes| {
            // First, so that no record of a network that starts is without.
            match is_listed {
                Some(false) => self.store.doubt(&bridge)?,
                _ => self.store.confirm(&bridge)?,
            }
            self.store.put(&bridge, &record)?;
            changes.extend(member(&record));
            Ok(())
        })?;
        // If everything was rebuilt, it may be open for less than it seemed at first.
        let record = self.store.record(&bridge)?.unwrap_or(record);
        self.store.finish()?;
        effects.then(self.set_firewalld_peers()?.effects);
        if is_listed == Some(false) && began.elapsed() > SLOW_RUN {
            // libvirt writes the status file after this run, however long the run took.
            self.store.doubt(&bridge)?;
        }
        let unused = self.unused().of(&record.network);
        let networks = std::iter::once(&record.network);
        effects.warn(config_conflicts(self.config(), unused, networks));
        Ok(effects.report(outcome(&record)))
    }

    /// Rebuilds everything with these networks added, or, without `others`, with no others.
    /// `others` are active, too: those without a record become unmanaged.
    /// `unread` are active as well, by which bridge is not known.
    pub fn apply(
        &self,
        networks: Vec<Network>,
        others: Option<Vec<Network>>,
        unread: Vec<(Vec<u8>, XmlError)>,
    ) -> Result<Report<()>> {
        self.store.begin()?;
        for (name, why) in unread {
            self.add_unread(&name, why)?;
        }
        let known = self.store.sound_records()?.into_iter();
        let known: BTreeMap<_, _> = known
            .filter_map(|record| Some((record.network.known_bridge()?, record)))
            .collect();
        // What libvirt has active is better known from its status files, where there are any: they
        // tell what starts just now from what is stale.
        let only = others.is_none() && status::active().is_none();
        self.record_unmanaged(others.unwrap_or_default())?;
        let mut named = BTreeSet::new();
        let usable = self.usable();
        for network in networks {
            if let Some(bridge) = network.known_bridge() {
                let mut record = Record::new(&usable, network);
                let known = known.get(&bridge);
                if let Some(known) = known {
                    record.enabled.clone_from(&known.enabled);
                }
                if known != Some(&record) {
                    self.store.put(&bridge, &record)?;
                }
                named.insert(bridge);
            }
        }
        // After the others are in: who is cut short here leaves one too many, which the next
        // run finds to be stale, and none too few.
        for bridge in known.keys().filter(|one| only && !named.contains(*one)) {
            self.store.forget(bridge)?;
        }
        let mut effects = self.rebuild(&[])?;
        effects.then(self.set_firewalld_peers()?.effects);
        effects.warn(self.config_conflicts(&self.store.records()?)?);
        Ok(effects.report(()))
    }

    /// What of the config the table was built without.
    fn unused(&self) -> Conflicts {
        if !self.config().names_subnets() {
            return Conflicts::default();
        }
        let built = self.store.layout();
        built.map(|built| built.unused()).unwrap_or_default()
    }

    /// What of the config must not be used while these networks are active.
    fn conflicts<'r>(&self, records: impl Iterator<Item = &'r Record>) -> Result<Conflicts> {
        let networks: Vec<_> = records.map(|record| &record.network).collect();
        conflicts(self.config(), &networks, self.deadline)
    }

    /// The config, without what is not used.
    fn usable(&self) -> Config {
        policy::without(self.config(), &self.unused())
    }

    /// The conflicts between the configuration and all networks.
    fn config_conflicts(&self, records: &[Record]) -> Result<Vec<ConfigConflict>> {
        let networks = records.iter().map(|record| &record.network);
        let mut conflicts = config_conflicts(self.config(), self.unused(), networks);
        conflicts.extend(self.store.unread()?.into_iter().map(ConfigConflict::from));
        Ok(conflicts)
    }

    /// Whether there is a table, but of another config or another version of us.
    fn is_built_otherwise(&self) -> bool {
        let built = self.store.layout();
        built
            .is_some_and(|built| built != Layout::of(self.config(), &built.unused(), &built.host()))
    }

    /// Whether nobody but us has changed the table since it was built, if it was. Its elements
    /// are only looked at where there are few: an event is to cost the same with any number.
    fn is_table_as_built(&self) -> bool {
        let built = self.store.built();
        let is_few = || self.store.are_more_known_than(FEW).is_ok_and(|many| !many);
        let are_elements_right = || {
            let records = self.store.records().map_err(Error::from);
            let drift = records.and_then(|records| self.set_drift(&records));
            drift.is_ok_and(|drift| drift.is_none())
        };
        built.is_none()
            || table_fingerprint::fingerprint(self.deadline).is_ok_and(|seen| seen == built)
                && (!is_few() || are_elements_right())
    }

    /// Sets the rules for peers in firewalld's policy object, if they differ. Last of all, as
    /// firewalld may be busy for a while.
    fn set_firewalld_peers(&self) -> Result<FirewalldPeers> {
        let mut effects = Effects::default();
        let (usable, records) = (self.usable(), || Ok(self.store.records()?));
        let Some(rules) = firewalld::missing(self.store, &usable, records, self.deadline)? else {
            return Ok(FirewalldPeers {
                were_missing: false,
                effects,
            });
        };
        let built = self.store.layout();
        // firewalld accepts a peer by its address alone: what else has that address is dropped before.
        if !rules.rules.is_empty() && !built.is_some_and(|built| built.host().drops_forged_peers) {
            self.store.begin()?;
            effects.then(self.rebuild(&[])?);
        }
        firewalld::set(self.store, &rules, self.deadline)?;
        Ok(FirewalldPeers {
            were_missing: true,
            effects,
        })
    }

    /// Changes elements of the table, as `elements` says after it has put that into the
    /// records, and the settings that go with them; with the gates looked after, as nobody tells
    /// us who else changes their chains. Builds everything anew where there is no such part,
    /// where the last run was cut short, and where the change alone does not do. `leaving` are
    /// the networks that it closes.
    fn change(
        &self,
        part: Option<Part>,
        leaving: &[Record],
        elements: impl FnOnce(&mut Changes) -> Result<()>,
    ) -> Result<Effects> {
        let is_whole = || !self.store.is_pending() && self.is_table_as_built();
        let part = part.filter(|_| is_whole());
        self.store.begin()?;
        let mut changes = Changes::default();
        elements(&mut changes)?;
        let built = self.store.layout();
        let (part, wish) = match (part, self.store.is_any_open()?, &built) {
            // Nothing was open, and nothing is.
            (Some(_), false, None) => {
                self.clear_leftovers()?;
                return Ok(Effects::default());
            }
            (Some(part), true, Some(built)) => (part, wish_of(built)),
            _ => return self.rebuild(leaving),
        };
        let Some(wish) = wish else {
            return self.rebuild(leaving);
        };
        let (gates, mut effects) = self.gates(wish, false, Reach::Near)?;
        let given_back = part.give_back();
        let remembered = part.remember(self.store);
        match self.carry_out(&changes, &gates) {
            Ok(()) => {
                let outcomes = [
                    gates.by_program(self.deadline),
                    given_back,
                    remembered.and_then(|()| part.set()),
                ];
                effects.warn(gates.shorten(self.deadline).err());
                Error::all(outcomes.into_iter().filter_map(Result::err).collect())?;
                Ok(effects)
            }
            // Flushed, or of another making. If nft itself is at fault, rebuilding says so.
            Err(_) => self.rebuild(leaving),
        }
    }

    /// Changes elements and those gates that nft puts in: by the kernel's own messages, or, where
    /// there are such gates, by nft in one transaction.
    fn carry_out(&self, changes: &Changes, gates: &Gates) -> Result<()> {
        if !gates.need_nft() {
            return Ok(set_elements::change(&changes.elements(), self.deadline)?);
        }
        let mut batch = Batch::default();
        changes.in_batch(&mut batch);
        gates.in_batch(&mut batch);
        Ok(nft::apply(&batch, self.deadline)?)
    }

    /// Finishes what an interrupted run left half done.
    fn finish_interrupted(&self) -> Result<Effects> {
        match self.store.is_pending() {
            true => self.rebuild(&[]),
            false => Ok(Effects::default()),
        }
    }

    /// Everything anew, from the records of networks whose bridges are there. `leaving` are
    /// networks that may still run, but are closed by this.
    fn rebuild(&self, leaving: &[Record]) -> Result<Effects> {
        let active = status::active();
        if let Some(active) = &active {
            self.merge_unread(active)?;
            self.record_unmanaged(active.networks.clone())?;
        }
        let known = self.current(active.as_ref())?;
        let unused = self.conflicts(known.iter().map(|(_, record)| record))?;
        let usable = policy::without(self.config(), &unused);
        let mut records = self.renew_all(known, &usable)?;
        if !is_any_open(&records) {
            self.tear_down(&[&records, leaving].concat())?;
            self.store.finish()?;
            return Ok(Effects::default());
        }
        let wish = Wish::of(self.config());
        let same_mark = self.store.layout().and_then(|built| built.mark()) == Some(wish.mark);
        let (gates, mut effects) = self.gates(wish, !same_mark, Reach::Everywhere)?;
        let around = self.surroundings(&usable, &records)?;
        self.note_enabled(&mut records, &around)?;
        let host = around.host;
        // What goes back goes while the table that is there restricts it still.
        let given_back = settings::give_back(&around.plan);
        let remembered = settings::remember(self.store, &around.plan);
        let mut batch = Batch::default();
        let layout = table::Layout::of(&usable, &host);
        table::whole(&mut batch, &layout, &members(&records));
        gates.in_batch(&mut batch);
        nft::apply(&batch, self.deadline)?;
        self.store
            .set_layout(&Layout::of(self.config(), &unused, &host))?;
        self.store.set_basis(&around.basis)?;
        if let Some(built) = table_fingerprint::fingerprint(self.deadline)? {
            self.store.set_built(&built)?;
        }
        // Each goes without the others.
        let outcomes = [
            connections::end_disallowed(&usable, &records, self.deadline),
            gates.by_program(self.deadline),
            given_back,
            remembered.and_then(|()| settings::set(&around.plan)),
        ];
        effects.warn(gates.shorten(self.deadline).err());
        effects.warn(around.warnings);
        Error::all(outcomes.into_iter().filter_map(Result::err).collect())?;
        self.store.finish()?;
        Ok(effects)
    }

    /// Puts into the records which bridges forward because of virt-forward.
    fn note_enabled(&self, records: &mut [Record], around: &Surroundings) -> Result<()> {
        for record in records {
            let enabled = around.enabled_of(record);
            if record.enabled != enabled
                && let Some(bridge) = record.network.known_bridge()
            {
                record.enabled = enabled;
                self.store.put(&bridge, record)?;
            }
        }
        Ok(())
    }

    /// The changes that gates need, and the chains that no gate can open. `replaces` is set where
    /// gates for another mark have to be replaced.
    fn gates(&self, wish: Wish, replaces: bool, reach: Reach) -> Result<(Gates, Effects)> {
        let mut gates = Gates::to_open(wish, replaces, reach, self.deadline)?;
        let failure = gates.take_trouble();
        let effects = Effects::of_survey(gates.survey(), failure);
        Ok((gates, effects))
    }
}

/// The result of [`Run::set_firewalld_peers`].
struct FirewalldPeers {
    /// Whether firewalld lacked rules.
    were_missing: bool,
    effects: Effects,
}

/// `config` without what of it must not be used while `networks` are active.
pub fn usable(config: &Config, networks: &[Network], deadline: Deadline) -> Result<Config> {
    let networks: Vec<_> = networks.iter().collect();
    Ok(policy::without(
        config,
        &conflicts(config, &networks, deadline)?,
    ))
}

/// What of `config` must not be used while `networks` are active. The kernel is only asked where it
/// matters.
fn conflicts(config: &Config, networks: &[&Network], deadline: Deadline) -> Result<Conflicts> {
    let host = match config.has_subnet_ends() {
        true => addresses::reached(deadline)?,
        false => Vec::new(),
    };
    Ok(policy::conflicts(config, networks, &host))
}

/// What the gates of a table that is there are for. That of the table, not of the config: a
/// network stops under a wrong one too.
fn wish_of(built: &Layout) -> Option<Wish> {
    Some(Wish {
        mark: built.mark()?,
        extra: built.extra(),
    })
}

/// What a table holds of these networks.
fn members(records: &[Record]) -> Vec<Member> {
    records.iter().filter_map(member).collect()
}

fn member(record: &Record) -> Option<Member> {
    let member = Member::new(&record.network, &record.access)?;
    Some(member.with_enabled(&record.enabled))
}

/// Whether the elements of the record that is `known` are some of those of `record`, so that
/// nothing has to be taken out.
fn is_less_of(known: &Record, record: &Record) -> bool {
    let is_closed_same = known.access.is_none() && known.network.name == record.network.name;
    let is_same = known.network == record.network && known.access == record.access;
    (is_same || is_closed_same) && known.enabled.is_subset(&record.enabled)
}

/// Whether there is anything to have a table for.
fn is_any_open(records: &[Record]) -> bool {
    records
        .iter()
        .any(|record| record.network.routed_bridge().is_some() && !record.access.is_none())
}

fn outcome(record: &Record) -> Outcome {
    if let Some(why) = &record.network.fault {
        return Outcome::InvalidDefinition(why.clone());
    }
    match record.access.is_none() {
        true => Outcome::NoMembership,
        false => Outcome::Opened(record.access.clone()),
    }
}
