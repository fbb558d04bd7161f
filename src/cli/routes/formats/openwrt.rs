//! OpenWrt's /etc/config/network.

use std::fmt::Write;

use super::{HALF_SEEN, all_lines, comment};
use crate::routes::plan::{METRIC, Plan};

pub(super) fn text(plan: &Plan, interface: &str) -> String {
    let mut text = comment(
        "#",
        &format!(
            "Routes to libvirt networks, for the router: add to /etc/config/network, and then:\n\
             service network reload\n\n{HALF_SEEN}"
        ),
    );
    for line in all_lines(plan) {
        let section = match line.via.is_ipv4() {
            true => "route",
            false => "route6",
        };
        let (to, via, what) = (line.to, line.via, line.what);
        let _ = write!(
            text,
            "\n# {what}\nconfig {section}\n\toption interface '{interface}'\n\toption target '{to}'\n\
             \toption gateway '{via}'\n\toption metric '{METRIC}'\n"
        );
    }
    text
}
