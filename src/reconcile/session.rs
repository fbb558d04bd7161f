//! A session: the lock, the records and the configuration.

use std::{
    cell::{Cell, OnceCell},
    collections::BTreeSet,
};

use virt_forward_policy::{self as policy, Conflicts, config::Config, network::Network};
use virt_forward_system::{
    deadline::Deadline,
    netlink::{addresses, table_fingerprint},
    state::{Layout, Lock, Record, Store},
};

use crate::{
    ConfigConflict, Drift, Error, Result, config_conflicts,
    gates::{GateSpec, Gates, ScanScope},
    report::Effects,
};

/// The number of known networks up to which an event reads the elements of all, and all routes.
pub(crate) const FEW: usize = 32;

/// The lock of the state folder, held, and everything that a run decides from.
pub struct Session<'a> {
    /// The bridges of networks that libvirt is stopping.
    pub(crate) stopping: BTreeSet<String>,
    pub(crate) store: &'a Store,
    /// The configuration as the administrator wrote it.
    written: &'a Config,
    /// The same without external subnets, made on demand.
    without_external: OnceCell<Config>,
    /// Whether some active network has no known bridge.
    is_external_closed: Cell<bool>,
    /// The drift of unconfirmed networks, found when the session began.
    pub(crate) unconfirmed: Vec<Drift>,
    pub(crate) deadline: Deadline,
    _lock: Lock,
}

impl<'a> Session<'a> {
    /// Waits for the lock, and compares unconfirmed networks with what libvirt has active.
    ///
    /// # Errors
    ///
    /// The lock is held until the deadline, or the state cannot be read or written.
    pub fn begin(store: &'a Store, config: &'a Config, deadline: Deadline) -> Result<Self> {
        Self::open(store, config, deadline)?.confirm(None)
    }

    /// As [`begin`](Self::begin), for an event of the network `name`, which stays unconfirmed. A name
    /// that is not UTF-8 is none of a recorded network.
    pub fn begin_for_event(
        name: Option<&str>,
        store: &'a Store,
        config: &'a Config,
        deadline: Deadline,
    ) -> Result<Self> {
        Self::open(store, config, deadline)?.confirm(name)
    }

    /// As [`begin`](Self::begin), while libvirt is stopping the networks with the bridges in
    /// `stopping`: their records stay until it calls the `stopped` hook.
    pub fn begin_while_stopping(
        stopping: BTreeSet<String>,
        store: &'a Store,
        config: &'a Config,
        deadline: Deadline,
    ) -> Result<Self> {
        let mut session = Self::open(store, config, deadline)?;
        session.stopping = stopping;
        session.confirm(None)
    }

    fn open(store: &'a Store, config: &'a Config, deadline: Deadline) -> Result<Self> {
        let lock = Lock::take(store, deadline)?;
        Ok(Self {
            stopping: BTreeSet::new(),
            store,
            written: config,
            without_external: OnceCell::new(),
            is_external_closed: Cell::default(),
            unconfirmed: Vec::new(),
            deadline,
            _lock: lock,
        })
    }

    fn confirm(mut self, event: Option<&str>) -> Result<Self> {
        self.unconfirmed = self.unconfirmed_drift(event)?;
        Ok(self)
    }

    /// The configuration in effect.
    pub(crate) fn config(&self) -> &Config {
        if self.is_external_closed.get() {
            self.without_external
                .get_or_init(|| policy::without_outside(self.written))
        } else {
            self.written
        }
    }

    /// Sets whether some active network has no known bridge, so that nothing external is let in.
    pub(crate) fn set_external_closed(&self, is_closed: bool) {
        self.is_external_closed.set(is_closed);
    }

    /// The parts of the configuration that the table was built without.
    pub(crate) fn unused(&self) -> Conflicts {
        if !self.config().references_subnets() {
            return Conflicts::default();
        }
        let built = self.store.layout();
        built.map(|built| built.unused()).unwrap_or_default()
    }

    /// The parts of the configuration that must not be used while these networks are active.
    pub(crate) fn conflicts<'r>(
        &self,
        records: impl Iterator<Item = &'r Record>,
    ) -> Result<Conflicts> {
        let networks: Vec<_> = records.map(|record| &record.network).collect();
        conflicts(self.config(), &networks, self.deadline)
    }

    /// The configuration without its unused parts.
    pub(crate) fn usable(&self) -> Config {
        policy::without(self.config(), &self.unused())
    }

    /// The conflicts between the configuration and all networks.
    pub(crate) fn config_conflicts(&self, records: &[Record]) -> Result<Vec<ConfigConflict>> {
        let networks = records.iter().map(|record| &record.network);
        let mut conflicts = config_conflicts(self.config(), self.unused(), networks);
        conflicts.extend(self.store.unread()?.into_iter().map(ConfigConflict::from));
        Ok(conflicts)
    }

    /// Whether a table exists that was built for another configuration, or by another version.
    pub(crate) fn is_built_for_other_config(&self) -> bool {
        let built = self.store.layout();
        built
            .is_some_and(|built| built != Layout::of(self.config(), &built.unused(), &built.host()))
    }

    /// Whether the table is as it was built, if it was. Set elements are only compared while there are
    /// few networks, so that the cost of an event does not grow with their number.
    pub(crate) fn is_table_as_built(&self) -> bool {
        let built = self.store.table_fingerprint();
        if built.is_none() {
            return true;
        }
        if table_fingerprint::fingerprint(self.deadline).is_ok_and(|seen| seen == built) {
            let are_many = self.store.are_more_known_than(FEW).unwrap_or(true);
            return are_many || self.are_elements_as_recorded();
        }
        false
    }

    fn are_elements_as_recorded(&self) -> bool {
        let records = self.store.records().map_err(Error::from);
        let drift = records.and_then(|records| self.set_drift(&records));
        drift.is_ok_and(|drift| drift.is_none())
    }

    /// The changes that gates need, and the chains that no gate can open. `replaces` is set where
    /// gates for another mark have to be replaced.
    pub(crate) fn gates(
        &self,
        spec: GateSpec,
        replaces: bool,
        reach: ScanScope,
    ) -> Result<(Gates, Effects)> {
        let mut gates = Gates::to_open(spec, replaces, reach, self.deadline)?;
        let failure = gates.take_failure();
        let effects = Effects::of_survey(gates.survey(), failure);
        Ok((gates, effects))
    }
}

/// `config` without the parts that must not be used while `networks` are active.
pub fn usable(config: &Config, networks: &[Network], deadline: Deadline) -> Result<Config> {
    let networks: Vec<_> = networks.iter().collect();
    Ok(policy::without(
        config,
        &conflicts(config, &networks, deadline)?,
    ))
}

/// The parts of `config` that must not be used while `networks` are active. The host's addresses are
/// only listed if the configuration has a rule with a subnet.
pub(crate) fn conflicts(
    config: &Config,
    networks: &[&Network],
    deadline: Deadline,
) -> Result<Conflicts> {
    let host = if config.has_subnet_endpoints() {
        addresses::host_subnets(deadline)?
    } else {
        Vec::new()
    };
    Ok(policy::conflicts(config, networks, &host))
}
