//! /etc/config/network of OpenWrt.

use std::fmt::Write;

use super::entry::{ASYMMETRIC_ROUTING_NOTE, comment, entries};
use crate::routes::{
    family::IpFamily,
    model::{METRIC, Plan},
};

const HEAD: &str = "\
Routes to libvirt networks, for the router: add to /etc/config/network.
Activate with: service network reload
";

pub(super) fn render(plan: &Plan, interface: &str) -> String {
    let mut text = comment("#", &format!("{HEAD}\n{ASYMMETRIC_ROUTING_NOTE}"));
    for entry in entries(plan) {
        let section = match entry.family() {
            IpFamily::V4 => "route",
            IpFamily::V6 => "route6",
        };
        let (to, via, comment) = (entry.to, entry.via, entry.comment);
        let _ = write!(
            text,
            "\n# {comment}\nconfig {section}\n\toption interface '{interface}'\n\toption target '{to}'\n\
             \toption gateway '{via}'\n\toption metric '{METRIC}'\n"
        );
    }
    text
}
