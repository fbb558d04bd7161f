//! `virt-forward`: what the hook does, by hand, and what there is to see.
//!
//! A library so that the manual and the completions of shells are made from the command line's
//! own definition (packaging/manual).

mod args;
mod check;
mod commands;
mod doctor;
mod endpoint;
mod exit;
mod graph;
mod guests;
mod hooks;
mod host;
mod libvirt;
mod neighbours;
mod netlink;
mod networks;
mod output;
mod paint;
mod probe;
mod routes;
mod settings;
mod status;
mod step;
mod ways;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use virt_forward_policy::config::MarkBit;
use virt_forward_system::exec::rule_dump::Save;

use crate::{args::Args, doctor::marks, exit::Exit};

/// Does what this process was called for; how it is to end.
pub fn run() -> ExitCode {
    let args = Args::parse();
    match commands::run(&args) {
        Ok(exit) => exit.into(),
        Err(error) => {
            output::complain(&format!("{error:#}"));
            Exit::of(&error).into()
        }
    }
}

/// The command line's definition.
pub fn command_line() -> clap::Command {
    Args::command()
}

/// What `doctor` says of `mark` on a host with these rules: nft's JSON, and what `iptables-save`
/// says. For tests, which make up listings that no program would.
pub fn said_of_mark(mark: MarkBit, nft: &str, saves: &[Save]) -> serde_json::Result<Vec<String>> {
    let findings = marks::findings(mark, &marks::Rules::listed(nft, saves)?, &[]);
    let said = findings
        .into_iter()
        .flat_map(|one| [one.what].into_iter().chain(one.remedy));
    Ok(said.collect())
}
