//! Static routes for FRR.

use std::fmt::Write;

use super::entry::{ASYMMETRIC_ROUTING_NOTE, comment, default_note, entries};
use crate::routes::{family::IpFamily, model::Plan};

const HEAD: &str = "\
Routes to libvirt networks, for a LAN host or router that runs FRR: add to /etc/frr/frr.conf, or
run vtysh -f FILE. To announce the networks from the KVM host instead, use --announce.
";

pub(super) fn render(plan: &Plan) -> String {
    let mut text = comment("!", &format!("{HEAD}\n{ASYMMETRIC_ROUTING_NOTE}"));
    text.push_str(&default_note(
        "!",
        plan,
        "it from the kernel's routing table",
    ));
    for entry in entries(plan) {
        let command = match entry.family() {
            IpFamily::V4 => "ip route",
            IpFamily::V6 => "ipv6 route",
        };
        let (to, via, comment) = (entry.to, entry.via, entry.comment);
        let _ = writeln!(text, "! {comment}\n{command} {to} {via}");
    }
    text
}
