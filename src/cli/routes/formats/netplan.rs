//! netplan(5).

use std::fmt::Write;

use super::{all_lines, comment, default_note};
use crate::routes::plan::{METRIC, Plan};

pub(super) fn text(plan: &Plan, interface: &str) -> String {
    let mut text = comment(
        "#",
        "Routes to libvirt networks, for a machine of the LAN: /etc/netplan/60-virt-forward.yaml,\n\
         with mode 0600, and then: netplan apply",
    );
    let lines = all_lines(plan);
    if lines.is_empty() {
        // An empty list is an error to netplan.
        return text;
    }
    text.push_str(&default_note("#", plan, "\"to: default\", or gateway4,"));
    let _ = write!(
        text,
        "network:\n  version: 2\n  ethernets:\n    {interface}:\n      routes:\n"
    );
    for line in lines {
        let (to, via) = match line.is_default() {
            true => ("default".to_owned(), line.via),
            false => (line.to.to_string(), line.via),
        };
        let _ = write!(
            text,
            "        - to: \"{to}\"  # {}\n          via: \"{via}\"\n          metric: {METRIC}\n",
            line.what
        );
    }
    text
}
