//! FRR, 8.4 and newer.

use std::fmt::Write;

use super::{Announcement, Family, Protocol};

const HEAD: &str = "\
! This KVM host tells its libvirt networks to the LAN: add to /etc/frr/frr.conf, or: vtysh -f FILE
! To be made again when networks are defined or undefined; those that stop and start need nothing.
! Where it was loaded before, first take its lists away, else FRR adds to them:
!   vtysh -c 'configure terminal' -c 'no ip prefix-list virt-forward' \\
!     -c 'no ip prefix-list virt-forward-own' -c 'no ipv6 prefix-list virt-forward' \\
!     -c 'no ipv6 prefix-list virt-forward-own'
";

/// What is not believed of others: what lies within these networks and the LAN, and a default
/// route.
const OWN: &str = "virt-forward-own";
const DEFAULT: &str = "virt-forward-default";

impl Family {
    /// How FRR's commands begin.
    fn ip(self) -> &'static str {
        match self {
            Family::V4 => "ip",
            Family::V6 => "ipv6",
        }
    }

    fn longest(self) -> u8 {
        match self {
            Family::V4 => 32,
            Family::V6 => 128,
        }
    }

    /// The route map of what is told. Each family has its own: ospfd does not know "match ipv6",
    /// and takes a rule with nothing else in it for one that permits everything.
    fn out(self) -> &'static str {
        match self {
            Family::V4 => "virt-forward",
            Family::V6 => "virt-forward6",
        }
    }
}

pub(super) fn text(announcement: &Announcement) -> String {
    let mut text = HEAD.to_owned();
    match announcement.protocol {
        Protocol::Ospf => {
            text.push_str("! /etc/frr/daemons has to say: ospfd=yes, ospf6d=yes\n!\n")
        }
        Protocol::Bgp => text.push_str("! /etc/frr/daemons has to say: bgpd=yes\n!\n"),
    }
    for family in announcement.families() {
        lists(&mut text, announcement, family);
    }
    for family in announcement.families() {
        let (ip, out) = (family.ip(), family.out());
        let _ = write!(
            text,
            "route-map {out} permit 10\n match {ip} address prefix-list virt-forward\nexit\n!\n"
        );
    }
    // With OSPF a default route is the LAN's own business: this is for all OSPF of the host.
    let refused: &[&str] = match announcement.protocol {
        Protocol::Ospf => &[OWN],
        Protocol::Bgp => &[OWN, DEFAULT],
    };
    let mut number = 0;
    for list in refused {
        for family in announcement.families() {
            number += 10;
            let _ = write!(
                text,
                "route-map virt-forward-in deny {number}\n match {} address prefix-list {list}\nexit\n",
                family.ip()
            );
        }
    }
    let _ = write!(
        text,
        "route-map virt-forward-in permit {}\nexit\n!\n",
        number + 10
    );
    match announcement.protocol {
        Protocol::Ospf => ospf(&mut text, announcement),
        Protocol::Bgp => bgp(&mut text, announcement),
    }
    text
}

/// What is told, and what is not believed of others.
fn lists(text: &mut String, announcement: &Announcement, family: Family) {
    let (ip, longest) = (family.ip(), family.longest());
    let own = announcement.subnets(family);
    for (number, net) in (5..).step_by(5).zip(&own) {
        let _ = writeln!(
            text,
            "{ip} prefix-list virt-forward seq {number} permit {net}"
        );
    }
    let refused = announcement.lan(family).chain(&own);
    for (number, net) in (5..).step_by(5).zip(refused) {
        // FRR wants what "le" says to be longer than the subnet itself.
        let within = match net.prefix_len() < longest {
            true => format!(" le {longest}"),
            false => String::new(),
        };
        let _ = writeln!(
            text,
            "{ip} prefix-list {OWN} seq {number} permit {net}{within}"
        );
    }
    if announcement.protocol == Protocol::Bgp {
        let everything = family.everything();
        let _ = writeln!(text, "{ip} prefix-list {DEFAULT} seq 5 permit {everything}");
    }
    text.push_str("!\n");
}

/// Subnets behind guests are routes of the kernel's.
fn redistribute(text: &mut String, indent: &str, family: Family) {
    for what in ["connected", "kernel"] {
        let _ = writeln!(
            text,
            "{indent}redistribute {what} route-map {}",
            family.out()
        );
    }
}

fn ospf(text: &mut String, announcement: &Announcement) {
    let (id, uplink) = (announcement.router_id, &announcement.uplink);
    let words = |family| match family {
        Family::V4 => ("ospf", "ip ospf area 0"),
        Family::V6 => ("ospf6", "ipv6 ospf6 area 0"),
    };
    for family in announcement.families() {
        let (protocol, _) = words(family);
        let _ = writeln!(
            text,
            "{} protocol {protocol} route-map virt-forward-in",
            family.ip()
        );
    }
    let _ = write!(text, "!\ninterface {uplink}\n");
    for family in announcement.families() {
        let _ = writeln!(text, " {}", words(family).1);
    }
    text.push_str("exit\n!\n");
    for family in announcement.families() {
        let (protocol, _) = words(family);
        let _ = write!(text, "router {protocol}\n {protocol} router-id {id}\n");
        redistribute(text, " ", family);
        text.push_str("exit\n!\n");
    }
}

fn bgp(text: &mut String, announcement: &Announcement) {
    let _ = write!(
        text,
        "router bgp {}\n bgp router-id {}\n no bgp default ipv4-unicast\n",
        announcement.asn, announcement.router_id
    );
    for family in announcement.families() {
        for neighbor in announcement.neighbors(family) {
            let asn = announcement.asn_of(neighbor);
            let _ = writeln!(text, " neighbor {} remote-as {asn}", neighbor.address);
        }
    }
    for family in announcement.families() {
        let _ = writeln!(text, " address-family ipv{} unicast", family.digit());
        redistribute(text, "  ", family);
        for neighbor in announcement.neighbors(family) {
            for what in [
                "activate".to_owned(),
                "next-hop-self".to_owned(),
                "route-map virt-forward-in in".to_owned(),
                format!("route-map {} out", family.out()),
            ] {
                let _ = writeln!(text, "  neighbor {} {what}", neighbor.address);
            }
        }
        text.push_str(" exit-address-family\n");
    }
    text.push_str("exit\n");
}
