//! route.exe of Windows.

use std::fmt::Write;

use ipnet::IpNet;

use super::entry::{comment, entries};
use crate::routes::model::{METRIC, Plan};

const HEAD: &str = "\
Routes to libvirt networks, for a LAN host, persistent: run in an administrator's command prompt.
A route that exists already is reported and left unchanged.";

pub(super) fn render(plan: &Plan) -> String {
    let mut text = comment("rem", HEAD);
    for entry in entries(plan) {
        let destination = match entry.to {
            IpNet::V4(net) => format!("{} MASK {}", net.network(), net.netmask()),
            IpNet::V6(net) => net.to_string(),
        };
        // The command prompt expands percent signs even in a remark.
        let comment = virt_forward_policy::sanitize::comment(&entry.comment);
        let via = entry.via;
        let _ = writeln!(
            text,
            "rem {comment}\nroute -p ADD {destination} {via} METRIC {METRIC}"
        );
    }
    text
}
