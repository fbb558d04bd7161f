//! interfaces(5) of Debian's ifupdown.

use std::fmt::Write;

use super::{Line, comment, default_note, lines};
use crate::routes::plan::{METRIC, Plan};

pub(super) fn text(plan: &Plan, interface: &str) -> String {
    let mut text = comment(
        "#",
        "Routes to libvirt networks, for a machine of the LAN: /etc/network/interfaces.d/virt-forward\n\
         These stanzas add to those that the interface has already.",
    );
    text.push_str(&default_note(
        "#",
        plan,
        "the line \"gateway\" of its own stanza",
    ));
    for (is_ipv4, family) in [(true, "inet"), (false, "inet6")] {
        let lines = lines(plan, is_ipv4);
        if lines.is_empty() {
            continue;
        }
        let _ = writeln!(text, "\niface {interface} {family} manual");
        for line in lines {
            let _ = write!(
                text,
                "    # {}\n    up {}\n",
                line.what,
                command(&line, interface)
            );
        }
    }
    text
}

/// These stanzas may come before the one that gives the interface its address, so the way is told
/// by the interface; and ifup gives the whole interface up where a command fails.
fn command(line: &Line, interface: &str) -> String {
    let Line { to, via, .. } = line;
    let family = match via.is_ipv4() {
        true => 4,
        false => 6,
    };
    let to = match line.is_default() {
        true => "default".to_owned(),
        false => to.to_string(),
    };
    format!(
        "ip -{family} route replace {to} via {via} dev {interface} onlink proto static \
         metric {METRIC} || true"
    )
}
