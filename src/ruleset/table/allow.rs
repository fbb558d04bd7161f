//! The `[[allow]]` rules of the config, as chains and rules of the table. Their number does not depend
//! on that of the networks.
//!
//! Each rule has two sets of bridges, `allow_1_from` and `allow_1_to`, and two chains that match ports:
//! `allow_1` for packets in its direction, and `reply_1` for the replies; a rule with a name has it in
//! place of the number. The direction is that of the
//! connection (`ct direction`), so a connection that the other side opens from the same ports does
//! not match.
//!
//! Packets in `own_source` have a source of their own network; packets in `known_path` have passed the
//! reverse path check.

use ipnet::IpNet;

use super::{
    Layout, TABLE,
    chains::{MARK, OPEN, OWN_SOURCE},
    expr::{self, Batch, CtDirection, Statement},
    from_set,
    sets::BRIDGES,
    to_set,
};
use virt_forward_policy::config::{PortRange, RuleId, Traffic};

/// One end of a rule.
struct End {
    /// The set of bridges of the networks that match.
    bridges: String,
    /// The addresses that match, where the config names addresses; some may be outside.
    subnet: Option<IpNet>,
}

/// One direction of a rule: its connections' packets, or the replies.
struct Leg {
    direction: CtDirection,
    from: End,
    to: End,
    /// The chain that matches the ports.
    chain: String,
    /// The chain that matches the same ports and drops.
    forged: String,
}

/// Both directions of every rule.
fn legs(layout: &Layout) -> impl Iterator<Item = Leg> {
    layout.allows.iter().flat_map(|allow| {
        let rule = &allow.id;
        let from = || End {
            bridges: from_set(rule),
            subnet: allow.from.subnet(),
        };
        let to = || End {
            bridges: to_set(rule),
            subnet: allow.to.subnet(),
        };
        let forward = Leg {
            direction: CtDirection::Original,
            from: from(),
            to: to(),
            chain: forward_chain(rule),
            forged: forged_chain(rule),
        };
        let reply = Leg {
            direction: CtDirection::Reply,
            from: to(),
            to: from(),
            chain: reply_chain(rule),
            forged: forged_chain(rule),
        };
        [forward, reply]
    })
}

fn forward_chain(rule: &RuleId) -> String {
    format!("allow_{rule}")
}

fn forged_chain(rule: &RuleId) -> String {
    format!("forged_{rule}")
}

fn reply_chain(rule: &RuleId) -> String {
    format!("reply_{rule}")
}

/// Adds the chains that match the ports of the rules.
pub(super) fn protocols(batch: &mut Batch, layout: &Layout) {
    for allow in &layout.allows {
        let rule = &allow.id;
        // tcp dport { 6443, 30000-32767 } goto open
        // udp dport { 53 } goto open
        // icmp type echo-request goto open
        // icmpv6 type echo-request goto open
        let chain = forward_chain(rule);
        batch.add_chain(TABLE, &chain);
        let to_ports = |protocol, ports: &[PortRange]| expr::dport_in(protocol, ports);
        for condition in conditions(&allow.traffic, to_ports, "echo-request") {
            batch.add_rule(TABLE, &chain, [condition, expr::goto(OPEN)]);
        }
        if layout.host.drops_forged_peers && allow.from.subnet().is_some() {
            // tcp dport { 6443, 30000-32767 } drop
            // udp dport { 53 } drop
            // icmp type echo-request drop
            // icmpv6 type echo-request drop
            let chain = forged_chain(rule);
            batch.add_chain(TABLE, &chain);
            for condition in conditions(&allow.traffic, to_ports, "echo-request") {
                batch.add_rule(TABLE, &chain, [condition, expr::drop()]);
            }
        }
        // tcp sport { 6443, 30000-32767 } goto open
        // udp sport { 53 } goto open
        // icmp type echo-reply goto open
        // icmpv6 type echo-reply goto open
        let chain = reply_chain(rule);
        batch.add_chain(TABLE, &chain);
        let from_ports = |protocol, ports: &[PortRange]| expr::sport_in(protocol, ports);
        for condition in conditions(&allow.traffic, from_ports, "echo-reply") {
            batch.add_rule(TABLE, &chain, [condition, expr::goto(OPEN)]);
        }
    }
}

