//! `virt-forward`: what the hook does, by hand, and what there is to see.

mod args;
mod check;
mod commands;
mod doctor;
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
mod ways;

use std::process::ExitCode;

use clap::Parser;

use crate::{args::Args, exit::Exit};

fn main() -> ExitCode {
    let args = Args::parse();
    match commands::run(&args) {
        Ok(exit) => exit.into(),
        Err(error) => {
            output::complain(&format!("{error:#}"));
            Exit::of(&error).into()
        }
    }
}
