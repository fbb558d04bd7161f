//! The subcommands, one per file.

mod apply;
mod check;
mod doctor;
mod graph;
mod hook;
mod remove;
mod routes;
mod status;
mod watch;

use std::time::Duration;

use anyhow::{Result, bail};
use virt_forward_policy::config::Config;
use virt_forward_reconcile::Error;
use virt_forward_system::{config_file, deadline::Deadline, paths, state::Store};

use crate::{
    args::{Args, Command},
    exit::Exit,
    probe,
};

/// The deadline of a command. It is longer than the hook's: hooks may hold the lock first.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs the subcommand.
pub(crate) fn run(args: &Args) -> Result<Exit> {
    if !rustix::process::geteuid().is_root() {
        bail!("cannot read or change rules without root privileges\nhint: run it with sudo");
    }
    probe::clear(deadline());
    match &args.command {
        Command::Apply {
            names,
            dry_run: true,
        } => apply::dry_run(args, names),
        Command::Apply {
            names,
            dry_run: false,
        } => apply::apply(args, names),
        Command::Remove { all: true, .. } => remove::all(),
        Command::Remove { names, .. } => remove::named(args, names),
        Command::Status(wanted) => status::status(args, wanted),
        Command::Check(asked) => check::check(args, asked),
        Command::Graph(wanted) => graph::graph(args, wanted),
        Command::Doctor { json } => doctor::doctor(args, *json),
        Command::Routes(wanted) => routes::routes(args, wanted),
        Command::Hook { action } => hook::hook(action),
        Command::Watch => watch::watch(args),
    }
}

fn config(args: &Args) -> Result<Config> {
    Ok(config_file::load(&args.config).map_err(Error::from)?)
}

fn store() -> Store {
    Store::at(paths::STATE)
}

fn deadline() -> Deadline {
    Deadline::after(PATIENCE)
}
