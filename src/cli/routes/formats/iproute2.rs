//! ip(8) commands.

use std::fmt::Write;

use super::entry::{RouteEntry, comment, entries};
use crate::routes::{
    family::IpFamily,
    model::{METRIC, Plan},
};

const HEAD: &str = "\
Routes to libvirt networks, for a LAN host, until its next reboot: pipe to sh as root.
The script can be run again.";

pub(super) fn render(plan: &Plan) -> String {
    let mut text = comment("#", HEAD);
    for entry in entries(plan) {
        let command = command(&entry);
        let _ = writeln!(text, "{command}  # {}", entry.comment);
    }
    text
}

/// A command that replaces any route to the same subnet with the same metric.
fn command(entry: &RouteEntry) -> String {
    let (family, to, via) = (entry.family(), entry.destination(), entry.via);
    let digit = family.digit();
    let command = format!("ip -{digit} route replace {to} via {via} proto static");
    // An IPv4 default route without a metric takes precedence over all others, so this one has
    // none and replaces it.
    if entry.is_default() && family == IpFamily::V4 {
        return command;
    }
    format!("{command} metric {METRIC}")
}
