//! systemd.network(5).

use std::fmt::Write;

use super::entry::{comment, default_note, entries};
use crate::routes::model::{METRIC, Plan};

const HEAD: &str = "\
Routes to libvirt networks, for a LAN host whose interface is configured in NAME.network:
/etc/systemd/network/NAME.network.d/virt-forward.conf
Activate with: networkctl reload";

pub(super) fn render(plan: &Plan) -> String {
    let mut text = comment("#", HEAD);
    text.push_str(&default_note("#", plan, "Gateway= in NAME.network"));
    for entry in entries(plan) {
        let (to, via, comment) = (entry.to, entry.via, entry.comment);
        let _ = write!(
            text,
            "\n# {comment}\n[Route]\nDestination={to}\nGateway={via}\nMetric={METRIC}\n"
        );
    }
    text
}
