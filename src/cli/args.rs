//! The command line.

use std::{net::IpAddr, path::PathBuf};

use clap::{Parser, Subcommand};
use virt_forward_policy::VERSION;
use virt_forward_system::paths;

use crate::{
    graph,
    paint::When,
    routes::{
        Gateway,
        announce::{Neighbor, Protocol},
        formats::Format,
    },
};

const EXAMPLES: &str = "\
Examples:
  virt-forward status            who reaches whom on this host
  virt-forward apply             open all active networks, as the config says
  virt-forward apply --dry-run   show the rules, change nothing
  virt-forward remove kube02     close one network until it starts again
  virt-forward remove --all      take all of virt-forward off the kernel
  virt-forward check A B         why A reaches B, or does not
  virt-forward doctor            what is wrong on this host, and what mends it
  virt-forward routes            the routes that a machine of the LAN needs
  virt-forward graph > a.svg     a picture of it all

Each command has examples of its own: virt-forward check --help
All of it: man virt-forward, man virt-forward.toml, man virt-forward-hook

Exit codes: 0 done, 1 failed, 2 wrong command line or config, 3 not as wanted.";

const APPLY_EXAMPLES: &str = "\
Examples:
  virt-forward apply                 after a change of the config
  virt-forward apply kube02          one network, after it was closed by remove
  virt-forward apply --dry-run       the rules as they would be, and nothing else
  virt-forward --config new.toml apply --dry-run
                                     is that file right, and what would it open?";

const REMOVE_EXAMPLES: &str = "\
Examples:
  virt-forward remove kube02         closed until it starts again, or by apply
  virt-forward remove --all          nothing of virt-forward is left in the kernel
  virt-forward hook uninstall && virt-forward remove --all
                                     and nothing opens again either";

const WATCH_EXAMPLES: &str = "\
Examples:
  systemctl enable --now virt-forward    as packages do
  systemctl reload virt-forward          open all again, as apply does
  journalctl -t virt-forward             what it mended, and after whose change";

const HOOK_EXAMPLES: &str = "\
Examples:
  virt-forward hook install
  systemctl try-restart libvirtd     if it had no network hook before
  virt-forward doctor                whether libvirt runs it
  virt-forward hook uninstall";

const HOOK_INSTALL_EXAMPLES: &str = "\
Examples:
  virt-forward hook install
  virt-forward hook install --from target/release/virt-forward-hook";

