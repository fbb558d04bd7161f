//! Static routes for BIRD 2.

use std::fmt::Write;

use super::{HALF_SEEN, comment, default_note, lines};
use crate::routes::plan::Plan;

pub(super) fn text(plan: &Plan) -> String {
    let mut text = comment(
        "#",
        &format!(
            "Routes to libvirt networks, for a machine or router of the LAN that runs BIRD 2: include\n\
             it in bird.conf, which has to have a kernel protocol that exports them.\n\
             With --announce, the KVM host itself tells them to its neighbours.\n\n{HALF_SEEN}"
        ),
    );
    text.push_str(&default_note("#", plan, "the kernel's, whoever set it,"));
    for (is_ipv4, family) in [(true, 4), (false, 6)] {
        let lines = lines(plan, is_ipv4);
        if lines.is_empty() {
            continue;
        }
        let _ = write!(
            text,
            "\nprotocol static virt_forward{family} {{\n    ipv{family};\n"
        );
        for line in lines {
            let _ = writeln!(
                text,
                "    route {} via {};  # {}",
                line.to, line.via, line.what
            );
        }
        text.push_str("}\n");
    }
    text
}
