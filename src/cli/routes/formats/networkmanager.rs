//! nmcli(1) commands.

use std::{fmt::Write, net::IpAddr};

use super::entry::{comment, entries};
use crate::routes::{
    family::IpFamily,
    model::{METRIC, Plan},
};

const HEAD: &str = "\
Routes to libvirt networks, for a LAN host with NetworkManager, persistent: pipe to sh as root.
The script can be run again. DEVICE and CONNECTION override the detected ones.";

pub(super) fn render(plan: &Plan) -> String {
    let entries = entries(plan);
    let Some(first) = entries.first() else {
        return String::new();
    };
    let mut text = comment("#", HEAD);
    let via = first.via;
    let _ = write!(
        text,
        "set -e\n\
         : \"${{DEVICE:=$(ip -o route get {via} | sed -n 's/.* dev \\([^ ]*\\).*/\\1/p')}}\"\n\
         : \"${{CONNECTION:=$(nmcli -g GENERAL.CONNECTION device show \"$DEVICE\")}}\"\n"
    );
    // nmcli adds routes: a default route of the other --gateway would remain. It ignores the
    // removal of a route that does not exist.
    for old in &plan.replaced_defaults {
        let (setting, to) = match old {
            IpAddr::V4(_) => ("ipv4", IpFamily::V4.default_destination()),
            IpAddr::V6(_) => ("ipv6", IpFamily::V6.default_destination()),
        };
        let _ = writeln!(
            text,
            "nmcli connection modify \"$CONNECTION\" -{setting}.routes \"{to} {old} {METRIC}\""
        );
    }
    for entry in entries {
        let (digit, to, via) = (entry.family().digit(), entry.to, entry.via);
        let comment = entry.comment;
        let _ = writeln!(
            text,
            "nmcli connection modify \"$CONNECTION\" +ipv{digit}.routes \"{to} {via} {METRIC}\"  # {comment}"
        );
    }
    text.push_str("nmcli device reapply \"$DEVICE\"\n");
    text
}
