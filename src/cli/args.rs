//! The command line.

use std::{net::IpAddr, path::PathBuf};

use clap::{Parser, Subcommand};
use virt_forward_policy::VERSION;
use virt_forward_system::paths;

use crate::{
    graph,
    routes::{Format, Gateway, Neighbor, Protocol},
    terminal::ColorChoice,
};

const EXAMPLES: &str = "\
Examples:
  virt-forward status            networks, gates and reachability
  virt-forward apply             reconcile all active networks with the config
  virt-forward apply --dry-run   show the rules without changing anything
  virt-forward remove kube02     close a network until its next start
  virt-forward remove --all      remove all changes of virt-forward
  virt-forward check A B         why A can or cannot open a connection to B
  virt-forward doctor            problems on this host, and fixes
  virt-forward routes            the routes that a LAN host needs
  virt-forward graph > a.svg     a diagram of networks and reachability

Each command has its own examples: virt-forward check --help
Manual pages: virt-forward(8), virt-forward.toml(5), virt-forward-hook(8)

Exit status: 0 success, 1 failure, 2 usage or config error, 3 drift, blocked or
problems found.";

const APPLY_EXAMPLES: &str = "\
Examples:
  virt-forward apply                 after editing the config
  virt-forward apply kube02          reopen a network that remove closed
  virt-forward apply --dry-run       print the rules without changing anything
  virt-forward --config new.toml apply --dry-run
                                     validate a file and show what it opens";

const REMOVE_EXAMPLES: &str = "\
Examples:
  virt-forward remove kube02         close until the next start or apply
  virt-forward remove --all          remove everything from the kernel
  virt-forward hook uninstall && virt-forward remove --all
                                     and open nothing at the next start";

const WATCH_EXAMPLES: &str = "\
Examples:
  systemctl enable --now virt-forward    what the packages do
  systemctl reload virt-forward          reconcile everything, like apply
  journalctl -t virt-forward             repairs, and the programs that caused them";

const HOOK_EXAMPLES: &str = "\
Examples:
  virt-forward hook install
  systemctl try-restart libvirtd     if no network hook existed before
  virt-forward doctor                check that libvirt runs the hook
  virt-forward hook uninstall";

const HOOK_INSTALL_EXAMPLES: &str = "\
Examples:
  virt-forward hook install
  virt-forward hook install --from target/release/virt-forward-hook";

const HOOK_UNINSTALL_EXAMPLES: &str = "\
Examples:
  virt-forward hook uninstall        open networks stay open
  virt-forward remove --all          close them, too";

/// Forward traffic between libvirt virtual networks without NAT.
#[derive(Debug, Parser)]
#[command(name = "virt-forward", version = VERSION, after_help = EXAMPLES, max_term_width = 100)]
pub(crate) struct Args {
    /// Config file; a missing file means the defaults
    #[arg(long, global = true, value_name = "FILE", default_value = paths::CONFIG)]
    pub(crate) config: PathBuf,

    /// libvirt connection URI
    #[arg(long, global = true, value_name = "URI")]
    pub(crate) connect: Option<String>,

