//! `doctor`: gathers the state of the host and reports what is wrong with it.

use std::time::{Duration, SystemTime};

use anyhow::Result;
use virt_forward_policy::{
    config::{Config, MarkBit},
    netfilter::ChainName,
};
use virt_forward_reconcile::{self as reconcile, Error, Inspection};
use virt_forward_ruleset::sysctls::SysctlReader;
use virt_forward_system::{
    exec::{hook_trial, iptables as programs, rule_dump},
    links as interfaces,
    netlink::nft_rules::{self, Scope},
    paths,
    state::Store,
    sysctl::Kernel,
};

use super::{config, deadline, store};
use crate::{
    args::Args,
    doctor::{
        BridgeFilter, ConfigFile, Daemon, DoctorReport, ForwardingSysctls, FwmarkRules,
        FwmarkUsers, Hooks, HostSnapshot, InterfaceSysctls, Iptables, LibvirtVersion, MacState,
        ObservedRules, RoutingRule, StateFolder, SysRoot, WATCH_PROCESS, diagnose,
    },
    exit::Exit,
    host::Host,
    libvirt, libvirt_hook,
    networks::Networks,
    output, sysctl,
    terminal::Terminal,
};

/// How long to wait for a run in progress, and how often to look meanwhile.
const RUN_PATIENCE: Duration = Duration::from_secs(2);
const RUN_POLL: Duration = Duration::from_millis(100);
/// The number of snapshots taken while other runs change the state.
const MAX_SNAPSHOTS: usize = 3;

/// Prints the findings; the exit status tells whether one of them is an error.
pub(crate) fn doctor(args: &Args, json: bool) -> Result<Exit> {
    let report = DoctorReport::new(diagnose(&consistent_snapshot(args)?));
    let screen = Terminal::of_stdout(args.color);
    let text = if json {
        output::json(&report)?
    } else {
        report.render(&screen)
    };
    output::print_painted(&text, &screen)?;
    if report.is_healthy() {
        return Ok(Exit::Success);
    }
    Ok(Exit::Drift)
}

/// A snapshot during which no other run has changed the state, if possible.
fn consistent_snapshot(args: &Args) -> Result<HostSnapshot> {
    let store = store();
    wait_for_other_runs(&store);
    let generation = || (store.is_pending(), store.table_fingerprint());
    let mut before = generation();
    let mut snapshot = collect(args)?;
    for _ in 1..MAX_SNAPSHOTS {
        let after = generation();
        if after == before {
            break;
        }
        before = after;
        snapshot = collect(args)?;
    }
    Ok(snapshot)
}

/// A run in progress would look like an interrupted one.
fn wait_for_other_runs(store: &Store) {
    let mut waited = Duration::ZERO;
    while store.is_pending() && waited < RUN_PATIENCE {
        std::thread::sleep(RUN_POLL);
        waited += RUN_POLL;
    }
}

fn collect(args: &Args) -> Result<HostSnapshot> {
    let (root, now) = (SysRoot::host(), SystemTime::now());
    let config = load_config(args)?;
    let (networks, libvirt_error) = Networks::find_with_error(args.connect.as_deref());
    let libvirt = match libvirt_error {
        Some(error) => Err(error),
        None => libvirt::version(args.connect.as_deref()),
    };
    let host = Host::ask()?;
    let hooks_since = libvirt_hook::installed_since(&root.path(paths::HOOKS));
    let daemon = Daemon::collect(&root, hooks_since, now);
    let pid = daemon.process.as_ref().map(|process| process.pid);
    Ok(HostSnapshot {
        config_file: ConfigFile::collect(&root, &args.config),
        libvirt: libvirt
            .map(LibvirtVersion)
            .map_err(|error| format!("{error:#}")),
        hooks: collect_hooks(&root),
        mac: MacState::collect(&root, pid),
        watch: root.processes(WATCH_PROCESS, now),
        sysctls: InterfaceSysctls::collect(&host, &sysctl::Kernel),
        forwarding: ForwardingSysctls::collect(&root, Kernel.autoconfigured().unwrap_or_default()),
        bridge_filter: BridgeFilter::collect(&root),
        rules: collect_rules(&root, &config, &networks),
        state: collect_state(&networks),
        mark: mark_in_use(&config),
        fwmark_users: collect_fwmark_users().map_err(|error| format!("{error:#}")),
        config,
        networks,
        daemon,
        host,
    })
}

/// Errors other than those of the config end the program.
fn load_config(args: &Args) -> Result<Result<Config, Error>> {
    match config(args) {
        Ok(config) => Ok(Ok(config)),
        Err(error) => Ok(Err(error.downcast::<Error>()?)),
    }
}

/// The hooks, each with the result of a trial run.
fn collect_hooks(root: &SysRoot) -> Hooks {
    let mut hooks = Hooks::collect(root);
    for installed in hooks.runnable() {
        let path = root.path(&installed.file.path);
        let result = hook_trial::trial_run(&path, deadline());
        installed.failure = result.err().map(|error| error.to_string());
    }
    hooks
}

fn collect_rules(
    root: &SysRoot,
    config: &Result<Config, Error>,
    networks: &Networks,
) -> ObservedRules {
    let closed = Config::closed();
    let config = config.as_ref().unwrap_or(&closed);
    let inspection = reconcile::inspect(config, networks.as_active(), deadline());
    let unwritable = inspection.as_ref().map(unwritable_chains);
    let unwritable = unwritable.unwrap_or_default();
    ObservedRules {
        chains: nft_rules::chains(Scope::All, deadline())
            .map(|(chains, _)| chains)
            .map_err(Error::from),
        iptables: rule_dump::iptables_saves(deadline())
            .map(|saves| Iptables::collect(root, &saves, unwritable))
            .map_err(Error::from),
        inspection,
    }
}

/// Chains of iptables that need a gate, and for which no program is installed.
fn unwritable_chains(inspection: &Inspection) -> Vec<ChainName> {
    let sites = inspection.wanted.survey.sites.iter();
    let placements = sites.filter_map(|site| site.placement.as_ref());
    let chains = placements.map(|placement| &placement.chain);
    chains
        .filter(|chain| chain.is_of_iptables() && !programs::has_backend(chain))
        .cloned()
        .collect()
}

fn collect_state(networks: &Networks) -> StateFolder {
    let is_active = |name: &str| {
        let mut active = networks.active.iter();
        active.any(|network| network.name == name)
    };
    StateFolder::collect(&store(), interfaces::exists, is_active)
}

fn mark_in_use(config: &Result<Config, Error>) -> MarkBit {
    if let Ok(config) = config {
        return config.mark;
    }
    let built = store().layout().and_then(|layout| layout.mark());
    built.unwrap_or(MarkBit::DEFAULT)
}

fn collect_fwmark_users() -> Result<FwmarkUsers> {
    let saves = rule_dump::iptables_saves(deadline())?;
    let rules = FwmarkRules::parse(&rule_dump::nft_json(deadline())?, &saves)?;
    let routing = Host::marked_rules()?.into_iter();
    let routing = routing.map(|(priority, value, mask)| RoutingRule {
        priority,
        value,
        mask,
    });
    Ok(FwmarkUsers {
        rules,
        routing: routing.collect(),
    })
}
