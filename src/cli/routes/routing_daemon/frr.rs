//! FRR, 8.4 and later.

use std::fmt::Write;

use super::announcement::{Announcement, Protocol};
use crate::routes::family::IpFamily;

const HEAD: &str = "\
! Announces the libvirt networks of this KVM host to the LAN: add to /etc/frr/frr.conf, or run
! vtysh -f FILE
! Generate it again after a network was defined or undefined; starting or stopping one needs nothing.
! Remove the prefix lists of an earlier version first, because FRR adds to them:
!   vtysh -c 'configure terminal' -c 'no ip prefix-list virt-forward' \\
!     -c 'no ip prefix-list virt-forward-own' -c 'no ipv6 prefix-list virt-forward' \\
!     -c 'no ipv6 prefix-list virt-forward-own'
";

/// The prefix lists of routes that the daemon does not learn: those within the LAN and the
/// networks, and default routes.
const PROTECTED_LIST: &str = "virt-forward-own";
const DEFAULT_LIST: &str = "virt-forward-default";

/// The first word of commands.
fn keyword(family: IpFamily) -> &'static str {
    match family {
        IpFamily::V4 => "ip",
        IpFamily::V6 => "ipv6",
    }
}

/// The route map of announced routes. Each family has its own: ospfd does not know "match ipv6",
/// and an entry without any other match permits everything.
fn export_map(family: IpFamily) -> &'static str {
    match family {
        IpFamily::V4 => "virt-forward",
        IpFamily::V6 => "virt-forward6",
    }
}

pub(super) fn render(announcement: &Announcement) -> String {
    let protocol = announcement.options.protocol;
    let daemons = match protocol {
        Protocol::Ospf => "ospfd=yes, ospf6d=yes",
        Protocol::Bgp => "bgpd=yes",
    };
    let mut text = format!("{HEAD}! /etc/frr/daemons must contain: {daemons}\n!\n");
    for family in announcement.families() {
        write_lists(&mut text, announcement, family);
    }
    for family in announcement.families() {
        let (keyword, map) = (keyword(family), export_map(family));
        let _ = write!(
            text,
            "route-map {map} permit 10\n match {keyword} address prefix-list virt-forward\nexit\n!\n"
        );
    }
    write_import_map(&mut text, announcement);
    match protocol {
        Protocol::Ospf => write_ospf(&mut text, announcement),
        Protocol::Bgp => write_bgp(&mut text, announcement),
    }
    text
}

/// The prefix lists of announced and of rejected routes.
fn write_lists(text: &mut String, announcement: &Announcement, family: IpFamily) {
    let (keyword, longest) = (keyword(family), family.max_prefix_len());
    for (number, net) in (5..).step_by(5).zip(announcement.subnets(family)) {
        let _ = writeln!(
            text,
            "{keyword} prefix-list virt-forward seq {number} permit {net}"
        );
    }
    for (number, net) in (5..).step_by(5).zip(announcement.protected_subnets(family)) {
        let _ = write!(
            text,
            "{keyword} prefix-list {PROTECTED_LIST} seq {number} permit {net}"
        );
        // FRR requires "le" to be longer than the subnet itself.
        if net.prefix_len() < longest {
            let _ = write!(text, " le {longest}");
        }
        text.push('\n');
    }
    if announcement.options.protocol == Protocol::Bgp {
        let default = family.default_destination();
        let _ = writeln!(
            text,
            "{keyword} prefix-list {DEFAULT_LIST} seq 5 permit {default}"
        );
    }
    text.push_str("!\n");
}

/// The route map of learned routes. With OSPF it applies to all OSPF routes of this host, so the
/// LAN's default route remains allowed.
fn write_import_map(text: &mut String, announcement: &Announcement) {
    let refused: &[&str] = match announcement.options.protocol {
        Protocol::Ospf => &[PROTECTED_LIST],
        Protocol::Bgp => &[PROTECTED_LIST, DEFAULT_LIST],
    };
    let mut number = 0;
    for list in refused {
        for family in announcement.families() {
            number += 10;
            let keyword = keyword(family);
            let _ = write!(
                text,
                "route-map virt-forward-in deny {number}\n match {keyword} address prefix-list {list}\nexit\n"
            );
        }
    }
    number += 10;
    let _ = write!(text, "route-map virt-forward-in permit {number}\nexit\n!\n");
}

/// Subnets of bridges are connected routes, and subnets behind guests kernel routes.
fn write_redistribute(text: &mut String, indent: &str, family: IpFamily) {
    let map = export_map(family);
    for source in ["connected", "kernel"] {
        let _ = writeln!(text, "{indent}redistribute {source} route-map {map}");
    }
}

fn write_ospf(text: &mut String, announcement: &Announcement) {
    let (id, uplink) = (announcement.router_id, &announcement.uplink);
    let commands = |family| match family {
        IpFamily::V4 => ("ospf", "ip ospf area 0"),
        IpFamily::V6 => ("ospf6", "ipv6 ospf6 area 0"),
    };
    for family in announcement.families() {
        let (keyword, (protocol, _)) = (keyword(family), commands(family));
        let _ = writeln!(
            text,
            "{keyword} protocol {protocol} route-map virt-forward-in"
        );
    }
    let _ = write!(text, "!\ninterface {uplink}\n");
    for family in announcement.families() {
        let (_, area) = commands(family);
        let _ = writeln!(text, " {area}");
    }
    text.push_str("exit\n!\n");
    for family in announcement.families() {
        let (protocol, _) = commands(family);
        let _ = write!(text, "router {protocol}\n {protocol} router-id {id}\n");
        write_redistribute(text, " ", family);
        text.push_str("exit\n!\n");
    }
}

fn write_bgp(text: &mut String, announcement: &Announcement) {
    let (asn, id) = (announcement.options.asn, announcement.router_id);
    let _ = write!(
        text,
        "router bgp {asn}\n bgp router-id {id}\n no bgp default ipv4-unicast\n"
    );
    for family in announcement.families() {
        for (address, asn) in announcement.neighbors(family) {
            let _ = writeln!(text, " neighbor {address} remote-as {asn}");
        }
    }
    for family in announcement.families() {
        let (digit, map) = (family.digit(), export_map(family));
        let _ = writeln!(text, " address-family ipv{digit} unicast");
        write_redistribute(text, "  ", family);
        for (address, _) in announcement.neighbors(family) {
            let _ = write!(
                text,
                "  neighbor {address} activate\n  neighbor {address} next-hop-self\n  \
                 neighbor {address} route-map virt-forward-in in\n  \
                 neighbor {address} route-map {map} out\n"
            );
        }
        text.push_str(" exit-address-family\n");
    }
    text.push_str("exit\n");
}
