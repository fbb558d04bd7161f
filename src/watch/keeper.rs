//! One look at everything, and what there is to say about it.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use virt_forward_policy::{network::Network, sanitize::shown};
use virt_forward_reconcile::{
    self as reconcile, Drift, Error, Outcome, RepairReport, Result, Session, Warning,
};
use virt_forward_ruleset::sysctls::{Seen, Setting};
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

use super::{alarms::Alarms, known::Known, leaving::Leaving, libvirt::Deputy, repairs::Repairs};

/// As the hook's: who holds the lock longer is in trouble of its own.
const PATIENCE: Duration = Duration::from_secs(9);

/// How long after the end of a grace is looked.
const MARGIN: Duration = Duration::from_millis(50);

/// How often a look is taken again that changed something, or that somebody disturbed.
const PASSES: usize = 3;

pub(super) struct Keeper {
    config: PathBuf,
    store: Store,
    known: Known,
    /// Networks that have started, until they are taken in.
    started: Vec<Network>,
    /// Bridges that the records name.
    bridges: BTreeSet<String>,
    /// Whether libvirt keeps status files here.
    has_status: bool,
    /// The names of active networks whose bridge is not known.
    unread: BTreeSet<Vec<u8>>,
    leaving: Leaving,
    /// The last transaction of nf_tables that has been looked at.
    settled: Option<u32>,
    /// Who has changed something since.
    by: Vec<String>,
    /// A setting that the kernel tells nobody of.
    untold: Option<Setting>,
    /// The config names subnets, and some network is open.
    follows_routing: bool,
    /// All of IPv6 is forwarded because of open networks.
    forwards_ipv6: bool,
    /// Some network is open.
    is_any_open: bool,
    deputy: Deputy,
    alarms: Alarms,
    repairs: Repairs,
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

impl Keeper {
    /// Knows what libvirt left on disk: its daemon may be down.
    pub(super) fn new(config: &Path) -> Self {
        let mut keeper = Self {
            config: config.to_owned(),
            store: Store::at(paths::STATE),
            known: Known::default(),
            started: Vec::new(),
            bridges: BTreeSet::new(),
            has_status: false,
            unread: BTreeSet::new(),
            leaving: Leaving::default(),
            settled: None,
            by: Vec::new(),
            untold: None,
            follows_routing: false,
            forwards_ipv6: false,
            is_any_open: false,
            deputy: Deputy::default(),
            alarms: Alarms::default(),
            repairs: Repairs::default(),
            logged: Logged::default(),
        };
        keeper.read_networks();
        keeper
    }

    /// Which networks libvirt has now. Until when the hook may still come for those that end.
    pub(super) fn read_networks(&mut self) -> Option<Instant> {
        let active = status::active();
        self.has_status = active.is_some();
        let active = active.unwrap_or_default();
        self.unread = active.unread.into_iter().map(|(name, _)| name).collect();
        let ended = self.known.are(active.networks);
        self.leaving.are_active(&self.known.bridges());
        self.leaving.end(ended, Instant::now())
    }

    /// When something that is in doubt has to be looked at again, if there is anything.
    pub(super) fn in_doubt(&self) -> Option<Instant> {
        let markers = self.store.unconfirmed().unwrap_or_default().into_iter();
        let left = markers.filter_map(|marker| {
            let mut graces = [STARTED_GRACE, START_GRACE].into_iter();
            graces.find_map(|grace| grace.checked_sub(marker.age()))
        });
        left.min().map(|left| Instant::now() + left + MARGIN)
    }

    /// When something has to be checked that no notification tells of, if there is anything.
    pub(super) fn checks_due(&self) -> Vec<Instant> {
        let zones = self.deputy.due().filter(|_| self.is_any_open);
        let all = [
            self.in_doubt(),
            zones,
            self.alarms.due(),
            self.repairs.due(),
        ];
        all.into_iter().flatten().collect()
    }

    /// Takes every network for a new one.
    pub(super) fn forget(&mut self) {
        self.known.forget();
    }

    /// How many of these changes of rules need a check.
    pub(super) fn news_in(&mut self, changes: Changes) -> usize {
        let Changes::Made(made) = changes else {
            // More than fit into a queue.
            return usize::MAX;
        };
        let settled = self.settled;
        // The numbers go round.
        let is_later = |one: &Transaction| {
            settled.is_none_or(|settled| one.generation.wrapping_sub(settled).cast_signed() > 0)
        };
        let news = made.into_iter().filter(|one| one.matters && is_later(one));
        let before = self.by.len();
        self.by.extend(news.map(|one| one.by));
        self.by.len() - before
    }

    /// Whether something may have changed that nobody told of: a message was lost, or the rules
    /// are iptables-legacy's.
    pub(super) fn may_have_missed_something(&self) -> bool {
        let generation = monitor::generation(Deadline::after(PATIENCE));
        iptables::is_legacy_in_use() || generation.ok() != self.settled
    }

    /// Whether there is a setting that has to be looked at now and then.
    pub(super) fn has_untold(&self) -> bool {
        self.untold.is_some()
    }

    /// Whether changes of rules and routes matter.
    pub(super) fn follows_routing(&self) -> bool {
        self.follows_routing
    }

    /// Whether that setting is another now. One of them stands for all: what is known to change
    /// it without a word changes all at once.
    pub(super) fn is_untold_wrong(&self) -> bool {
        self.untold.as_ref().is_some_and(|wanted| {
            let value = sysctl::Kernel.value(&wanted.key).ok().flatten();
            value.as_ref() != Some(&wanted.value)
        })
    }

