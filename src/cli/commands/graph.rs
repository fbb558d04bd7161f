//! `graph`: prints a diagram of the networks.

use std::fs;

use anyhow::Result;
use virt_forward_policy::{network::Network, sanitize::escape};

use super::{config, status::look};
use crate::{
    args::{Args, GraphArgs},
    exit::Exit,
    graph::{Graph, GraphInput},
    guests,
    networks::Networks,
    output,
};

/// Prints the diagram in the format that `options` asks for.
pub(crate) fn graph(args: &Args, options: &GraphArgs) -> Result<Exit> {
    let config = config(args)?;
    let networks = Networks::find(args.connect.as_deref())?;
    let inactive: Vec<Network> = networks
        .inactive
        .iter()
        .filter_map(|network| network.definition.clone())
        .collect();
    let seen = look(&config, networks)?;
    let records = &seen.inspection.wanted.records;
    let active: Vec<_> = records.iter().map(|record| &record.network).collect();
    let guests = guests::of(args.connect.as_deref(), &active);
    let title = options.title.clone().unwrap_or_else(default_title);
    let graph = Graph::build(&GraphInput {
        title: escape(&title),
        config: &seen.inspection.wanted.usable,
        records,
        status: &seen.status,
        inactive: &inactive,
        guests: &guests,
    });
    output::print(&options.format.render(&graph))?;
    Ok(Exit::Success)
}

fn default_title() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        "" => "Virtual networks".to_owned(),
        name => format!("Virtual networks of {name}"),
    }
}
