//! virt-forward(8), from the definition of the command line.

use clap::{Arg, Command};
use roff::{Inline, Roff, bold, italic, roman};

const DESCRIPTION: &str = "\
virt-forward forwards traffic between libvirt virtual networks, and between them and chosen LAN \
hosts, from the moment libvirtd starts a network until it stops it. libvirtd runs its hook, \
virt-forward-hook(8). The file /etc/virt-forward/config.toml, virt-forward.toml(5), says who may \
open connections to whom. This command does the same as the hook by hand, shows what is open, and \
explains why a packet is not forwarded.

Without a configuration all networks that are not isolated belong to one group, and networks of \
one group reach each other with their own addresses.

All policy is in one nftables table, which sets one fwmark bit on allowed packets. Each firewall \
that would drop them (libvirt's own rules, Docker, ufw, a DROP policy) gets one gate: a rule that \
accepts packets with that bit. virt-forward never changes rules, policies or the rule order of \
other programs, and remove --all undoes all its changes.";

const FILES: [(&str, &str); 7] = [
    (
        "/etc/virt-forward/config.toml",
        "The configuration; see virt-forward.toml(5).",
    ),
    (
        "/etc/libvirt/hooks/network",
        "The hook; network.d/50-virt-forward if another hook exists. See virt-forward-hook(8).",
    ),
    (
        "/usr/lib/virt-forward",
        "The programs of the hook and of the service.",
    ),
    (
        "/usr/lib/systemd/system/virt-forward.service",
        "The service that runs virt-forward watch.",
    ),
    (
        "/usr/lib/firewalld/policies/virt-forward.xml",
        "The firewalld policy that accepts peers; it has no rules while no network is open.",
    ),
    (
        "/run/virt-forward",
        "The state of open networks; removed when the last network closes.",
    ),
    (
        "/run/libvirt/network",
        "libvirt's status files, one per active network.",
    ),
];

const ENVIRONMENT: [(&str, &str); 3] = [
    (
        "NO_COLOR",
        "If set and not empty: no colors, unless --color says otherwise.",
    ),
    (
        "TERM",
        "If unset or dumb: no colors, unless --color says otherwise.",
    ),
    (
        "COLUMNS",
        "Line width if stdout is not a terminal [default: 80].",
    ),
];

const EXIT_STATUS: [(&str, &str); 4] = [
    (
        "0",
        "Success. For check: the packet is forwarded, or the result is unknown.",
    ),
    (
        "1",
        "Failure. The message on stderr names the cause and a remedy.",
    ),
    ("2", "Usage or configuration error. Nothing was changed."),
    (
        "3",
        "status --check found drift, check found that the packet is blocked, or doctor found a \
         problem.",
    ),
];

/// The page's source.
pub(crate) fn page() -> String {
    let mut command = virt_forward_cli::command_line();
    command.build();
    let mut page = Roff::new();
    let version = format!("virt-forward {}", env!("CARGO_PKG_VERSION"));
    page.control(
        "TH",
        ["VIRT-FORWARD", "8", "", &version, "System Administration"],
    );
    section(&mut page, "NAME");
    let about = command
        .get_about()
        .map(ToString::to_string)
        .unwrap_or_default();
    let about = about.trim_end_matches('.');
    page.text([roman(format!("virt-forward - {}", lower_first(about)))]);
    section(&mut page, "SYNOPSIS");
    page.text([
        bold("virt-forward"),
        roman(" [OPTIONS] "),
        italic("COMMAND"),
        roman(" …"),
    ]);
    section(&mut page, "DESCRIPTION");
    paragraphs(&mut page, DESCRIPTION);
    section(&mut page, "COMMANDS");
    each_command(&mut page, &command);
    section(&mut page, "OPTIONS");
    page.text([roman("For every command:")]);
    for arg in command.get_arguments() {
        argument(&mut page, arg);
    }
    listed(&mut page, "FILES", &FILES);
    listed(&mut page, "ENVIRONMENT", &ENVIRONMENT);
    listed(&mut page, "EXIT STATUS", &EXIT_STATUS);
    after(&mut page, "EXAMPLES", &command);
    section(&mut page, "SEE ALSO");
    page.text(
        ["virt-forward.toml(5), virt-forward-hook(8), virsh(1), nft(8), iptables(8)"].map(roman),
    );
    page.render()
}

/// Each command with what it takes, and those below it.
fn each_command(page: &mut Roff, command: &Command) {
    for command in command.get_subcommands() {
        if command.get_name() == "help" {
            continue;
        }
        let usage = command.clone().render_usage().to_string();
        page.control("SS", [usage.trim_start_matches("Usage: ")]);
        let about = command.get_long_about().or(command.get_about());
        paragraphs(page, &about.map(ToString::to_string).unwrap_or_default());
        for arg in command.get_arguments().filter(|arg| !arg.is_global_set()) {
            argument(page, arg);
        }
        if let Some(examples) = command.get_after_help() {
            page.control("PP", []);
            literal(page, &examples.to_string());
        }
        each_command(page, command);
    }
}

fn argument(page: &mut Roff, arg: &Arg) {
    if ["help", "version"].contains(&arg.get_id().as_str()) {
        return;
    }
    page.control("TP", []);
    page.text(names(arg));
    let help = arg.get_long_help().or(arg.get_help());
    let mut text = help.map(ToString::to_string).unwrap_or_default();
    for word in [values(arg), default(arg)].into_iter().flatten() {
        text.push_str(&format!(" [{word}]"));
    }
    let mut parts = text.split("\n\n");
    if let Some(first) = parts.next() {
        page.text([roman(one_line(first))]);
    }
    for part in parts {
        page.control("IP", []);
        page.text([roman(one_line(part))]);
    }
}

/// What is typed: `--tcp PORT`, or `NAME…`.
fn names(arg: &Arg) -> Vec<Inline> {
    let takes = arg.get_num_args().is_none_or(|range| range.takes_values());
    let several = arg
        .get_num_args()
        .is_some_and(|range| range.max_values() > 2)
        || matches!(arg.get_action(), clap::ArgAction::Append) && arg.is_positional();
    let mut shown = Vec::new();
    if let Some(long) = arg.get_long() {
        shown.push(bold(format!("--{long}")));
    }
    let values = arg.get_value_names().unwrap_or_default();
    for value in values.iter().filter(|_| takes) {
        if !shown.is_empty() {
            shown.push(roman(" "));
        }
        shown.push(italic(value.to_string()));
    }
    if several {
        shown.push(roman("…"));
    }
    shown
}

fn values(arg: &Arg) -> Option<String> {
    let values = arg.get_possible_values();
    let names: Vec<_> = values
        .iter()
        .filter(|value| !value.is_hide_set())
        .map(|value| value.get_name())
        .collect();
    let is_flag = !arg.get_action().takes_values();
    let is_silent = names.is_empty() || is_flag || arg.is_hide_possible_values_set();
    (!is_silent).then(|| format!("possible values: {}", names.join(", ")))
}

fn default(arg: &Arg) -> Option<String> {
    let values = arg.get_default_values();
    let is_silent = values.is_empty() || !arg.get_action().takes_values();
    let values: Vec<_> = values.iter().map(|value| value.to_string_lossy()).collect();
    (!is_silent).then(|| format!("default: {}", values.join(", ")))
}

/// The examples of the whole command, without their heading.
fn after(page: &mut Roff, title: &str, command: &Command) {
    section(page, title);
    let text = command
        .get_after_help()
        .map(ToString::to_string)
        .unwrap_or_default();
    let text = text.split("\n\n").next().unwrap_or_default();
    literal(page, text.trim_start_matches("Examples:\n"));
}

fn section(page: &mut Roff, title: &str) {
    page.control("SH", [title]);
}

fn listed(page: &mut Roff, title: &str, entries: &[(&str, &str)]) {
    section(page, title);
    for (name, text) in entries {
        page.control("TP", []);
        page.text([bold(*name)]);
        page.text([roman(*text)]);
    }
}

fn paragraphs(page: &mut Roff, text: &str) {
    for part in text.split("\n\n") {
        page.control("PP", []);
        page.text([roman(one_line(part))]);
    }
}

/// As it stands, line by line; where the page is too narrow for that, what a line says about a
/// command comes below it.
fn literal(page: &mut Roff, text: &str) {
    const WIDTH: usize = 72;
    page.control("nf", []);
    for line in text.lines() {
        let line = line.strip_prefix("  ").unwrap_or(line);
        let is_long = line.chars().count() > WIDTH;
        match line.split_once("   ") {
            Some((command, about)) if is_long => {
                if !command.is_empty() {
                    page.text([roman(command)]);
                }
                page.text([roman(format!("    {}", about.trim()))]);
            }
            _ => {
                page.text([roman(line)]);
            }
        }
    }
    page.control("fi", []);
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn lower_first(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| {
        first.to_lowercase().chain(letters).collect()
    })
}
