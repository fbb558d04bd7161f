//! RouterOS, of MikroTik's routers.

use std::fmt::Write;

use super::{HALF_SEEN, all_lines, comment};
use crate::routes::plan::{METRIC, Plan};

/// What is written here before, and nothing else, has a comment that begins so.
const MARK: &str = "virt-forward";

pub(super) fn text(plan: &Plan) -> String {
    let mut text = comment(
        "#",
        &format!(
            "Routes to libvirt networks, for the router: paste into its terminal. It can be run\n\
             again.\n\n{HALF_SEEN}"
        ),
    );
    let lines = all_lines(plan);
    for (is_ipv4, menu) in [(true, "/ip route"), (false, "/ipv6 route")] {
        let mine = lines.iter().filter(|line| line.via.is_ipv4() == is_ipv4);
        let mine: Vec<_> = mine.collect();
        if !mine.is_empty() {
            let _ = writeln!(text, "{menu} remove [find where comment~\"^{MARK}\"]");
        }
        for line in mine {
            // In quotes, where "$" and "[" begin what is carried out.
            let what = virt_forward_policy::sanitize::comment(&line.what);
            let _ = writeln!(
                text,
                "{menu} add dst-address={} gateway={} distance={METRIC} comment=\"{MARK} {what}\"",
                line.to, line.via
            );
        }
    }
    text
}