const HOOK_UNINSTALL_EXAMPLES: &str = "\
Examples:
  virt-forward hook uninstall        networks that are open stay so
  virt-forward remove --all          and with this they do not";

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

    /// Colours: auto, always or never; NO_COLOR in the environment means never
    #[arg(long, global = true, value_name = "WHEN", value_enum, default_value_t = When::Auto,
          hide_possible_values = true)]
    pub(crate) color: When,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Open active networks again, as the config says
    ///
    /// Without names: all of them, and what is stale is dropped. The hook does the same at each
    /// start; this is for after a change of the config, or when somebody flushed the rules.
    #[command(after_help = APPLY_EXAMPLES)]
    Apply {
        /// Networks that are active; all of them if none is named
        #[arg(value_name = "NAME")]
        names: Vec<String>,
        /// Print the rules, the gates and the settings, and change nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Close networks
    #[command(arg_required_else_help = true, after_help = REMOVE_EXAMPLES)]
    Remove {
        /// Networks that are open; they open again at their next start, or by apply
        #[arg(value_name = "NAME", required_unless_present = "all")]
        names: Vec<String>,
        /// Every rule, gate and setting of virt-forward, whether it is known or not
        #[arg(long, conflicts_with = "names")]
        all: bool,
    },
    /// Show networks, gates and settings, and who reaches whom
    ///
    /// Who reaches whom is told from the left to the top, with the machines outside that the
    /// config names, and the Internet; in the form that fits the terminal.
    Status(StatusArgs),
    /// Draw networks, guests and who reaches whom, for a wiki
    ///
    /// Members of a group are in one box; peers and each [[allow]] are arrows; what libvirt lets
    /// through by itself is told on the network.
    Graph(GraphArgs),
    /// Tell why a packet passes, or who refuses it and what to do
    ///
    /// FROM and TO are addresses, names of networks, or of running guests. Goes the way that a
    /// packet would take through this host, there and back; with --probe a packet goes it. Ends
    /// with 3 where it is blocked.
    Check(CheckArgs),
    /// Look for what commonly goes wrong on a host, and tell what mends it
    ///
    /// The hook and libvirt's daemon, the config, networks, rules, gates, other firewalls,
    /// settings, routes, and who else uses our bit of the mark. Changes nothing. Ends with 3 where
    /// something is wrong.
    #[command(after_help = DOCTOR_EXAMPLES)]
    Doctor {
        /// For programs
        #[arg(long)]
        json: bool,
    },
    /// Print the routes that machines of the LAN, or their router, need to reach the networks
    ///
    /// By way of this host, for what is active now. What will not work with them is said on
    /// stderr.
    Routes(RoutesArgs),
    /// Keep everything as wanted, until it is ended: for systemd
    ///
    /// Listens to the kernel and to libvirt, and mends what somebody flushed, restarted or
    /// switched off. Says what it mended in syslog. What was closed by remove stays closed.
    /// SIGHUP makes it do what apply does.
    #[command(after_help = WATCH_EXAMPLES)]
    Watch,
    /// Put the libvirt hook in its place, or take it away
    ///
    /// libvirtd runs it at each start and stop of a network. Where SELinux would not let it, install
    /// refuses, for then no network would start, and tells what allows it.
    #[command(after_help = HOOK_EXAMPLES)]
    Hook {
        #[command(subcommand)]
        action: HookAction,
    },
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  virt-forward status --check > /dev/null || echo 'not as wanted'
  virt-forward status --why                    why each pair is open or closed
  virt-forward status --why kube02             whatever kube02 is a part of
  virt-forward status --why 192.168.0.30 kube02
  virt-forward status --color always | less -R")]
pub(crate) struct StatusArgs {
    /// For programs
    #[arg(long)]
    pub(crate) json: bool,
    /// End with 3 where anything is not as wanted
    #[arg(long)]
    pub(crate) check: bool,
    /// Tell why each pair is open, limited or closed; of one end alone, or from one to another:
    /// networks, addresses outside, or internet
    #[arg(long, num_args = 0..=2, value_names = ["FROM", "TO"], conflicts_with = "json")]
    pub(crate) why: Option<Vec<String>>,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  virt-forward check kube02 10.17.4.21              a ping
  virt-forward check 192.168.0.30 kube03 --tcp 443
  virt-forward check node1 lb --udp 53 --json       from one guest to another
  virt-forward check kube02 kube03 --probe          which rule drops it
  virt-forward check 10.9.9.9@kube02 kube03         a guest with an address not its own")]
pub(crate) struct CheckArgs {
    /// Who sends it
    pub(crate) from: String,
    /// Who is to get it
    pub(crate) to: String,
    /// TCP, to that port
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..), group = "packet")]
    pub(crate) tcp: Option<u16>,
    /// UDP, to that port
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..), group = "packet")]
    pub(crate) udp: Option<u16>,
    /// A ping; so it is where nothing is said
    #[arg(long, group = "packet")]
    pub(crate) icmp: bool,
    /// Send the packet, and follow it from rule to rule
    ///
    /// From a free address of the network, or the one that is given, if nobody has it; in the
    /// place of a machine outside, which hears nothing of it. TO gets it for real; where TO is a
    /// network, a free address of that answers. Nothing of it stays.
    #[arg(long)]
    pub(crate) probe: bool,
    /// For programs
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  virt-forward graph > networks.svg
  virt-forward graph --format dot | dot -Tpng > networks.png
  virt-forward graph --format mermaid      for a ```mermaid block of a wiki")]
pub(crate) struct GraphArgs {
    /// What it is written in
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = graph::Format::Svg)]
    pub(crate) format: graph::Format,
    /// The picture's title [default: Virtual networks of, and this host's name]
    #[arg(long, value_name = "TEXT")]
    pub(crate) title: Option<String>,
}

const DOCTOR_EXAMPLES: &str = "\
Examples:
  virt-forward doctor
  virt-forward doctor --json | jq '.findings[] | select(.state == \"wrong\")'";

const ROUTES_EXAMPLES: &str = "\
Examples:
  virt-forward routes | ssh root@k8s-api-lb sh
                            until that machine's next boot
  virt-forward routes --format netplan --interface enp1s0
  virt-forward routes --format dnsmasq > /etc/dnsmasq.d/virt-forward.conf
                            on the LAN's DHCP server, for all of its machines
  virt-forward routes --gateway host
                            the machine's default route leads to this host too
  virt-forward routes --format frr --announce ospf | vtysh -f /dev/stdin
                            no routes by hand: hosts tell them to each other";

#[derive(Debug, clap::Args)]
#[command(after_help = ROUTES_EXAMPLES)]
pub(crate) struct RoutesArgs {
    /// For which program
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = Format::Iproute2)]
    pub(crate) format: Format,
    /// This host's address in the LAN; one of each family may be named [default: the one on its
    /// way to peers, else to the world]
    #[arg(long, value_name = "ADDR")]
    pub(crate) via: Vec<IpAddr>,
    /// Give a default route too, and where it leads [default: it stays as it is]
    #[arg(long, value_enum)]
    pub(crate) gateway: Option<Gateway>,
    /// The router's address; one of each family may be named [default: this host's own
    /// gateway]
    #[arg(long, value_name = "ADDR")]
    pub(crate) router: Vec<IpAddr>,
    /// The interface of the machine that the routes are for, in formats that name it [default:
    /// eth0, or lan on OpenWrt]
    #[arg(long, value_name = "NAME")]
    pub(crate) interface: Option<String>,
    /// Not routes but this host's own FRR or BIRD, which tells them to its neighbours
    #[arg(long, value_name = "PROTOCOL", value_enum)]
    pub(crate) announce: Option<Protocol>,
    /// This host's autonomous system, for BGP
    #[arg(long = "as", value_name = "NUMBER", default_value_t = 64512, requires = "announce",
          value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) asn: u32,
    /// A neighbour of BGP, and its autonomous system if it is another; may be repeated
    #[arg(long, value_name = "ADDR[=NUMBER]", requires = "announce")]
    pub(crate) neighbor: Vec<Neighbor>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum HookAction {
    /// Copy the hook to /etc/libvirt/hooks/network, or, where an admin's own hook is there,
    /// to /etc/libvirt/hooks/network.d/50-virt-forward
    #[command(after_help = HOOK_INSTALL_EXAMPLES)]
    Install {
        /// The hook's program [default: virt-forward-hook beside this program, else in
        /// /usr/lib/virt-forward]
        #[arg(long, value_name = "FILE")]
        from: Option<PathBuf>,
    },
    /// Take the hook away; an admin's own hook is never touched
    #[command(after_help = HOOK_UNINSTALL_EXAMPLES)]
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
        let mut all = Args::command().term_width(80);
        all.build();
        let mut texts = Vec::new();
        help_of(&mut all, &mut texts);
        assert!(texts.len() > 10, "subcommands of subcommands too");
        for line in texts.iter().flat_map(|text| text.lines()) {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }

    /// Of it and all below it.
    fn help_of(command: &mut clap::Command, texts: &mut Vec<String>) {
        texts.push(command.render_long_help().to_string());
        // clap's own `help` has every command again, without what it takes.
        let below = command.get_subcommands_mut();
        for below in below.filter(|below| below.get_name() != "help") {
            help_of(below, texts);
        }
    }

    #[test]
    fn every_command_teaches_by_example() {
        let mut all = Args::command();
        all.build();
        let mut texts = Vec::new();
        help_of(&mut all, &mut texts);
        for text in &texts {
            assert!(text.contains("Examples:\n"), "{text}");
        }
    }
}
