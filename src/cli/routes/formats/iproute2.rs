//! ip(8), for a shell.

use std::fmt::Write;

use super::{Line, all_lines, comment};
use crate::routes::plan::{METRIC, Plan};

pub(super) fn text(plan: &Plan) -> String {
    let mut text = comment(
        "#",
        "Routes to libvirt networks, for a machine of the LAN. Until its next boot: pipe to sh, as\n\
         root. It can be run again.",
    );
    for line in all_lines(plan) {
        let command = command(&line);
        let _ = writeln!(text, "{command}  # {}", line.what);
    }
    text
}

/// The command that sets a route, whatever was there for the same subnet.
fn command(line: &Line) -> String {
    let Line { to, via, .. } = line;
    match (via.is_ipv4(), line.is_default()) {
        (true, false) => format!("ip -4 route replace {to} via {via} proto static metric {METRIC}"),
        // Of several default routes the one without a metric wins: this takes its place.
        (true, true) => format!("ip -4 route replace default via {via} proto static"),
        (false, true) => {
            format!("ip -6 route replace default via {via} proto static metric {METRIC}")
        }
        (false, false) => {
            format!("ip -6 route replace {to} via {via} proto static metric {METRIC}")
        }
    }
}
