//! Static routes for FRR.

use std::fmt::Write;

use super::{HALF_SEEN, all_lines, comment, default_note};
use crate::routes::plan::Plan;

pub(super) fn text(plan: &Plan) -> String {
    let mut text = comment(
        "!",
        &format!(
            "Routes to libvirt networks, for a machine or router of the LAN that runs FRR: add to\n\
             /etc/frr/frr.conf, or: vtysh -f FILE\n\
             With --announce, the KVM host itself tells them to its neighbours.\n\n{HALF_SEEN}"
        ),
    );
    text.push_str(&default_note("!", plan, "the kernel's, whoever set it,"));
    for line in all_lines(plan) {
        let family = match line.via.is_ipv4() {
            true => "ip",
            false => "ipv6",
        };
        let _ = writeln!(
            text,
            "! {}\n{family} route {} {}",
            line.what, line.to, line.via
        );
    }
    text
}
