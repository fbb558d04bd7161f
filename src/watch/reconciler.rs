//! The check of everything, the repair of drift, and the log of both.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use virt_forward_policy::{network::Network, sanitize::escape};
use virt_forward_reconcile::{
    self as reconcile, Drift, Error, Outcome, RepairReport, Result, Session, Warning,
};
use virt_forward_ruleset::sysctls::{Setting, SysctlReader};
use virt_forward_system::{
    config_file,
    deadline::Deadline,
    exec::iptables,
    libvirt::status,
    links,
    netlink::monitor::{self, Changes, Transaction},
    paths,
    state::{NetworkState, START_GRACE, STARTED_GRACE, Store},
    sysctl, syslog,
};

use crate::{
    blocking_chains::BlockingChains, libvirt_repair::LibvirtRepair,
    network_tracker::NetworkTracker, repair_log::RepairLog, stopping_networks::StoppingNetworks,
};

/// As the hook's: a run that holds the lock for longer has failed.
const TIMEOUT: Duration = Duration::from_secs(9);

/// A check follows the end of a grace period by this time.
const MARGIN: Duration = Duration::from_millis(50);

/// The number of passes of a check that changed rules, or during which rules changed.
const PASSES: usize = 3;

pub(super) struct Reconciler {
    config: PathBuf,
    store: Store,
    tracker: NetworkTracker,
    /// Networks that have started and have no record yet.
    started: Vec<Network>,
    /// The bridges of recorded networks.
    bridges: BTreeSet<String>,
    /// Whether libvirt keeps status files on this host.
    has_status_files: bool,
    /// The names of active networks whose bridge is not known.
    unread: BTreeSet<Vec<u8>>,
    stopping: StoppingNetworks,
    /// The last transaction of nf_tables that a check has seen.
    checked_generation: Option<u32>,
    /// The processes that have changed rules since.
    actors: Vec<String>,
    /// A sysctl whose changes the kernel does not announce.
    polled_sysctl: Option<Setting>,
    /// The configuration names subnets, and some network is open.
    follows_routing: bool,
    /// All of IPv6 is forwarded because of open networks.
    forwards_ipv6: bool,
    /// Some network is open.
    is_any_open: bool,
    libvirt_repair: LibvirtRepair,
    blocking_chains: BlockingChains,
    repairs: RepairLog,
    logged: Logged,
}

/// The faults that the log has named, so that it names each once while it lasts.
#[derive(Default)]
struct Logged {
    warnings: Vec<Warning>,
    error: Option<Error>,
}

/// A check failed, and the log says why.
#[derive(Clone, Copy, Debug)]
pub(super) struct CheckFailed;

impl Reconciler {
    /// Starts with what libvirt's status files say: its daemon may not run.
    pub(super) fn new(config: &Path) -> Self {
        let mut reconciler = Self {
            config: config.to_owned(),
            store: Store::at(paths::STATE),
            tracker: NetworkTracker::default(),
            started: Vec::new(),
            bridges: BTreeSet::new(),
            has_status_files: false,
            unread: BTreeSet::new(),
            stopping: StoppingNetworks::default(),
            checked_generation: None,
            actors: Vec::new(),
            polled_sysctl: None,
            follows_routing: false,
            forwards_ipv6: false,
            is_any_open: false,
            libvirt_repair: LibvirtRepair::default(),
            blocking_chains: BlockingChains::default(),
            repairs: RepairLog::default(),
            logged: Logged::default(),
        };
        reconciler.read_networks();
        reconciler
    }

    /// Reads libvirt's status files. Returns when to check networks that are stopping, if any.
    pub(super) fn read_networks(&mut self) -> Option<Instant> {
        let active = status::active_networks();
        self.has_status_files = active.is_some();
        let active = active.unwrap_or_default();
        self.unread = active.unread.into_iter().map(|(name, _)| name).collect();
        let ended = self.tracker.set_active(active.networks);
        self.stopping.set_active(&self.tracker.bridges());
        self.stopping.stopped(ended, Instant::now())
    }

    /// When an unconfirmed network has to be checked, if there is any.
    pub(super) fn unconfirmed_due(&self) -> Option<Instant> {
        let markers = self.store.unconfirmed().unwrap_or_default().into_iter();
        let left = markers.filter_map(|marker| {
            let mut graces = [STARTED_GRACE, START_GRACE].into_iter();
            graces.find_map(|grace| grace.checked_sub(marker.age()))
        });
        left.min().map(|left| Instant::now() + left + MARGIN)
    }