    /// Whether the bridge of that name has an open network, as far as we know.
    pub(super) fn is_ours(&self, name: &str) -> bool {
        self.bridges.contains(name)
    }

    /// Whether a change of that interface needs a check: libvirt has a network with that bridge,
    /// and we have none; or it may be a new uplink, which has to go on accepting router
    /// advertisements. A bridge changes with each guest that starts: those that are known are of no
    /// interest.
    pub(super) fn is_of_interest(&self, name: &str) -> bool {
        let is_possible_uplink = || self.forwards_ipv6 && !sysctl::Kernel.is_port(name);
        !self.is_ours(name) && (self.known.bridges().contains(name) || is_possible_uplink())
    }

    /// The bridge of that name is gone. Until when the hook may still come.
    pub(super) fn leaves(&mut self, name: String) -> Instant {
        // The note of its network's end comes first, and may not have been read yet.
        self.read_networks();
        let is_ending = self.has_status
            && !self.known.bridges().contains(&name)
            && self.is_recorded_as_running(&name);
        self.leaving.gone(name, is_ending, Instant::now())
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

    /// Whether that interface has taken the name of a bridge that the kernel had deleted.
    pub(super) fn is_another(&mut self, name: &str) -> bool {
        self.leaving.is_there(name)
    }

    /// Notifications of interfaces were lost: each bridge that is not there has just gone. Until
    /// when the hook may still come.
    pub(super) fn missed_interfaces(&mut self) -> Option<Instant> {
        let gone = |name: &&String| !name.parse().is_ok_and(|bridge| links::has(&bridge));
        let gone: Vec<_> = self.bridges.iter().filter(gone).cloned().collect();
        gone.into_iter().map(|name| self.leaves(name)).max()
    }

    /// Checks everything and repairs drift; returns the drift that it repaired. `quiet` keeps repairs
    /// out of the log.
    pub(super) fn look(&mut self, quiet: bool) -> std::result::Result<Vec<Drift>, CheckFailed> {
        let by = std::mem::take(&mut self.by);
        let outcome = self.try_to_look();
        if let Ok(report) = &outcome {
            self.say(report, &by, quiet);
        }
        if self.is_any_open {
            self.deputy.keep_zones(self.known.all());
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

    fn try_to_look(&mut self) -> Result<RepairReport> {
        let config = config_file::load(&self.config).map_err(Error::from)?;
        let has_bridge = |network: &Network| {
            let bridge = network.known_bridge();
            bridge.is_some_and(|bridge| links::has_bridge(&bridge))
        };
        self.started.extend(self.known.new_ones(has_bridge));
        let deadline = Deadline::after(PATIENCE);
        if !self.store.is_there()
            && self.started.is_empty()
            && self.unread.is_empty()
            && reconcile::leftovers(&config, deadline)?.is_empty()
        {
            // Nothing is wanted: nothing was ever opened, or all was taken away.
            self.bridges.clear();
            self.untold = None;
            self.follows_routing = false;
            self.forwards_ipv6 = false;
            self.is_any_open = false;
            self.settled = Some(monitor::generation(deadline)?);
            return Ok(RepairReport::default());
        }
        let store = self.store.clone();
        let leaving = self.leaving.now(Instant::now());
        let mut run = Session::begin_while_stopping(leaving, &store, &config, deadline)?;
        let report = self.passes(&mut run, deadline)?;
        let records = store.records()?.into_iter();
        let bridges = records.filter_map(|record| record.network.known_bridge());
        self.bridges = bridges.map(String::from).collect();
        self.untold.clone_from(&report.untold);
        self.follows_routing = config.names_subnets() && report.is_any_open;
        self.forwards_ipv6 = report.forwards_ipv6;
        self.is_any_open = report.is_any_open;
        Ok(report)
    }

    /// Until nothing changes any more: then all up to that transaction has been seen.
    fn passes(&mut self, run: &mut Session<'_>, deadline: Deadline) -> Result<RepairReport> {
        let mut all = RepairReport::default();
        for _ in 0..PASSES {
            let before = monitor::generation(deadline)?;
            let is_active = |network: &Network| !self.has_status || self.known.has(network);
            let mut report = run.repair(self.started.clone(), &self.unread, is_active)?;
            self.started.clear();
            self.settled = Some(before);
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

    fn say(&mut self, report: &RepairReport, by: &[String], quiet: bool) {
        if self.logged.error.take().is_some() {
            syslog::info("recovered: all checks succeed again");
        }
        for (name, outcome) in &report.started {
            let name = shown(name);
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
            let said = self.repairs.made(now, &report.repaired, by);
            said.iter().for_each(|line| syslog::warning(line));
        }
        self.deputy.keep_rules(report.is_libvirt_flushed);
        self.say_of_obstacles(report);
    }

    fn say_of_obstacles(&mut self, report: &RepairReport) {
        let obstacles = report.survey.obstacles.iter();
        let certain = obstacles.filter(|obstacle| obstacle.is_certain && report.is_any_open);
        let now: BTreeSet<_> = certain.map(|obstacle| obstacle.chain.clone()).collect();
        for chain in self.alarms.see(Instant::now(), now) {
            syslog::warning(&format!(
                "chain {chain} blocks allowed traffic (see virt-forward status)"
            ));
        }
    }
}
