//! systemd.network(5).

use std::fmt::Write;

use super::{Line, all_lines, comment, default_note};
use crate::routes::plan::{METRIC, Plan};

pub(super) fn text(plan: &Plan) -> String {
    let mut text = comment(
        "#",
        "Routes to libvirt networks, for a machine of the LAN. If the file of its interface is\n\
         NAME.network: /etc/systemd/network/NAME.network.d/virt-forward.conf, and then:\n\
         networkctl reload",
    );
    text.push_str(&default_note("#", plan, "Gateway= in NAME.network"));
    for line in all_lines(plan) {
        let Line { to, via, what } = line;
        let _ = write!(
            text,
            "\n# {what}\n[Route]\nDestination={to}\nGateway={via}\nMetric={METRIC}\n"
        );
    }
    text
}