    /// When checks are due that no notification triggers.
    pub(super) fn checks_due(&self) -> Vec<Instant> {
        let zones = self.libvirt_repair.due().filter(|_| self.is_any_open);
        let all = [
            self.unconfirmed_due(),
            zones,
            self.blocking_chains.due(),
            self.repairs.due(),
        ];
        all.into_iter().flatten().collect()
    }

    /// Makes all networks new for the next check.
    pub(super) fn mark_all_new(&mut self) {
        self.tracker.mark_all_new();
    }

    /// The number of changes of rules that need a check.
    pub(super) fn count_relevant(&mut self, changes: Changes) -> usize {
        let Changes::Made(made) = changes else {
            // More than the receive buffer holds.
            return usize::MAX;
        };
        let settled = self.checked_generation;
        // The numbers wrap around.
        let is_later = |one: &Transaction| {
            settled.is_none_or(|settled| one.generation.wrapping_sub(settled).cast_signed() > 0)
        };
        let news = made.into_iter().filter(|one| one.matters && is_later(one));
        let before = self.actors.len();
        self.actors.extend(news.map(|one| one.by));
        self.actors.len() - before
    }

    /// Whether rules may have changed without a notification: one was lost, or the rules are those of
    /// iptables-legacy.
    pub(super) fn may_have_missed_changes(&self) -> bool {
        let generation = monitor::generation(Deadline::after(TIMEOUT));
        iptables::is_legacy_in_use() || generation.ok() != self.checked_generation
    }

    /// Whether a sysctl has to be polled.
    pub(super) fn needs_fast_poll(&self) -> bool {
        self.polled_sysctl.is_some()
    }

    /// Whether changes of routing matter.
    pub(super) fn follows_routing(&self) -> bool {
        self.follows_routing
    }

    /// Whether the polled sysctl has changed. One represents all, as the kernel resets all of them at
    /// once.
    pub(super) fn has_silent_drift(&self) -> bool {
        self.polled_sysctl.as_ref().is_some_and(|wanted| {
            let value = sysctl::Kernel.value(&wanted.key).ok().flatten();
            value.as_ref() != Some(&wanted.value)
        })
    }

    /// Whether a recorded network has that bridge.
    pub(super) fn is_ours(&self, name: &str) -> bool {
        self.bridges.contains(name)
    }

    /// Whether a change of that interface needs a check: libvirt has a network with that bridge that
    /// has no record; or it may be a new uplink, which has to keep accepting router advertisements. The
    /// bridges of recorded networks change with each guest that starts, and need none.
    pub(super) fn is_of_interest(&self, name: &str) -> bool {
        let is_possible_uplink = || self.forwards_ipv6 && !sysctl::Kernel.is_port(name);
        !self.is_ours(name) && (self.tracker.bridges().contains(name) || is_possible_uplink())
    }

    /// The bridge was removed. Returns when to check its network.
    pub(super) fn bridge_removed(&mut self, name: String) -> Instant {
        // libvirt deletes the status file first, and that event may not have been handled yet.
        self.read_networks();
        let is_ending = self.has_status_files
            && !self.tracker.bridges().contains(&name)
            && self.is_recorded_as_running(&name);
        self.stopping
            .bridge_removed(name, is_ending, Instant::now())
    }

    fn is_recorded_as_running(&self, bridge: &str) -> bool {
        let Ok(bridge) = bridge.parse() else {
            return false;
        };
        let record = self.store.record(&bridge).ok().flatten();
        record.is_some_and(|record| {
            matches!(
                record.state,
                NetworkState::Active | NetworkState::AdminClosed
            )
        })
    }

    /// Whether that interface replaces a bridge that was removed.
    pub(super) fn is_replaced_bridge(&mut self, name: &str) -> bool {
        self.stopping.is_replaced(name)
    }

    /// Notifications of interfaces were lost: each bridge that does not exist was removed just now.
    /// Returns when to check their networks.
    pub(super) fn lost_interface_events(&mut self) -> Option<Instant> {
        let gone = |name: &&String| !name.parse().is_ok_and(|bridge| links::exists(&bridge));
        let gone: Vec<_> = self.bridges.iter().filter(gone).cloned().collect();
        gone.into_iter().map(|name| self.bridge_removed(name)).max()
    }

    /// Checks everything and repairs drift; returns the drift that it repaired. `quiet` keeps repairs
    /// out of the log.
    pub(super) fn reconcile(
        &mut self,
        quiet: bool,
    ) -> std::result::Result<Vec<Drift>, CheckFailed> {
        let by = std::mem::take(&mut self.actors);
        let outcome = self.try_to_reconcile();
        if let Ok(report) = &outcome {
            self.log_report(report, &by, quiet);
        }
        if self.is_any_open {
            self.libvirt_repair.repair_zones(self.tracker.all());
        }
        match outcome {
            Ok(report) => {
                self.log_warnings(report.warnings);
                Ok(report.repaired)
            }
            Err(error) => Err(self.log_error(error)),
        }
    }

