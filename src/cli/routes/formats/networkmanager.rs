//! nmcli(1), for a shell.

use std::{fmt::Write, net::IpAddr};

use super::{all_lines, comment};
use crate::routes::plan::{METRIC, Plan};

pub(super) fn text(plan: &Plan) -> String {
    let lines = all_lines(plan);
    let Some(first) = lines.first() else {
        return String::new();
    };
    let mut text = comment(
        "#",
        "Routes to libvirt networks, for a machine of the LAN that NetworkManager configures, for\n\
         good: pipe to sh, as root. It can be run again. CONNECTION and DEVICE may be given.",
    );
    let via = first.via;
    let _ = write!(
        text,
        "set -e\n\
         : \"${{DEVICE:=$(ip -o route get {via} | sed -n 's/.* dev \\([^ ]*\\).*/\\1/p')}}\"\n\
         : \"${{CONNECTION:=$(nmcli -g GENERAL.CONNECTION device show \"$DEVICE\")}}\"\n"
    );
    // What --gateway gave before, if it gave the other: nmcli adds, and takes away in silence
    // what is not there.
    for old in &plan.replaced {
        let (family, all) = match old {
            IpAddr::V4(_) => ("ipv4", "0.0.0.0/0"),
            IpAddr::V6(_) => ("ipv6", "::/0"),
        };
        let _ = writeln!(
            text,
            "nmcli connection modify \"$CONNECTION\" -{family}.routes \"{all} {old} {METRIC}\""
        );
    }
    for line in lines {
        let family = match line.via {
            IpAddr::V4(_) => "ipv4",
            IpAddr::V6(_) => "ipv6",
        };
        let (to, via) = (line.to, line.via);
        let _ = writeln!(
            text,
            "nmcli connection modify \"$CONNECTION\" +{family}.routes \"{to} {via} {METRIC}\"  # {}",
            line.what
        );
    }
    text.push_str("nmcli device reapply \"$DEVICE\"\n");
    text
}
