//! interfaces(5) of Debian's ifupdown.

use std::fmt::Write;

use super::{comment, iproute2, lines};
use crate::routes::plan::Plan;

pub(super) fn text(plan: &Plan, interface: &str) -> String {
    let mut text = comment(
        "#",
        "Routes to libvirt networks, for a machine of the LAN: /etc/network/interfaces.d/virt-forward\n\
         These stanzas add to those that the interface has already.",
    );
    for (is_ipv4, family) in [(true, "inet"), (false, "inet6")] {
        let lines = lines(plan, is_ipv4);
        if lines.is_empty() {
            continue;
        }
        let _ = writeln!(text, "\niface {interface} {family} manual");
        for line in lines {
            let _ = writeln!(
                text,
                "    # {}\n    up {}",
                line.what,
                iproute2::command(&line)
            );
        }
    }
    text
}
