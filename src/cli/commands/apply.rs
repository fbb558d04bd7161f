//! `apply`: reconciles this host with the config.

use std::fmt::Write;

use anyhow::Result;
use virt_forward_policy::{network::Network, sanitize::escape};
use virt_forward_reconcile::{self as reconcile, ConfigConflict, Preview, Session, SettingSeen};
use virt_forward_ruleset::gates::{GateState, Site};
use virt_forward_system::{libvirt::status::Active, state::Record};

use super::{config, deadline, store};
use crate::{args::Args, exit::Exit, networks::Networks, output};

/// Opens the named networks again; without names, all active networks and no others.
pub(crate) fn apply(args: &Args, names: &[String]) -> Result<Exit> {
    let config = config(args)?;
    // libvirt is asked before the lock is taken: it may be waiting for a hook that waits for the lock.
    let networks = Networks::find(args.connect.as_deref())?;
    let unresolved = reconcile::unresolved_names(&config, |name| networks.has(name));
    let active = networks.as_active();
    let networks = networks.select(names)?;
    let others = (!names.is_empty()).then_some(active.networks);
    let store = store();
    let session = Session::begin(&store, &config, deadline())?;
    let outcome_report = session.apply(networks.clone(), others, active.unread)?;
    let is_meant = |record: &&Record| {
        let mut networks = networks.iter();
        networks.any(|network| network.name == record.network.name)
    };
    let records = store.records()?;
    let records = records.iter().filter(is_meant);
    let text: String = records.map(|record| outcome(record) + "\n").collect();
    for chain in &outcome_report.blocking_chains {
        output::warn(&format!(
            "the chain {chain} blocks what is open: see virt-forward status"
        ));
    }
    if text.is_empty() {
        output::print("no network is active\n")?;
    } else {
        output::print(&text)?;
    }
    if let Some(note) = config.opens_nothing() {
        output::print(&format!("{note}\n"))?;
    }
    let has_failed = outcome_report.warnings.iter().any(|one| !one.is_conflict());
    for warning in &outcome_report.warnings {
        output::warn(&warning.to_string());
    }
    let exit = report(&unresolved);
    Ok(if has_failed {
        Exit::Failed
    } else if outcome_report.warnings.is_empty() {
        exit
    } else {
        Exit::Usage
    })
}

/// Prints the desired state that [`apply`] would install.
pub(crate) fn dry_run(args: &Args, names: &[String]) -> Result<Exit> {
    let config = config(args)?;
    let networks = Networks::find(args.connect.as_deref())?;
    let unknown = reconcile::unresolved_names(&config, |name| networks.has(name));
    let unread = networks.unread.clone();
    let mut networks = networks.select(names)?;
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
    output::print(&preview_text(&preview))?;
    if let Some(note) = config.opens_nothing() {
        output::print(&format!("# {note}\n"))?;
    }
    Ok(report(&preview.misfits))
}

/// Reports the parts of the config that have no effect.
fn report(misfits: &[ConfigConflict]) -> Exit {
    for misfit in misfits {
        output::warn(&misfit.to_string());
    }
    if misfits.is_empty() {
        Exit::Success
    } else {
        Exit::Usage
    }
}

/// `kube03: open to group kube`
fn outcome(record: &Record) -> String {
    let name = escape(&record.network.name);
    if let Some(why) = &record.network.fault {
        return format!("{name}: closed: {why}");
    }
    if record.is_admin_closed() {
        return format!("{name}: kept closed until it starts again");
    }
    if record.access.is_empty() {
        return format!("{name}: closed, no group or rule names it");
    }
    format!("{name}: {}", record.access)
}

fn preview_text(preview: &Preview) -> String {
    let mut text = String::from("# networks\n");
    for record in &preview.records {
        let _ = writeln!(text, "# {}", outcome(record));
    }
    match &preview.table {
        Some(table) => text.push_str(table),
        None => text.push_str("# no network would be open: no table and no gates\n"),
    }
    if preview.table.is_some() {
        text.push_str("# gates\n");
        text.extend(preview.survey.all().map(gate_text));
        text.push_str("# settings\n");
        text.extend(preview.settings.iter().map(setting_text));
    }
    text
}

fn gate_text(site: &Site) -> String {
    let action = match site.state {
        GateState::Present => "present",
        GateState::Missing => "would be added",
        GateState::Shadowed | GateState::High => "would be moved",
        GateState::NotNeeded => "not needed",
    };
    format!("# {} ({}): {action}\n", site.chain(), site.owner)
}

fn setting_text(setting: &SettingSeen) -> String {
    let now = match (&setting.value, setting.is_right()) {
        (_, true) => "unchanged".to_owned(),
        (Some(value), false) => format!("now {value}"),
        (None, false) => "does not exist now".to_owned(),
    };
    let wanted = &setting.wanted;
    format!("# {} = {} ({now})\n", wanted.key.name(), wanted.value)
}