    /// Use colors: auto, always or never; NO_COLOR in the environment means never
    #[arg(long, global = true, value_name = "WHEN", value_enum, default_value_t = ColorChoice::Auto,
          hide_possible_values = true)]
    pub(crate) color: ColorChoice,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Reconcile active networks with the config
    ///
    /// Without names, reconciles all active networks and drops stale state. libvirt's hook does the
    /// same at each network start. Run this after editing the config, or after another program
    /// flushed the rules.
    #[command(after_help = APPLY_EXAMPLES)]
    Apply {
        /// Active networks to open [default: all]
        #[arg(value_name = "NAME")]
        names: Vec<String>,
        /// Print rules, gates and sysctls without changing anything
        #[arg(long)]
        dry_run: bool,
    },
    /// Close networks
    #[command(arg_required_else_help = true, after_help = REMOVE_EXAMPLES)]
    Remove {
        /// Networks to close until their next start or apply
        #[arg(value_name = "NAME", required_unless_present = "all")]
        names: Vec<String>,
        /// Remove every rule, gate and sysctl change of virt-forward
        #[arg(long, conflicts_with = "names")]
        all: bool,
    },
    /// Show networks, gates, sysctls and reachability
    ///
    /// In the reachability matrix, rows are sources and columns are destinations. It includes the
    /// external hosts and subnets that the config names, and the Internet.
    Status(StatusArgs),
    /// Render networks, guests and reachability as a diagram
    ///
    /// Members of a group share a box. Peers and [[allow]] rules are arrows. A network is labelled
    /// with the traffic that libvirt allows by itself.
    Graph(GraphArgs),
    /// Explain whether a packet is forwarded
    ///
    /// FROM and TO are addresses, networks or running guests. Evaluates routing, policy and
    /// firewalls along the forward path and the reply path; --probe sends a packet instead. Exits
    /// with status 3 if the packet is blocked.
    Check(CheckArgs),
    /// Diagnose common problems on this host and suggest fixes
    ///
    /// Examines the hook, libvirt's daemon, the config, networks, rules, gates, other firewalls,
    /// sysctls, routes, and other users of the fwmark bit. Changes nothing. Exits with status 3 if
    /// it finds a problem.
    #[command(after_help = DOCTOR_EXAMPLES)]
    Doctor {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Print the routes that LAN hosts or their router need to reach the networks
    ///
    /// The routes lead to the active networks via this host. Warnings about traffic that the routes
    /// do not cover go to stderr.
    Routes(RoutesArgs),
    /// Watch for drift and repair it; run by systemd
    ///
    /// Listens to the kernel and to libvirt. Restores rules, gates and sysctls that other programs
    /// flush or change, and logs each repair to syslog. Networks closed by remove stay closed.
    /// SIGHUP reconciles everything, like apply.
    #[command(after_help = WATCH_EXAMPLES)]
    Watch,
    /// Install or uninstall the libvirt network hook
    ///
    /// libvirtd runs the hook at each start and stop of a network. If SELinux would deny that, no
    /// network could start, so install refuses and names the boolean to set.
    #[command(after_help = HOOK_EXAMPLES)]
    Hook {
        #[command(subcommand)]
        action: HookAction,
    },
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  virt-forward status --check > /dev/null || echo drift
  virt-forward status --why                    the reason for each pair
  virt-forward status --why kube02             pairs that involve kube02
  virt-forward status --why 192.168.0.30 kube02
  virt-forward status --color always | less -R")]
pub(crate) struct StatusArgs {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Exit with status 3 if anything differs from the desired state
    #[arg(long)]
    pub(crate) check: bool,
    /// Explain why pairs are open, limited or closed: all pairs, those of FROM, or FROM to TO.
    /// Endpoints are networks, external addresses, or internet
    #[arg(long, num_args = 0..=2, value_names = ["FROM", "TO"], conflicts_with = "json")]
    pub(crate) why: Option<Vec<String>>,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  virt-forward check kube02 10.17.4.21              a ping
  virt-forward check 192.168.0.30 kube03 --tcp 443
  virt-forward check node1 lb --udp 53 --json       between two guests
  virt-forward check kube02 kube03 --probe          find the rule that drops it
  virt-forward check 10.9.9.9@kube02 kube03         a guest with a spoofed source")]
pub(crate) struct CheckArgs {
    /// Source: address, network or guest
    pub(crate) from: String,
    /// Destination: address, network or guest
    pub(crate) to: String,
    /// TCP to this port
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..), group = "packet")]
    pub(crate) tcp: Option<u16>,
    /// UDP to this port
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..), group = "packet")]
    pub(crate) udp: Option<u16>,
    /// An ICMP echo request [default]
    #[arg(long, group = "packet")]
    pub(crate) icmp: bool,
    /// Send a real packet and trace the rules that it hits
    ///
    /// The packet comes from a free address of the network, or from the given address if no host
    /// uses it. A packet from an external host is injected on this host's interface, and the reply
    /// is not sent out. TO receives the packet; if TO is a network, a free address of it replies.
    /// The probe leaves nothing behind.
    #[arg(long)]
    pub(crate) probe: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  virt-forward graph > networks.svg
  virt-forward graph --format dot | dot -Tpng > networks.png
  virt-forward graph --format mermaid      for a ```mermaid block in Markdown")]
pub(crate) struct GraphArgs {
    /// Output format
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = graph::Format::Svg)]
    pub(crate) format: graph::Format,
    /// Title [default: Virtual networks of HOSTNAME]
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
                            until the next boot of that host
  virt-forward routes --format netplan --interface enp1s0
  virt-forward routes --format dnsmasq > /etc/dnsmasq.d/virt-forward.conf
                            on the LAN's DHCP server, for all its clients
  virt-forward routes --gateway host
                            the default route leads to this host, too
  virt-forward routes --format frr --announce ospf | vtysh -f /dev/stdin
                            announce the routes instead of configuring them";

#[derive(Debug, clap::Args)]
#[command(after_help = ROUTES_EXAMPLES)]
pub(crate) struct RoutesArgs {
    /// Program or file format to print routes for
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = Format::Iproute2)]
    pub(crate) format: Format,
    /// This host's address in the LAN, at most one per family [default: the source address of its
    /// route to the peers, else to the Internet]
    #[arg(long, value_name = "ADDR")]
    pub(crate) via: Vec<IpAddr>,
    /// Print a default route via this host or the router, too [default: none]
    #[arg(long, value_enum)]
    pub(crate) gateway: Option<Gateway>,
    /// The router's address, at most one per family [default: this host's gateway]
    #[arg(long, value_name = "ADDR")]
    pub(crate) router: Vec<IpAddr>,
    /// Interface of the host that gets the routes, for formats that need it [default: eth0, or lan
    /// on OpenWrt]
    #[arg(long, value_name = "NAME")]
    pub(crate) interface: Option<String>,
    /// Print a config for FRR or BIRD on this host that announces the routes to its neighbors
    #[arg(long, value_name = "PROTOCOL", value_enum)]
    pub(crate) announce: Option<Protocol>,
    /// This host's autonomous system number, for BGP
    #[arg(long = "as", value_name = "NUMBER", default_value_t = 64512, requires = "announce",
          value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) asn: u32,
    /// BGP neighbor, with its autonomous system number if it differs; may be repeated
    #[arg(long, value_name = "ADDR[=NUMBER]", requires = "announce")]
    pub(crate) neighbor: Vec<Neighbor>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum HookAction {
    /// Copy the hook to /etc/libvirt/hooks/network, or to
    /// /etc/libvirt/hooks/network.d/50-virt-forward if another hook exists
    #[command(after_help = HOOK_INSTALL_EXAMPLES)]
    Install {
        /// Hook binary [default: virt-forward-hook in this program's directory, else in
        /// /usr/lib/virt-forward]
        #[arg(long, value_name = "FILE")]
        from: Option<PathBuf>,
    },
    /// Remove the hook; other hooks are left alone
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
        assert!(texts.len() > 10, "nested subcommands are included");
        for line in texts.iter().flat_map(|text| text.lines()) {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }

    /// The help of a command and of all its subcommands.
    fn help_of(command: &mut clap::Command, texts: &mut Vec<String>) {
        texts.push(command.render_long_help().to_string());
        // clap's own `help` command repeats all commands without their arguments.
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
