//! `[[allow]]` rules in the table: as many as the config has, whatever number of networks.
//!
//! For each rule two sets of bridges, `allow_1_from` and `allow_1_to`, and two chains by ports,
//! `allow_1` for packets in its direction and `reply_1` for replies. The number is the rule's, or
//! its name stands in its place. The direction of a packet is the one that the kernel keeps of each
//! connection (`ct direction`): a connection that the other side opens from the same ports is not
//! allowed.
//!
//! Be aware: the source of what comes to `own_source` is its network's own, that of what comes
//! to `known_path` would be answered through the interface it came in by.

use ipnet::IpNet;

use super::{
    Layout, TABLE,
    chains::{MARK, OPEN, OWN_SOURCE},
    expr::{self, Batch, Direction, Word},
    from_set,
    sets::BRIDGES,
    to_set,
};
use virt_forward_policy::config::{PortRange, RuleId, Traffic};

/// Where one end of a rule is.
struct End {
    /// The bridges of the networks that it takes in.
    bridges: String,
    /// Its addresses, where the config names addresses; some of them may be outside.
    subnet: Option<IpNet>,
}

/// One way through a rule: there, or back.
struct Way {
    direction: Direction,
    from: End,
    to: End,
    /// The chain of its ports.
    chain: String,
    /// The same, for packets that are dropped.
    forged: String,
}

fn ways(layout: &Layout) -> impl Iterator<Item = Way> {
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
        let there = Way {
            direction: Direction::Original,
            from: from(),
            to: to(),
            chain: there(rule),
            forged: forged_there(rule),
        };
        let back = Way {
            direction: Direction::Reply,
            from: to(),
            to: from(),
            chain: back(rule),
            forged: forged_there(rule),
        };
        [there, back]
    })
}

fn there(rule: &RuleId) -> String {
    format!("allow_{rule}")
}

fn forged_there(rule: &RuleId) -> String {
    format!("forged_{rule}")
}

fn back(rule: &RuleId) -> String {
    format!("reply_{rule}")
}

/// What may pass, once it is known to go the right way.
pub(super) fn protocols(batch: &mut Batch, layout: &Layout) {
    for allow in &layout.allows {
        let rule = &allow.id;
        // tcp dport { 6443, 30000-32767 } goto open
        // udp dport { 53 } goto open
        // icmp type echo-request goto open
        // icmpv6 type echo-request goto open
        let chain = there(rule);
        batch.add_chain(TABLE, &chain);
        let to_ports = |protocol, ports: &[PortRange]| expr::dport_in(protocol, ports);
        for word in conditions(&allow.traffic, to_ports, "echo-request") {
            batch.add_rule(TABLE, &chain, [word, expr::goto(OPEN)]);
        }
        if layout.host.drops_forged_peers && allow.from.subnet().is_some() {
            // tcp dport { 6443, 30000-32767 } drop
            // udp dport { 53 } drop
            // icmp type echo-request drop
            // icmpv6 type echo-request drop
            let chain = forged_there(rule);
            batch.add_chain(TABLE, &chain);
            for word in conditions(&allow.traffic, to_ports, "echo-request") {
                batch.add_rule(TABLE, &chain, [word, expr::drop()]);
            }
        }
        // tcp sport { 6443, 30000-32767 } goto open
        // udp sport { 53 } goto open
        // icmp type echo-reply goto open
        // icmpv6 type echo-reply goto open
        let chain = back(rule);
        batch.add_chain(TABLE, &chain);
        let from_ports = |protocol, ports: &[PortRange]| expr::sport_in(protocol, ports);
        for word in conditions(&allow.traffic, from_ports, "echo-reply") {
            batch.add_rule(TABLE, &chain, [word, expr::goto(OPEN)]);
        }
    }
}

