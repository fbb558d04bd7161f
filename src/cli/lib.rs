//! The command-line tool `virt-forward`.
//!
//! It is a library so that packaging/manual can generate the manual page and shell completions from
//! the definition of the command line.

mod args;
mod check;
mod commands;
mod doctor;
mod endpoint;
mod exit;
mod graph;
mod guests;
mod host;
mod libvirt;
mod libvirt_hook;
mod neighbors;
mod netlink;
mod networks;
mod output;
mod probe;
mod route_check;
mod routes;
mod status;
mod step;
mod sysctl;
mod terminal;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use virt_forward_policy::config::MarkBit;
use virt_forward_system::exec::rule_dump::IptablesSave;

use crate::{args::Args, exit::Exit};

/// Runs the command that this process was called with, and returns its exit status.
pub fn run() -> ExitCode {
    let args = Args::parse();
    match commands::run(&args) {
        Ok(exit) => exit.into(),
        Err(error) => {
            output::warn(&format!("{error:#}"));
            Exit::of(&error).into()
        }
    }
}

/// The definition of the command line.
pub fn command_line() -> clap::Command {
    Args::command()
}

/// The output of `doctor` about users of `mark`, for rules in nft's JSON and the output of
/// `iptables-save`. For fuzz tests, which generate listings that no program prints.
pub fn said_of_mark(
    mark: MarkBit,
    nft: &str,
    saves: &[IptablesSave],
) -> serde_json::Result<Vec<String>> {
    doctor::described_fwmark(mark, nft, saves)
}
