//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use virt_forward_core::{VERSION, paths};

const EXAMPLES: &str = "\
Examples:
  virt-forward status            who reaches whom on this host
  virt-forward apply             open all active networks, as the config says
  virt-forward apply --dry-run   show the rules, change nothing
  virt-forward remove kube02     close one network until it starts again
  virt-forward remove --all      take all of virt-forward off the kernel

Exit codes: 0 done, 1 failed, 2 wrong command line or config, 3 not as wanted.";

/// Lets libvirt's virtual networks reach each other.
#[derive(Debug, Parser)]
#[command(name = "virt-forward", version = VERSION, after_help = EXAMPLES, max_term_width = 100)]
pub(crate) struct Args {
    /// The configuration; a missing file means the defaults
    #[arg(long, global = true, value_name = "FILE", default_value = paths::CONFIG)]
    pub(crate) config: PathBuf,

    /// The libvirt to ask for networks
    #[arg(long, global = true, value_name = "URI")]
    pub(crate) connect: Option<String>,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Open active networks again, as the config says
    ///
    /// Without names: all of them, and what is stale is dropped. The hook does the same at each
    /// start; this is for after a change of the config, or when somebody flushed the rules.
    Apply {
        /// Networks that are active; all of them if none is named
        #[arg(value_name = "NAME")]
        names: Vec<String>,
        /// Print the rules, the gates and the settings, and change nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Close networks
    #[command(arg_required_else_help = true)]
    Remove {
        /// Networks that are open; they open again at their next start, or by apply
        #[arg(value_name = "NAME", required_unless_present = "all")]
        names: Vec<String>,
        /// Every rule, gate and setting of virt-forward, whether it is known or not
        #[arg(long, conflicts_with = "names")]
        all: bool,
    },
    /// Show networks, gates and settings, and who reaches whom
    Status {
        /// For programs
        #[arg(long)]
        json: bool,
        /// End with 3 where anything is not as wanted
        #[arg(long)]
        check: bool,
    },
    /// Keep everything as wanted, until it is ended: for systemd
    ///
    /// Listens to the kernel and to libvirt, and mends what somebody flushed, restarted or
    /// switched off. Says what it mended in syslog. What was closed by remove stays closed.
    /// SIGHUP makes it do what apply does.
    Watch,
    /// Put the libvirt hook in its place, or take it away
    Hook {
        #[command(subcommand)]
        action: HookAction,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum HookAction {
    /// Copy the hook to /etc/libvirt/hooks/network, or, where an admin's own hook is there,
    /// to /etc/libvirt/hooks/network.d/50-virt-forward
    Install {
        /// The hook's program [default: virt-forward-hook beside this program, else in
        /// /usr/lib/virt-forward]
        #[arg(long, value_name = "FILE")]
        from: Option<PathBuf>,
    },
    /// Take the hook away; an admin's own hook is never touched
    Uninstall,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn the_help_fits_80_columns() {
        let help = Args::command()
            .term_width(80)
            .render_long_help()
            .to_string();
        for line in help.lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }
}
