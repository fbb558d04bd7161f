//! `apply`: the manual re-run.

use std::fmt::Write;

use anyhow::Result;
use virt_forward_policy::{network::Network, sanitize::shown};
use virt_forward_reconcile::{self as reconcile, ConfigConflict, Preview, Session, SettingSeen};
use virt_forward_ruleset::gates::{Site, State};
use virt_forward_system::{libvirt::status::Active, state::Record};

use super::{config, deadline, store};
use crate::{args::Args, exit::Exit, networks::Networks, output};

/// Opens the named networks again, or all and no others.
pub(crate) fn apply(args: &Args, names: &[String]) -> Result<Exit> {
    let config = config(args)?;
    // Before the lock is taken: libvirt may be waiting for a hook that waits for it.
    let networks = Networks::find(args.connect.as_deref())?;
    let unresolved = reconcile::unresolved_names(&config, |name| networks.has(name));
    let active = networks.as_active();
    let networks = networks.meant(names)?;
    let others = (!names.is_empty()).then_some(active.networks);
    let store = store();
    let run = Session::begin(&store, &config, deadline())?;
    let report = run.apply(networks.clone(), others, active.unread)?;
    let is_meant = |record: &&Record| {
        let mut networks = networks.iter();
        networks.any(|network| network.name == record.network.name)
    };
    let records = store.records()?;
    let records = records.iter().filter(is_meant);
    let said: String = records.map(|record| said(record) + "\n").collect();
    for chain in &report.blocking_chains {
        output::complain(&format!(
            "the chain {chain} refuses what is open: virt-forward status tells what opens it"
        ));
    }
    match said.is_empty() {
        true => output::print("no network is active that could be opened\n")?,
        false => output::print(&said)?,
    }
    if let Some(nothing) = config.opens_nothing() {
        output::print(&format!("{nothing}\n"))?;
    }
    let has_failed = report.warnings.iter().any(|one| !one.is_conflict());
    for warning in &report.warnings {
        output::complain(&warning.to_string());
    }
    let exit = complain_of(&unresolved);
    Ok(match (has_failed, report.warnings.is_empty()) {
        (true, _) => Exit::Failed,
        (false, false) => Exit::Wrong,
        (false, true) => exit,
    })
}

/// Shows what [`apply`] would make.
pub(crate) fn dry_run(args: &Args, names: &[String]) -> Result<Exit> {
    let config = config(args)?;
    let networks = Networks::find(args.connect.as_deref())?;
    let unknown = reconcile::unresolved_names(&config, |name| networks.has(name));
    let unread = networks.unread.clone();
    let mut networks = networks.meant(names)?;
    if !names.is_empty() {
        let others = store().records()?.into_iter().map(|record| record.network);
        networks.extend(others.filter(|other| !names.contains(&other.name)));
    }
    let held: Vec<_> = store()
        .records()?
        .into_iter()
        .filter(Record::is_admin_closed)
        .collect();
    let is_held = |network: &Network| {
        let mut held = held.iter().map(|record| &record.network.name);
        !names.is_empty()
            && !names.contains(&network.name)
            && held.any(|name| *name == network.name)
    };
    let mut preview = reconcile::preview(
        &config,
        Active { networks, unread },
        is_held,
        None,
        deadline(),
    )?;
    preview.misfits.extend(unknown);
    output::print(&shown_preview(&preview))?;
    if let Some(nothing) = config.opens_nothing() {
        output::print(&format!("# {nothing}\n"))?;
    }
    Ok(complain_of(&preview.misfits))
}

/// Prints the parts of the configuration without effect. Everything else is done.
fn complain_of(misfits: &[ConfigConflict]) -> Exit {
    for misfit in misfits {
        output::complain(&misfit.to_string());
    }
    match misfits.is_empty() {
        true => Exit::Done,
        false => Exit::Wrong,
    }
}

fn said(record: &Record) -> String {
    let name = shown(&record.network.name);
    if let Some(why) = &record.network.fault {
        return format!("{name}: closed: {why}");
    }
    match record.access.is_none() {
        _ if record.is_admin_closed() => format!("{name}: kept closed until it starts again"),
        true => format!("{name}: closed, the config names it nowhere"),
        false => format!("{name}: {}", record.access),
    }
}

fn shown_preview(preview: &Preview) -> String {
    let mut text = String::from("# networks\n");
    for record in &preview.records {
        let _ = writeln!(text, "# {}", said(record));
    }
    match &preview.table {
        Some(table) => text.push_str(table),
        None => text.push_str("# no network would be open: no table, no gates\n"),
    }
    if preview.table.is_some() {
        text.push_str("# gates\n");
        text.extend(preview.survey.all().map(shown_gate));
        text.push_str("# settings\n");
        text.extend(preview.settings.iter().map(shown_setting));
    }
    text
}

fn shown_gate(site: &Site) -> String {
    let todo = match site.state {
        State::Standing => "stands",
        State::Missing => "would be put in",
        State::Sunk | State::High => "would be put in its place",
        State::Unneeded => "none is needed",
    };
    format!("# {} ({}): {todo}\n", site.chain(), site.owner)
}

fn shown_setting(setting: &SettingSeen) -> String {
    let now = match (&setting.value, setting.is_right()) {
        (_, true) => "as it is".to_owned(),
        (Some(value), false) => format!("now {value}"),
        (None, false) => "no such setting now".to_owned(),
    };
    let wanted = &setting.wanted;
    format!("# {} = {} ({now})\n", wanted.key.name(), wanted.value)
}
