//! BIRD 2.

use std::fmt::Write;

use ipnet::IpNet;

use super::{Announcement, Family, Protocol};

const HEAD: &str = "\
# This KVM host tells its libvirt networks to the LAN: /etc/bird/bird.conf, and then: birdc configure
# Where there is one already, include this without the router id and the protocols device and kernel,
# of which BIRD takes no second. Its own kernel protocols then have to export what is learned and, for
# subnets behind guests, to learn them.
# To be made again when networks are defined or undefined; those that stop and start need nothing.
";

pub(super) fn text(announcement: &Announcement) -> String {
    let mut text = HEAD.to_owned();
    let _ = write!(
        text,
        "router id {};\n\nprotocol device {{\n}}\n\nprotocol direct virt_forward_direct {{\n",
        announcement.router_id
    );
    for family in announcement.families() {
        let _ = writeln!(text, "  ipv{};", family.digit());
    }
    let bridges: Vec<_> = announcement
        .bridges()
        .map(|bridge| format!("\"{bridge}\""))
        .collect();
    if !bridges.is_empty() {
        let _ = writeln!(text, "  interface {};", bridges.join(", "));
    }
    text.push_str("}\n");
    for family in announcement.families() {
        filters(&mut text, announcement, family);
        kernel(&mut text, announcement.protocol, family);
    }
    match announcement.protocol {
        Protocol::Ospf => ospf(&mut text, announcement),
        Protocol::Bgp => bgp(&mut text, announcement),
    }
    text
}

/// What is told, and what is not believed of others.
fn filters(text: &mut String, announcement: &Announcement, family: Family) {
    let digit = family.digit();
    let own = announcement.subnets(family);
    let all_within = |net: &IpNet| format!("{net}+");
    let refused = announcement.lan(family).chain(&own).map(all_within);
    let refused: Vec<_> = [family.everything().to_owned()]
        .into_iter()
        .chain(refused)
        .collect();
    let own: Vec<_> = own.iter().map(ToString::to_string).collect();
    let _ = write!(
        text,
        "\ndefine virt_forward_own{digit} = [ {} ];\ndefine virt_forward_refused{digit} = [ {} ];\n\n\
         filter virt_forward_out{digit} {{\n  if net ~ virt_forward_own{digit} then accept;\n  reject;\n}}\n\n\
         filter virt_forward_in{digit} {{\n  if net ~ virt_forward_refused{digit} then reject;\n  accept;\n}}\n",
        own.join(", "),
        refused.join(", ")
    );
}

/// Learns the subnets behind guests, which are routes of libvirt's, and puts into the kernel
/// what others tell.
fn kernel(text: &mut String, protocol: Protocol, family: Family) {
    let digit = family.digit();
    let sources = match protocol {
        Protocol::Ospf => "RTS_OSPF, RTS_OSPF_IA, RTS_OSPF_EXT1, RTS_OSPF_EXT2",
        Protocol::Bgp => "RTS_BGP",
    };
    let _ = write!(
        text,
        "\nprotocol kernel virt_forward_kernel{digit} {{\n  learn;\n  ipv{digit} {{\n    \
         import filter virt_forward_out{digit};\n    export where source ~ [ {sources} ];\n  }};\n}}\n"
    );
}

/// What a neighbour is told, and believed.
fn channel(family: Family, more: &str) -> String {
    let digit = family.digit();
    format!(
        "  ipv{digit} {{\n    import filter virt_forward_in{digit};\n    \
         export filter virt_forward_out{digit};\n{more}  }};\n"
    )
}

fn ospf(text: &mut String, announcement: &Announcement) {
    for family in announcement.families() {
        let version = match family {
            Family::V4 => "v2",
            Family::V6 => "v3",
        };
        let (digit, uplink) = (family.digit(), &announcement.uplink);
        let _ = write!(
            text,
            "\nprotocol ospf {version} virt_forward_ospf{digit} {{\n{}  area 0 {{\n    \
             interface \"{uplink}\";\n  }};\n}}\n",
            channel(family, "")
        );
    }
}

fn bgp(text: &mut String, announcement: &Announcement) {
    let mut number = 0;
    for family in announcement.families() {
        for neighbor in announcement.neighbors(family) {
            number += 1;
            let _ = write!(
                text,
                "\nprotocol bgp virt_forward_bgp{number} {{\n  local as {};\n  neighbor {} as {};\n  \
                 direct;\n{}}}\n",
                announcement.asn,
                neighbor.address,
                announcement.asn_of(neighbor),
                channel(family, "    next hop self;\n")
            );
        }
    }
}
