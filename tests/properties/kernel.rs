//! One case on the real kernel, by the hook itself.

use std::{fmt::Debug, fs, path::Path, time::Duration};

use virt_forward_policy::{config::Config, netfilter::TABLE, network::Network};
use virt_forward_reconcile::Session;
use virt_forward_system::{deadline::Deadline, paths, state::Store};
use virt_forward_test_support::generate::{Case, Event};

use crate::host::{self, Outcome};

const PATIENCE: Duration = Duration::from_secs(20);

/// Whether something is open at its end; or what does not hold for it.
pub(crate) fn check(case: &Case) -> Outcome<bool> {
    host::clear(&case.networks)?;
    // What becomes of the settings where nobody is but libvirt.
    play(case, |_, _| Ok(()))?;
    let settings = host::settings();
    host::clear(&case.networks)?;

    host::run("nft", &["-f", "-"], &case.foreign.join("\n"))?;
    let before = host::ruleset()?;
    write(paths::CONFIG, &case.config)?;
    let running = play(case, by_the_hook)?;
    let table = listed()?;
    let ended = host::ruleset()?;
    takes_its_own_listing(table.as_deref())?;

    apply(case, running.clone())?;
    same(
        "a fresh rebuild is what the events ended in",
        &ended,
        &host::ruleset()?,
    )?;
    remove_all(case)?;
    same(
        "remove leaves the rules of others as they were",
        &before,
        &host::ruleset()?,
    )?;
    same("remove gives settings back", &settings, &host::settings())?;
    nothing_left()?;

    apply(case, running.clone())?;
    same(
        "a rebuild from nothing is what the events ended in",
        &ended,
        &host::ruleset()?,
    )?;
    apply(case, running)?;
    same("applied twice is applied once", &ended, &host::ruleset()?)?;
    remove_all(case)?;
    same(
        "remove leaves the rules of others again",
        &before,
        &host::ruleset()?,
    )?;
    same(
        "remove gives settings back again",
        &settings,
        &host::settings(),
    )?;
    nothing_left()?;
    Ok(table.is_some())
}

/// Plays the events; the networks that run then. `tell` is called for those of one step, once
/// libvirt has done its part.
fn play(
    case: &Case,
    tell: impl Fn(&Case, &[(&Network, &'static str)]) -> Outcome<()>,
) -> Outcome<Vec<Network>> {
    for step in &case.steps {
        let mut calls = Vec::new();
        for (place, event) in step {
            let Some(network) = case.networks.get(*place) else {
                continue;
            };
            let runs = host::is_plugged(network);
            match event {
                Event::Start if !runs => {
                    host::plug(network)?;
                    calls.push((network, "started"));
                }
                Event::Stop if runs => {
                    host::unplug(network)?;
                    calls.push((network, "stopped"));
                }
                Event::Stop => calls.push((network, "stopped")),
                Event::Start | Event::Update => calls.push((network, "updated")),
            }
        }
        tell(case, &calls)?;
    }
    let running = case.networks.iter().filter(|one| host::is_plugged(one));
    Ok(running.cloned().collect())
}

/// All at once.
fn by_the_hook(_: &Case, calls: &[(&Network, &'static str)]) -> Outcome<()> {
    let hooks = calls
        .iter()
        .map(|(network, word)| host::hook(network, word));
    let hooks: Vec<_> = hooks.collect::<Outcome<_>>()?;
    for hook in hooks {
        let output = hook.wait_with_output().map_err(|why| why.to_string())?;
        let said = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() || said.contains("not opened") || said.contains("not closed") {
            return Err(format!("the hook: {} {said}", output.status));
        }
    }
    Ok(())
}

/// With every network that runs, and no other.
fn apply(case: &Case, running: Vec<Network>) -> Outcome<()> {
    let (store, config) = (Store::at(paths::STATE), config(case)?);
    let run = Session::begin(&store, &config, Deadline::after(PATIENCE));
    match run.and_then(|run| run.apply(running, None, Vec::new())) {
        Err(why) => Err(format!("apply: {why}")),
        Ok(report) => match report.warnings.iter().find(|one| !one.is_conflict()) {
            Some(warning) => Err(format!("apply: {warning}")),
            None => Ok(()),
        },
    }
}

fn remove_all(case: &Case) -> Outcome<()> {
    let (store, config) = (Store::at(paths::STATE), config(case)?);
    let run = Session::begin(&store, &config, Deadline::after(PATIENCE));
    run.and_then(|run| run.remove_all())
        .map_err(|why| format!("remove: {why}"))
}

fn config(case: &Case) -> Outcome<Config> {
    case.config().ok_or("the config is wrong".to_owned())
}

fn listed() -> Outcome<Option<String>> {
    let deadline = Deadline::after(PATIENCE);
    virt_forward_system::exec::nft::list(TABLE, deadline).map_err(|why| why.to_string())
}

/// `nft list ruleset > f; nft -f f` is how many a host keeps its rules.
fn takes_its_own_listing(table: Option<&str>) -> Outcome<()> {
    let Some(table) = table else {
        return Ok(());
    };
    let (family, name) = (TABLE.family.word(), TABLE.name);
    let anew = format!("delete table {family} {name}\n{table}");
    host::run("nft", &["-f", "-"], &anew)?;
    let again = listed()?.unwrap_or_default();
    match virt_forward_ruleset::table::is_equivalent(table, &again) {
        true => Ok(()),
        false => Err(format!(
            "nft lists another table than it took:\n{table}\n{again}"
        )),
    }
}

fn nothing_left() -> Outcome<()> {
    match Path::new(paths::STATE).exists() {
        true => Err(format!("{} is there still", paths::STATE)),
        false => Ok(()),
    }
}

fn same<T: PartialEq + Debug>(what: &str, expected: &T, seen: &T) -> Outcome<()> {
    match expected == seen {
        true => Ok(()),
        false => Err(format!(
            "not so: {what}\nexpected {expected:#?}\nbut got  {seen:#?}"
        )),
    }
}

fn write(path: &str, text: &str) -> Outcome<()> {
    let path = Path::new(path);
    let made = path.parent().map_or(Ok(()), fs::create_dir_all);
    made.and_then(|()| fs::write(path, text))
        .map_err(|why| format!("{}: {why}", path.display()))
}
