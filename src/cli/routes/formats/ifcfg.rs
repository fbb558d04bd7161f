//! Red Hat's network-scripts, and SUSE's old ones: a file for each family.

use std::fmt::Write;

use super::{comment, default_note, lines};
use crate::routes::plan::{METRIC, Plan};

pub(super) fn text(plan: &Plan, interface: &str) -> String {
    let mut text = comment(
        "#",
        "Routes to libvirt networks, for a machine of the LAN. Then: ifup, of that interface.",
    );
    text.push_str(&default_note(
        "#",
        plan,
        &format!("GATEWAY in ifcfg-{interface}"),
    ));
    for (is_ipv4, file) in [(true, "route"), (false, "route6")] {
        let lines = lines(plan, is_ipv4);
        if lines.is_empty() {
            continue;
        }
        let _ = writeln!(
            text,
            "\n# ---- /etc/sysconfig/network-scripts/{file}-{interface}"
        );
        for line in lines {
            let to = match line.is_default() {
                true => "default".to_owned(),
                false => line.to.to_string(),
            };
            let (via, what) = (line.via, line.what);
            let _ = writeln!(text, "# {what}\n{to} via {via} metric {METRIC}");
        }
    }
    text
}
