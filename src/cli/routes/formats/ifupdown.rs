//! interfaces(5) of Debian's ifupdown.

use std::fmt::Write;

use super::entry::{RouteEntry, comment, default_note, entries_of};
use crate::routes::{
    family::IpFamily,
    model::{METRIC, Plan},
};

const HEAD: &str = "\
Routes to libvirt networks, for a LAN host: /etc/network/interfaces.d/virt-forward
These stanzas extend the interface's existing ones.";

pub(super) fn render(plan: &Plan, interface: &str) -> String {
    let mut text = comment("#", HEAD);
    let existing = "the \"gateway\" line of the interface's stanza";
    text.push_str(&default_note("#", plan, existing));
    for family in IpFamily::BOTH {
        let entries = entries_of(plan, family);
        if entries.is_empty() {
            continue;
        }
        let method = match family {
            IpFamily::V4 => "inet",
            IpFamily::V6 => "inet6",
        };
        let _ = writeln!(text, "\niface {interface} {method} manual");
        for entry in entries {
            let command = command(&entry, interface);
            let comment = entry.comment;
            let _ = write!(text, "    # {comment}\n    up {command}\n");
        }
    }
    text
}

/// The stanza may be read before the one that sets the interface's address, so the command names
/// the interface; and ifup does not bring an interface up if a command of it fails.
fn command(entry: &RouteEntry, interface: &str) -> String {
    let (family, to, via) = (entry.family().digit(), entry.destination(), entry.via);
    format!(
        "ip -{family} route replace {to} via {via} dev {interface} onlink proto static \
         metric {METRIC} || true"
    )
}
