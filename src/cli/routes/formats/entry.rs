//! What the formats have in common: the entries of a plan, and comments.

use std::net::IpAddr;

use ipnet::IpNet;
use virt_forward_policy::sanitize::escape;

use crate::routes::{family::IpFamily, model::Plan};

/// A route of a plan, or a default route.
pub(super) struct RouteEntry {
    pub(super) to: IpNet,
    pub(super) via: IpAddr,
    /// The network's name, safe in a comment up to the end of its line.
    pub(super) comment: String,
}

impl RouteEntry {
    pub(super) fn is_default(&self) -> bool {
        self.to.prefix_len() == 0
    }

    /// `default`, or the subnet.
    pub(super) fn destination(&self) -> String {
        if self.is_default() {
            return "default".to_owned();
        }
        self.to.to_string()
    }

    pub(super) fn family(&self) -> IpFamily {
        if self.via.is_ipv4() {
            IpFamily::V4
        } else {
            IpFamily::V6
        }
    }
}

/// The entries of one family. The default route is the last: a host that loses its connection by
/// the change has the other routes by then.
pub(super) fn entries_of(plan: &Plan, family: IpFamily) -> Vec<RouteEntry> {
    let mut entries = Vec::new();
    for route in plan.routes_of(family) {
        entries.push(RouteEntry {
            to: route.to,
            via: route.via,
            comment: escape(&route.network),
        });
    }
    for via in plan.defaults.iter().filter(|via| family.contains(via)) {
        entries.push(RouteEntry {
            to: family.default_destination(),
            via: *via,
            comment: "default route".to_owned(),
        });
    }
    entries
}

pub(super) fn entries(plan: &Plan) -> Vec<RouteEntry> {
    let mut entries = entries_of(plan, IpFamily::V4);
    entries.extend(entries_of(plan, IpFamily::V6));
    entries
}

/// Each line of `text` as a comment that `mark` begins.
pub(super) fn comment(mark: &str, text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        out.push_str(mark);
        if !line.is_empty() {
            out.push(' ');
            out.push_str(line);
        }
        out.push('\n');
    }
    out
}

/// A note for formats that add a default route to a host's own configuration, whose own one is set
/// by `existing`; empty if the plan has no default route.
pub(super) fn default_note(mark: &str, plan: &Plan, existing: &str) -> String {
    if plan.defaults.is_empty() {
        return String::new();
    }
    let note = format!(
        "An existing static default route takes precedence over this one: remove {existing}."
    );
    comment(mark, &note)
}

/// For formats that a router takes.
pub(super) const ASYMMETRIC_ROUTING_NOTE: &str = "\
Asymmetric routing: LAN hosts send via this router, but the KVM host replies to them directly. A
router that tracks connections sees half of each connection; if it drops \"invalid\" packets, TCP
stalls. Exempt these subnets from connection tracking, or give the routes to the LAN hosts instead
(format dnsmasq).";
