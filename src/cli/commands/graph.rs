//! `graph`: a picture of networks, guests, and who reaches whom.

use std::fs;

use anyhow::Result;
use virt_forward_policy::{network::Network, sanitize::escape};

use super::{config, status::look};
use crate::{
    args::{Args, GraphArgs},
    exit::Exit,
    graph::{Graph, Source},
    guests,
    networks::Networks,
    output,
};

/// Prints it.
pub(crate) fn graph(args: &Args, wanted: &GraphArgs) -> Result<Exit> {
    let config = config(args)?;
    let networks = Networks::find(args.connect.as_deref())?;
    let inactive = networks.inactive.iter();
    let inactive: Vec<Network> = inactive.filter_map(|one| one.definition.clone()).collect();
    let seen = look(&config, networks)?;
    let records = &seen.inspection.wanted.records;
    let active: Vec<_> = records.iter().map(|record| &record.network).collect();
    let guests = guests::of(args.connect.as_deref(), &active);
    let graph = Graph::of(&Source {
        title: escape(&wanted.title.clone().unwrap_or_else(title)),
        config: &seen.inspection.wanted.usable,
        records,
        status: &seen.status,
        inactive: &inactive,
        guests: &guests,
    });
    output::print(&wanted.format.text(&graph))?;
    Ok(Exit::Done)
}

fn title() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        "" => "Virtual networks".to_owned(),
        name => format!("Virtual networks of {name}"),
    }
}