    fn log_error(&mut self, error: Error) -> CheckFailed {
        let is_new = |logged: &Error| !logged.is_same(&error);
        if self.logged.error.as_ref().is_none_or(is_new) {
            syslog::error(&format!("{error}; continuing with the remaining repairs"));
            self.logged.error = Some(error);
        }
        CheckFailed
    }

    fn log_warnings(&mut self, warnings: Vec<Warning>) {
        for (index, warning) in warnings.iter().enumerate() {
            let mut known = self
                .logged
                .warnings
                .iter()
                .chain(warnings.iter().take(index));
            if !known.any(|known| known.is_same(warning)) {
                syslog::error(&warning.to_string());
            }
        }
        self.logged.warnings = warnings;
    }

    fn try_to_reconcile(&mut self) -> Result<RepairReport> {
        let config = config_file::load(&self.config).map_err(Error::from)?;
        let has_bridge = |network: &Network| {
            let bridge = network.known_bridge();
            bridge.is_some_and(|bridge| links::has_bridge(&bridge))
        };
        self.started.extend(self.tracker.take_new(has_bridge));
        let deadline = Deadline::after(TIMEOUT);
        if !self.store.exists()
            && self.started.is_empty()
            && self.unread.is_empty()
            && reconcile::leftovers(&config, deadline)?.is_empty()
        {
            // No network was ever opened, or everything was removed.
            self.bridges.clear();
            self.polled_sysctl = None;
            self.follows_routing = false;
            self.forwards_ipv6 = false;
            self.is_any_open = false;
            self.checked_generation = Some(monitor::generation(deadline)?);
            return Ok(RepairReport::default());
        }
        let store = self.store.clone();
        let stopping = self.stopping.pending(Instant::now());
        let mut run = Session::begin_while_stopping(stopping, &store, &config, deadline)?;
        let report = self.passes(&mut run, deadline)?;
        let records = store.records()?.into_iter();
        let bridges = records.filter_map(|record| record.network.known_bridge());
        self.bridges = bridges.map(String::from).collect();
        self.polled_sysctl.clone_from(&report.polled_sysctl);
        self.follows_routing = config.references_subnets() && report.is_any_open;
        self.forwards_ipv6 = report.forwards_ipv6;
        self.is_any_open = report.is_any_open;
        Ok(report)
    }

    /// Repeats the repair until no rules change during it: then it has seen all transactions up to that
    /// one.
    fn passes(&mut self, run: &mut Session<'_>, deadline: Deadline) -> Result<RepairReport> {
        let mut all = RepairReport::default();
        for _ in 0..PASSES {
            let before = monitor::generation(deadline)?;
            let is_active = |network: &Network| !self.has_status_files || self.tracker.has(network);
            let mut report = run.repair(self.started.clone(), &self.unread, is_active)?;
            self.started.clear();
            self.checked_generation = Some(before);
            report.started.splice(0..0, all.started);
            report.repaired.splice(0..0, all.repaired);
            all = report;
            if monitor::generation(deadline)? == before {
                break;
            }
        }
        all.repaired.dedup();
        Ok(all)
    }

    fn log_report(&mut self, report: &RepairReport, by: &[String], quiet: bool) {
        if self.logged.error.take().is_some() {
            syslog::info("recovered: all checks succeed again");
        }
        for (name, outcome) in &report.started {
            let name = escape(name);
            match outcome {
                Outcome::Opened(access) => syslog::info(&format!("network {name}: {access}")),
                Outcome::InvalidDefinition(why) => {
                    syslog::error(&format!("network {name}: closed: {why}"))
                }
                _ => syslog::info(&format!(
                    "network {name}: not opened: not in any group or rule"
                )),
            }
        }
        if !quiet {
            let now = Instant::now();
            let said = self.repairs.record(now, &report.repaired, by);
            said.iter().for_each(|line| syslog::warning(line));
        }
        self.libvirt_repair.repair_rules(report.is_libvirt_flushed);
        self.warn_of_blocking_chains(report);
    }

    fn warn_of_blocking_chains(&mut self, report: &RepairReport) {
        let obstacles = report.survey.obstacles.iter();
        let certain = obstacles.filter(|obstacle| obstacle.is_certain && report.is_any_open);
        let now: BTreeSet<_> = certain.map(|obstacle| obstacle.chain.clone()).collect();
        for chain in self.blocking_chains.update(Instant::now(), now) {
            syslog::warning(&format!(
                "chain {chain} blocks allowed traffic (see virt-forward status)"
            ));
        }
    }
}
