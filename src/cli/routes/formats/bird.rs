//! Static routes for BIRD 2.

use std::fmt::Write;

use super::entry::{ASYMMETRIC_ROUTING_NOTE, comment, default_note, entries_of};
use crate::routes::{family::IpFamily, model::Plan};

const HEAD: &str = "\
Routes to libvirt networks, for a LAN host or router that runs BIRD 2: include this file in
bird.conf, which needs a kernel protocol that exports static routes. To announce the networks from
the KVM host instead, use --announce.
";

pub(super) fn render(plan: &Plan) -> String {
    let mut text = comment("#", &format!("{HEAD}\n{ASYMMETRIC_ROUTING_NOTE}"));
    text.push_str(&default_note(
        "#",
        plan,
        "it from the kernel's routing table",
    ));
    for family in IpFamily::BOTH {
        let entries = entries_of(plan, family);
        if entries.is_empty() {
            continue;
        }
        let digit = family.digit();
        let _ = write!(
            text,
            "\nprotocol static virt_forward{digit} {{\n    ipv{digit};\n"
        );
        for entry in entries {
            let (to, via, comment) = (entry.to, entry.via, entry.comment);
            let _ = writeln!(text, "    route {to} via {via};  # {comment}");
        }
        text.push_str("}\n");
    }
    text
}
