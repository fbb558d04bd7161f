//! netplan(5).

use std::fmt::Write;

use super::entry::{comment, default_note, entries};
use crate::routes::model::{METRIC, Plan};

const HEAD: &str = "\
Routes to libvirt networks, for a LAN host: /etc/netplan/60-virt-forward.yaml, mode 0600.
Activate with: netplan apply";

pub(super) fn render(plan: &Plan, interface: &str) -> String {
    let mut text = comment("#", HEAD);
    let entries = entries(plan);
    if entries.is_empty() {
        // netplan rejects an empty list.
        return text;
    }
    text.push_str(&default_note("#", plan, "\"to: default\" or gateway4"));
    let _ = write!(
        text,
        "network:\n  version: 2\n  ethernets:\n    {interface}:\n      routes:\n"
    );
    for entry in entries {
        let (to, via, comment) = (entry.destination(), entry.via, entry.comment);
        let _ = write!(
            text,
            "        - to: \"{to}\"  # {comment}\n          via: \"{via}\"\n          metric: {METRIC}\n"
        );
    }
    text
}