/// One condition for each protocol that the rule allows.
fn conditions(
    traffic: &Traffic,
    ports: impl Fn(&'static str, &[PortRange]) -> Statement,
    echo: &str,
) -> Vec<Statement> {
    let mut conditions = Vec::new();
    for (protocol, list) in [("tcp", &traffic.tcp), ("udp", &traffic.udp)] {
        if !list.is_empty() {
            conditions.push(ports(protocol, list));
        }
    }
    if traffic.icmp {
        conditions.extend(["icmp", "icmpv6"].map(|protocol| expr::icmp_type(protocol, echo)));
    }
    conditions
}

/// Adds the jumps for packets from a network, to another one or to the outside.
pub(super) fn own_source(batch: &mut Batch, layout: &Layout) {
    for leg in legs(layout) {
        from_network(batch, &leg, OWN_SOURCE);
    }
}

fn from_network(batch: &mut Batch, leg: &Leg, chain: &str) {
    // ct direction original iifname @allow_1_from ip saddr 10.17.3.0/24 …
    //   … oifname @allow_1_to jump allow_1
    //   … ip daddr 172.16.0.0/12 oifname @allow_1_to jump allow_1
    //   … ip daddr 172.16.0.0/12 oifname != @bridges jump allow_1
    for towards in towards(&leg.to) {
        let mut statements = vec![
            expr::ct_direction(leg.direction),
            expr::iifname_in(&leg.from.bridges),
        ];
        statements.extend(leg.from.subnet.map(expr::saddr_of));
        statements.extend(towards);
        statements.push(expr::jump(&leg.chain));
        batch.add_rule(TABLE, chain, statements);
    }
}

/// Adds the jumps for packets from outside to a network, for rules that name addresses.
pub(super) fn known_path(batch: &mut Batch, layout: &Layout, chain: &str) {
    from_outside(batch, layout, chain, |_| true);
}

/// Adds the same jumps for rules that match every source: they need no reverse path check.
pub(super) fn from_everywhere(batch: &mut Batch, layout: &Layout, chain: &str) {
    from_outside(batch, layout, chain, |from| from.prefix_len() == 0);
}

fn from_outside(batch: &mut Batch, layout: &Layout, chain: &str, is_meant: fn(&IpNet) -> bool) {
    for leg in legs(layout).filter(|leg| leg.from.subnet.as_ref().is_some_and(is_meant)) {
        // ct direction original ip saddr 192.168.0.30 oifname @allow_1_to jump allow_1
        if let Some(mut statements) = from_subnet(&leg) {
            statements.insert(0, expr::ct_direction(leg.direction));
            statements.push(expr::jump(&leg.chain));
            batch.add_rule(TABLE, chain, statements);
        }
    }
}

/// Adds the jumps to the dropping chains, for such sources that fail the reverse path check.
pub(super) fn forged(batch: &mut Batch, layout: &Layout, chain: &str) {
    for leg in legs(layout).filter(|leg| leg.direction == CtDirection::Original) {
        // ct direction original ip saddr 192.168.0.30 oifname @allow_1_to jump forged_1
        if let Some(mut statements) = from_subnet(&leg) {
            statements.insert(0, expr::ct_direction(leg.direction));
            statements.push(expr::jump(&leg.forged));
            batch.add_rule(TABLE, chain, statements);
        }
    }
}

/// `ip saddr 192.168.0.30 oifname @allow_1_to ip daddr 10.17.3.21`
fn from_subnet(leg: &Leg) -> Option<Vec<Statement>> {
    let mut statements = vec![
        expr::saddr_of(leg.from.subnet?),
        expr::oifname_in(&leg.to.bridges),
    ];
    statements.extend(leg.to.subnet.map(expr::daddr_of));
    Some(statements)
}

/// Adds the jumps for replies whose source is not one of their network's own.
pub(super) fn replies(batch: &mut Batch, layout: &Layout, chain: &str) {
    for leg in legs(layout).filter(|leg| leg.direction == CtDirection::Reply) {
        from_network(batch, &leg, chain);
    }
}

/// Adds the rules for ICMP errors about allowed connections, in both directions. The source may be any
/// router on the path; the destination has to match.
pub(super) fn errors(batch: &mut Batch, layout: &Layout, chain: &str) {
    for leg in legs(layout) {
        // iifname @allow_1_to oifname @allow_1_from goto set_mark
        for towards in towards(&leg.to) {
            let mut statements = vec![expr::iifname_in(&leg.from.bridges)];
            statements.extend(towards);
            statements.push(expr::goto(MARK));
            batch.add_rule(TABLE, chain, statements);
        }
        // iifname != @bridges ip daddr 10.17.3.0/24 oifname @allow_1_from goto set_mark
        if leg.from.subnet.is_some() {
            let mut statements = vec![expr::iifname_not_in(BRIDGES)];
            statements.extend(leg.to.subnet.map(expr::daddr_of));
            statements.push(expr::oifname_in(&leg.to.bridges));
            statements.push(expr::goto(MARK));
            batch.add_rule(TABLE, chain, statements);
        }
    }
}

/// The conditions, one list for each rule, of packets towards that end.
fn towards(end: &End) -> Vec<Vec<Statement>> {
    let to_network = expr::oifname_in(&end.bridges);
    match end.subnet.map(expr::daddr_of) {
        None => vec![vec![to_network]],
        Some(daddr) => vec![
            vec![daddr.clone(), to_network],
            vec![daddr, expr::oifname_not_in(BRIDGES)],
        ],
    }
}
