//! route.exe.

use std::fmt::Write;

use ipnet::IpNet;

use super::{all_lines, comment};
use crate::routes::plan::{METRIC, Plan};

pub(super) fn text(plan: &Plan) -> String {
    let mut text = comment(
        "rem",
        "Routes to libvirt networks, for a machine of the LAN, for good: in an administrator's\n\
         prompt. What is there already is said to be, and stays.",
    );
    for line in all_lines(plan) {
        let (via, what) = (line.via, line.what);
        let subnet = match line.to {
            IpNet::V4(net) => format!("{} MASK {}", net.network(), net.netmask()),
            IpNet::V6(net) => net.to_string(),
        };
        // Percent signs mean something even in a remark.
        let what = virt_forward_policy::sanitize::comment(&what);
        let _ = writeln!(
            text,
            "rem {what}\nroute -p ADD {subnet} {via} METRIC {METRIC}"
        );
    }
    text
}
