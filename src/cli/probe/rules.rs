//! The table that traces the packet and its reply.

use std::net::IpAddr;

use virt_forward_policy::Packet;

use super::plan::ProbePlan;

/// The prefix of the names of these tables: each probe in progress has one.
pub(super) const TABLE_PREFIX: &str = "virt_forward_probe";

/// The last chain that sees a packet before it leaves.
pub(super) const EXIT_CHAIN: &str = "before_exit";

/// The chain before connection tracking.
const RAW_CHAIN: &str = "before_conntrack";

/// The chain after connection tracking.
const REPLY_CHAIN: &str = "after_conntrack";

/// The name of this process's table.
pub(super) fn table_name() -> String {
    format!("{TABLE_PREFIX}_{}", std::process::id())
}

/// The chains and rules of the table, in nft syntax without `add`. They trace the packet and its
/// reply, and no other. The reply to an external host that is impersonated is dropped at the end.
pub(super) fn objects(table: &str, plan: &ProbePlan, port: u16, mac: [u8; 6]) -> Vec<String> {
    let trace = "meta nftrace set 1";
    let connection = reply_matches(plan, port);
    // Before conntrack (-200) with the headers alone, and right after it.
    let mut objects = vec![
        chain(table, RAW_CHAIN, "prerouting", -450),
        chain(table, REPLY_CHAIN, "prerouting", -199),
        chain(table, EXIT_CHAIN, "postrouting", 1000),
    ];
    if plan.ingress.is_uplink() {
        // meta l4proto … ct direction reply ct original ip saddr … drop
        let drops = connection.iter();
        objects.extend(drops.map(|reply| rule(table, EXIT_CHAIN, &format!("{reply} drop"))));
    }
    // meta l4proto … ct direction reply ct original ip saddr … meta nftrace set 1
    let traced = connection.iter();
    objects.extend(traced.map(|reply| rule(table, REPLY_CHAIN, &format!("{reply} {trace}"))));
    for packet in [reply_headers(plan, port), packet_headers(plan, mac)] {
        objects.push(rule(table, RAW_CHAIN, &format!("{packet} {trace}")));
    }
    objects
}

fn chain(table: &str, name: &str, hook: &str, priority: i32) -> String {
    format!(
        "chain inet {table} {name} {{ type filter hook {hook} priority {priority}; policy accept; }}"
    )
}

fn rule(table: &str, chain: &str, rule: &str) -> String {
    format!("rule inet {table} {chain} {rule}")
}

/// Matches replies by their connection: its own packets, and ICMP errors about it. nft accepts
/// `ct original proto-src` only beside a protocol that has ports.
fn reply_matches(plan: &ProbePlan, port: u16) -> Vec<String> {
    let (source, destination) = (plan.source, plan.destination);
    let family = family(source);
    let icmp = protocol_number(Packet::Icmp, source.is_ipv4());
    let mut protocols = vec![protocol_number(plan.packet, source.is_ipv4()), icmp];
    protocols.dedup();
    let matches = protocols.into_iter().map(|protocol| {
        // meta l4proto … ct direction reply ct original ip saddr … ct original ip daddr …
        format!(
            "meta l4proto {protocol} ct direction reply ct original {family} saddr {source} \
             ct original {family} daddr {destination} ct original proto-src {port}"
        )
    });
    matches.collect()
}

/// Matches a reply by its headers, before NAT.
fn reply_headers(plan: &ProbePlan, port: u16) -> String {
    let (source, destination) = (plan.source, plan.destination);
    let family = family(source);
    let transport = match plan.packet {
        Packet::Tcp(service) => format!("tcp sport {service} tcp dport {port}"),
        Packet::Udp(service) => format!("udp sport {service} udp dport {port}"),
        Packet::Icmp if source.is_ipv4() => format!("icmp type echo-reply icmp id {port}"),
        Packet::Icmp => format!("icmpv6 type echo-reply icmpv6 id {port}"),
    };
    // ip saddr … ip daddr … tcp sport … tcp dport …
    format!("{family} saddr {destination} {family} daddr {source} {transport}")
}

/// Matches the packet by its sender.
fn packet_headers(plan: &ProbePlan, mac: [u8; 6]) -> String {
    let iif = &plan.ingress.interface().name;
    let mac = mac.map(|byte| format!("{byte:02x}")).join(":");
    let (family, destination) = (family(plan.source), plan.destination);
    // iifname … ether saddr … ip daddr …
    format!("iifname \"{iif}\" ether saddr {mac} {family} daddr {destination}")
}

fn family(address: IpAddr) -> &'static str {
    if address.is_ipv4() { "ip" } else { "ip6" }
}

/// The IP protocol number of a packet.
pub(super) fn protocol_number(packet: Packet, is_ipv4: bool) -> u8 {
    match (packet, is_ipv4) {
        (Packet::Tcp(_), _) => 6,
        (Packet::Udp(_), _) => 17,
        (Packet::Icmp, true) => 1,
        (Packet::Icmp, false) => 58,
    }
}
