//! `apply`: the manual re-run.

use std::fmt::Write;

use anyhow::Result;
use virt_forward_core::{
    gates::{Site, State},
    network::Network,
    reconcile::{self, Preview, Run, SettingSeen},
    state::Record,
    text::shown,
};

use super::{config, deadline, store};
use crate::{args::Args, exit::Exit, networks::Networks, output};

/// Opens the named networks again, or all and no others.
pub(crate) fn apply(args: &Args, names: &[String]) -> Result<Exit> {
    let config = config(args)?;
    // Before the lock is taken: libvirt may be waiting for a hook that waits for it.
    let networks = meant(args, names)?;
    let store = store();
    let run = Run::begin(&store, &config, deadline())?;
    run.apply(networks.clone(), names.is_empty())?;
    let said: String = store
        .records()
        .iter()
        .filter(|record| {
            networks
                .iter()
                .any(|network| network.name == record.network.name)
        })
        .map(|record| said(record) + "\n")
        .collect();
    for chain in run.still_closed() {
        output::complain(&format!(
            "the chain {chain} refuses what is open: virt-forward status tells what opens it"
        ));
    }
    match said.is_empty() {
        true => output::print("no network is active that could be opened\n")?,
        false => output::print(&said)?,
    }
    Ok(Exit::Done)
}

/// Shows what [`apply`] would make.
pub(crate) fn dry_run(args: &Args, names: &[String]) -> Result<Exit> {
    let config = config(args)?;
    let mut networks = meant(args, names)?;
    if !names.is_empty() {
        let others = store().records().into_iter().map(|record| record.network);
        networks.extend(others.filter(|other| !names.contains(&other.name)));
    }
    let preview = reconcile::preview(&config, networks, deadline())?;
    output::print(&shown_preview(&preview))?;
    Ok(Exit::Done)
}

fn meant(args: &Args, names: &[String]) -> Result<Vec<Network>> {
    let networks = Networks::find(args.connect.as_deref())?;
    match names.is_empty() {
        true => Ok(networks.active),
        false => networks.named(names),
    }
}

fn said(record: &Record) -> String {
    let name = shown(&record.network.name);
    match record.access.is_none() {
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
        text.extend(preview.survey.sites.iter().map(shown_gate));
        text.push_str("# settings\n");
        text.extend(preview.settings.iter().map(shown_setting));
    }
    text
}

fn shown_gate(site: &Site) -> String {
    let todo = match site.state {
        State::Standing => "stands",
        State::Missing => "would be put in",
        State::Sunk => "would be put in its place",
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
