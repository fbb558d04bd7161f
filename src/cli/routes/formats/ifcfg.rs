//! The network-scripts of Red Hat, and of older SUSE systems: one file for each family.

use std::fmt::Write;

use super::entry::{comment, default_note, entries_of};
use crate::routes::{
    family::IpFamily,
    model::{METRIC, Plan},
};

pub(super) fn render(plan: &Plan, interface: &str) -> String {
    let head =
        format!("Routes to libvirt networks, for a LAN host. Activate with: ifup {interface}");
    let mut text = comment("#", &head);
    let existing = format!("GATEWAY in ifcfg-{interface}");
    text.push_str(&default_note("#", plan, &existing));
    for family in IpFamily::BOTH {
        let entries = entries_of(plan, family);
        if entries.is_empty() {
            continue;
        }
        let file = match family {
            IpFamily::V4 => "route",
            IpFamily::V6 => "route6",
        };
        let _ = writeln!(
            text,
            "\n# ---- /etc/sysconfig/network-scripts/{file}-{interface}"
        );
        for entry in entries {
            let (to, via) = (entry.destination(), entry.via);
            let comment = entry.comment;
            let _ = writeln!(text, "# {comment}\n{to} via {via} metric {METRIC}");
        }
    }
    text
}
