//! RouterOS of MikroTik routers.

use std::fmt::Write;

use super::entry::{ASYMMETRIC_ROUTING_NOTE, comment, entries_of};
use crate::routes::{
    family::IpFamily,
    model::{METRIC, Plan},
};

const HEAD: &str = "\
Routes to libvirt networks, for the router: paste into its terminal. The commands can be run again.
";
/// The start of the comments that identify routes of an earlier run.
const COMMENT_PREFIX: &str = "virt-forward";

pub(super) fn render(plan: &Plan) -> String {
    let mut text = comment("#", &format!("{HEAD}\n{ASYMMETRIC_ROUTING_NOTE}"));
    for family in IpFamily::BOTH {
        let entries = entries_of(plan, family);
        if entries.is_empty() {
            continue;
        }
        let menu = match family {
            IpFamily::V4 => "/ip route",
            IpFamily::V6 => "/ipv6 route",
        };
        let _ = writeln!(
            text,
            "{menu} remove [find where comment~\"^{COMMENT_PREFIX}\"]"
        );
        for entry in entries {
            // RouterOS expands "$" and "[" in a quoted string.
            let comment = virt_forward_policy::sanitize::comment(&entry.comment);
            let (to, via) = (entry.to, entry.via);
            let _ = writeln!(
                text,
                "{menu} add dst-address={to} gateway={via} distance={METRIC} \
                 comment=\"{COMMENT_PREFIX} {comment}\""
            );
        }
    }
    text
}
