//! BIRD 2.

use std::fmt::Write;

use ipnet::IpNet;

use super::announcement::{Announcement, Protocol};
use crate::routes::family::IpFamily;

const HEAD: &str = "\
# Announces the libvirt networks of this KVM host to the LAN: /etc/bird/bird.conf
# Activate with: birdc configure
# If bird.conf exists, include this file there without the router id and the protocols device and
# kernel, which BIRD accepts only once. The existing kernel protocols must export learned routes and,
# for subnets behind guests, learn routes.
# Generate it again after a network was defined or undefined; starting or stopping one needs nothing.
";

pub(super) fn render(announcement: &Announcement) -> String {
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
    let protocol = announcement.options.protocol;
    for family in announcement.families() {
        write_filters(&mut text, announcement, family);
        write_kernel(&mut text, protocol, family);
    }
    match protocol {
        Protocol::Ospf => write_ospf(&mut text, announcement),
        Protocol::Bgp => write_bgp(&mut text, announcement),
    }
    text
}

/// The filters of announced and of learned routes.
fn write_filters(text: &mut String, announcement: &Announcement, family: IpFamily) {
    let digit = family.digit();
    let own = announcement.subnets(family);
    let own: Vec<_> = own.iter().map(ToString::to_string).collect();
    let or_longer = |net: &IpNet| format!("{net}+");
    let mut refused = vec![family.default_destination().to_string()];
    refused.extend(announcement.protected_subnets(family).iter().map(or_longer));
    let _ = write!(
        text,
        "\ndefine virt_forward_own{digit} = [ {} ];\ndefine virt_forward_refused{digit} = [ {} ];\n\n\
         filter virt_forward_out{digit} {{\n  if net ~ virt_forward_own{digit} then accept;\n  reject;\n}}\n\n\
         filter virt_forward_in{digit} {{\n  if net ~ virt_forward_refused{digit} then reject;\n  accept;\n}}\n",
        own.join(", "),
        refused.join(", ")
    );
}

/// Imports the subnets behind guests, which are routes of libvirt, and exports learned routes to
/// the kernel.
fn write_kernel(text: &mut String, protocol: Protocol, family: IpFamily) {
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

/// The channel of a family to a neighbor.
fn channel(family: IpFamily, options: &str) -> String {
    let digit = family.digit();
    format!(
        "  ipv{digit} {{\n    import filter virt_forward_in{digit};\n    \
         export filter virt_forward_out{digit};\n{options}  }};\n"
    )
}

fn write_ospf(text: &mut String, announcement: &Announcement) {
    for family in announcement.families() {
        let version = match family {
            IpFamily::V4 => "v2",
            IpFamily::V6 => "v3",
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

fn write_bgp(text: &mut String, announcement: &Announcement) {
    let own_asn = announcement.options.asn;
    let mut number = 0;
    for family in announcement.families() {
        for (address, asn) in announcement.neighbors(family) {
            number += 1;
            let _ = write!(
                text,
                "\nprotocol bgp virt_forward_bgp{number} {{\n  local as {own_asn};\n  \
                 neighbor {address} as {asn};\n  direct;\n{}}}\n",
                channel(family, "    next hop self;\n")
            );
        }
    }
}