fn conditions(
    traffic: &Traffic,
    ports: impl Fn(&'static str, &[PortRange]) -> Word,
    echo: &str,
) -> Vec<Word> {
    let lists = [("tcp", &traffic.tcp), ("udp", &traffic.udp)];
    let lists = lists.iter().filter(|(_, list)| !list.is_empty());
    let mut words: Vec<_> = lists
        .map(|(protocol, list)| ports(protocol, list))
        .collect();
    if traffic.icmp {
        words.extend(["icmp", "icmpv6"].map(|protocol| expr::icmp_type(protocol, echo)));
    }
    words
}

/// From a network: to another one, or outside.
pub(super) fn own_source(batch: &mut Batch, layout: &Layout) {
    for way in ways(layout) {
        from_network(batch, &way, OWN_SOURCE);
    }
}

fn from_network(batch: &mut Batch, way: &Way, chain: &str) {
    // ct direction original iifname @allow_1_from ip saddr 10.17.3.0/24 …
    //   … oifname @allow_1_to jump allow_1
    //   … ip daddr 172.16.0.0/12 oifname @allow_1_to jump allow_1
    //   … ip daddr 172.16.0.0/12 oifname != @bridges jump allow_1
    for leaves in leaves(&way.to) {
        let mut words = vec![
            expr::direction(way.direction),
            expr::iifname_in(&way.from.bridges),
        ];
        words.extend(way.from.subnet.map(expr::saddr_of));
        words.extend(leaves);
        words.push(expr::jump(&way.chain));
        batch.add_rule(TABLE, chain, words);
    }
}

/// From outside, where the config names addresses, to a network.
pub(super) fn known_path(batch: &mut Batch, layout: &Layout, chain: &str) {
    from_outside(batch, layout, chain, |_| true);
}

/// From all addresses there are: the reverse path of none is looked at.
pub(super) fn from_everywhere(batch: &mut Batch, layout: &Layout, chain: &str) {
    from_outside(batch, layout, chain, |from| from.prefix_len() == 0);
}

fn from_outside(batch: &mut Batch, layout: &Layout, chain: &str, is_meant: fn(&IpNet) -> bool) {
    for way in ways(layout).filter(|way| way.from.subnet.as_ref().is_some_and(is_meant)) {
        // ct direction original ip saddr 192.168.0.30 oifname @allow_1_to jump allow_1
        if let Some(mut words) = from_subnet(&way) {
            words.insert(0, expr::direction(way.direction));
            words.push(expr::jump(&way.chain));
            batch.add_rule(TABLE, chain, words);
        }
    }
}

/// The same sources, where they did not come in by the interface that leads back to them.
pub(super) fn forged(batch: &mut Batch, layout: &Layout, chain: &str) {
    for way in ways(layout).filter(|way| way.direction == Direction::Original) {
        // ct direction original ip saddr 192.168.0.30 oifname @allow_1_to jump forged_1
        if let Some(mut words) = from_subnet(&way) {
            words.insert(0, expr::direction(way.direction));
            words.push(expr::jump(&way.forged));
            batch.add_rule(TABLE, chain, words);
        }
    }
}

/// `ip saddr 192.168.0.30 oifname @allow_1_to ip daddr 10.17.3.21`
fn from_subnet(way: &Way) -> Option<Vec<Word>> {
    let mut words = vec![
        expr::saddr_of(way.from.subnet?),
        expr::oifname_in(&way.to.bridges),
    ];
    words.extend(way.to.subnet.map(expr::daddr_of));
    Some(words)
}

/// Replies with a source that is not their network's own.
pub(super) fn replies(batch: &mut Batch, layout: &Layout, chain: &str) {
    for way in ways(layout).filter(|way| way.direction == Direction::Reply) {
        from_network(batch, &way, chain);
    }
}

/// ICMP errors about what passes, both ways: from whom does not matter, to whom does.
pub(super) fn errors(batch: &mut Batch, layout: &Layout, chain: &str) {
    for way in ways(layout) {
        // iifname @allow_1_to oifname @allow_1_from goto set_mark
        for leaves in leaves(&way.to) {
            let mut words = vec![expr::iifname_in(&way.from.bridges)];
            words.extend(leaves);
            words.push(expr::goto(MARK));
            batch.add_rule(TABLE, chain, words);
        }
        // iifname != @bridges ip daddr 10.17.3.0/24 oifname @allow_1_from goto set_mark
        if way.from.subnet.is_some() {
            let mut words = vec![expr::iifname_not_in(BRIDGES)];
            words.extend(way.to.subnet.map(expr::daddr_of));
            words.push(expr::oifname_in(&way.to.bridges));
            words.push(expr::goto(MARK));
            batch.add_rule(TABLE, chain, words);
        }
    }
}

/// What goes to that end.
fn leaves(end: &End) -> Vec<Vec<Word>> {
    let to_network = expr::oifname_in(&end.bridges);
    match end.subnet.map(expr::daddr_of) {
        None => vec![vec![to_network]],
        Some(daddr) => vec![
            vec![daddr.clone(), to_network],
            vec![daddr, expr::oifname_not_in(BRIDGES)],
        ],
    }
}
