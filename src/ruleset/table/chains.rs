//! The chains and rules of the table, the same for any number of networks.
//!
//! Input: a [`Layout`] and the networks. Output: the commands that replace or delete the table.

use std::collections::BTreeMap;

use virt_forward_policy::config::Config;

use super::{
    Group, Host, IPV4, IPV6, Ip, Layout, Member, Peers, TABLE, allow,
    expr::{self, Batch, Hook, SetKeyType},
    sets,
};

/// The conntrack label, a bit from 0 to 127, of connections that the table allowed. A packet of a
/// labelled connection that policy no longer allows is dropped; libvirt would accept it as
/// ESTABLISHED.
pub const LABEL: u8 = 127;

/// Before chains at `filter` (0), the usual priority, so that they see the mark.
pub const FORWARD_PRIORITY: i32 = -10;
/// Before libvirt's masquerade at `srcnat` (100): the first translation of a connection binds.
const KEEP_SOURCE_PRIORITY: i32 = 90;
/// After every chain that may match the mark.
const CLEAR_PRIORITY: i32 = 110;

const FORWARD: &str = "forward";
const FROM_BRIDGE: &str = "from_bridge";
pub(super) const OWN_SOURCE: &str = "own_source";
pub(super) const FROM_OUTSIDE: &str = "from_outside";
/// Its packets have passed the reverse path check.
const KNOWN_PATH: &str = "known_path";
const REPLIES: &str = "replies";
const ERRORS: &str = "errors";
const UNMARKED: &str = "unmarked";
const LABEL_NEW: &str = "label_new";
pub(super) const OPEN: &str = "open";
/// As `open`, without a label: for replies and ICMP errors.
pub(super) const MARK: &str = "set_mark";
pub(super) const MASQUERADED: &str = "masqueraded";
const KEEP_SOURCE: &str = "keep_source";
const CLEAR: &str = "clear";

/// Adds the commands that replace the table by one with `members`.
///
/// `add` precedes `delete`, because deleting a missing table fails. All commands are one transaction,
/// so no packet meets a partial table.
pub fn replace_table(batch: &mut Batch, layout: &Layout, members: &[Member]) {
    delete_table(batch);
    batch.add_table(TABLE);
    sets(batch, layout, members);
    unmarked(batch, layout);
    open(batch, layout);
    allow::protocols(batch, layout);
    errors(batch, layout);
    own_source(batch, layout);
    replies(batch, layout);
    from_bridge(batch, layout);
    if layout.knows_outside {
        known_path(batch, layout);
        from_outside(batch, layout);
    }
    forward(batch, layout);
    keep_source(batch, layout);
    clear(batch, layout);
}

/// Adds the commands that replace the table by one that opens nothing, drops packets of the
/// connections that were allowed, and restricts interfaces whose forwarding was enabled. This is the
/// last step before the table is deleted, while conntrack entries are deleted and sysctls restored.
/// `members` are closed in it.
pub fn closing(batch: &mut Batch, host: &Host, members: &[Member]) {
    // A network may occur twice: before and after a change of its definition.
    let mut closed: BTreeMap<_, Member> = BTreeMap::new();
    for member in members {
        let one = closed
            .entry(member.bridge.clone())
            .or_insert_with(|| member.closed());
        one.enabled.extend(&member.enabled);
    }
    let closed: Vec<_> = closed.into_values().collect();
    let of_others = host.enabled.iter().map(|one| one.family);
    let of_networks = closed.iter().flat_map(|member| &member.enabled).copied();
    let host = Host {
        enabled: host.enabled.clone(),
        restricted: of_others.chain(of_networks).collect(),
        enabled_all_ipv6: host.enabled_all_ipv6,
        bridged: host.bridged.clone(),
        ..Host::default()
    };
    replace_table(batch, &Layout::of(&Config::closed(), &host), &closed);
}

/// Adds the commands that delete the table, if it exists.
pub fn delete_table(batch: &mut Batch) {
    batch.add_table(TABLE);
    batch.delete_table(TABLE);
}

fn sets(batch: &mut Batch, layout: &Layout, members: &[Member]) {
    let bridges = members.iter().map(sets::bridge).collect();
    batch.add_set(TABLE, sets::BRIDGES, SetKeyType::Interface, bridges);
    let pairs = members.iter().map(sets::same_bridge);
    let others = others_bridged(layout, members).map(expr::interface_with_itself);
    let pairs = pairs.chain(others).collect();
    batch.add_set(TABLE, sets::SAME_BRIDGE, SetKeyType::InterfacePair, pairs);
    for subnets in &sets::SUBNETS {
        let own = members.iter().flat_map(|member| subnets.of(member));
        batch.add_set(TABLE, subnets.set, subnets.kind, own.collect());
    }
    for set in layout.sets() {
        let mine = members.iter().filter(|member| member.sets.contains(&set));
        let bridges = mine.map(|member| expr::interface(&member.bridge));
        batch.add_set(TABLE, &set, SetKeyType::Interface, bridges.collect());
    }
    for group in &layout.groups {
        sets_of_group(batch, group, members);
        for peers in group.peers() {
            let subnets = peers.subnets.iter().map(|net| expr::subnet(*net));
            batch.add_set(TABLE, &peers.set, peers.kind, subnets.collect());
        }
    }
    sets_of_host(batch, layout, members);
}

/// Adds the sets of the subnets of a group's members.
fn sets_of_group(batch: &mut Batch, group: &Group, members: &[Member]) {
    for subnets in &sets::SUBNETS {
        if let Some(set) = subnets.of_group(&group.name) {
            let members = members.iter();
            let mine = members.filter(|member| member.groups.contains(&group.name));
            let elements = mine.flat_map(|member| subnets.of_member(member));
            batch.add_set(TABLE, &set, subnets.kind, elements.collect());
        }
    }
}

/// Bridges other than networks' within which packets pass.
pub(super) fn others_bridged<'a>(
    layout: &'a Layout,
    members: &'a [Member],
) -> impl Iterator<Item = &'a str> {
    let is_member = |name: &str| members.iter().any(|member| member.bridge.as_str() == name);
    let names = layout.host.bridged.iter().map(String::as_str);
    names.filter(move |name| !is_member(name))
}

/// Adds the sets that only some hosts need.
fn sets_of_host(batch: &mut Batch, layout: &Layout, members: &[Member]) {
    for family in &layout.host.restricted {
        let others = layout.host.enabled_of(*family).map(expr::interface_named);
        let mine = members.iter().filter(|one| one.enabled.contains(family));
        let mine = mine.map(|member| expr::interface(&member.bridge));
        let enabled = others.chain(mine).collect();
        batch.add_set(TABLE, enabled_set(*family), SetKeyType::Interface, enabled);
    }
    let mut add = |set: &str, kind, elements: Vec<expr::Expression>| {
        if !elements.is_empty() {
            batch.add_set(TABLE, set, kind, elements);
        }
    };
    for family in [Ip::V4, Ip::V6] {
        let paths = layout.host.return_paths_of(family);
        let paths = paths.map(|path| expr::interface_named_subnet(&path.interface, path.subnet));
        let kind = match family {
            Ip::V4 => SetKeyType::InterfaceSubnet4,
            Ip::V6 => SetKeyType::InterfaceSubnet6,
        };
        add(paths_set(family), kind, paths.collect());
    }
    let masqueraded = layout.host.masqueraded.iter();
    let masqueraded = masqueraded.map(|name| expr::interface_named(name));
    add(MASQUERADED, SetKeyType::Interface, masqueraded.collect());
}

/// The set of interfaces whose forwarding virt-forward enabled.
pub(super) fn enabled_set(family: Ip) -> &'static str {
    match family {
        Ip::V4 => "enabled4",
        Ip::V6 => "enabled6",
    }
}

/// The set of sources, with their interfaces, that pass the reverse path check beside `fib`.
pub(super) fn paths_set(family: Ip) -> &'static str {
    match family {
        Ip::V4 => "return_paths4",
        Ip::V6 => "return_paths6",
    }
}

fn any(family: Ip) -> std::net::IpAddr {
    match family {
        Ip::V4 => IPV4,
        Ip::V6 => IPV6,
    }
}

/// Adds the last chain of every packet that policy does not mark.
fn unmarked(batch: &mut Batch, layout: &Layout) {
    batch.add_chain(TABLE, UNMARKED);
    // ct label 127 drop
    batch.add_rule(TABLE, UNMARKED, [expr::ct_label(LABEL), expr::drop()]);
    if !layout.host.bridged.is_empty() {
        // With br_netfilter the table sees packets within bridges other than networks', too.
        leave_same_bridge(batch, UNMARKED);
    }
    for family in &layout.host.restricted {
        // meta nfproto ipv4 iifname @enabled4 drop
        let statements = [
            expr::nfproto(&any(*family)),
            expr::iifname_in(enabled_set(*family)),
            expr::drop(),
        ];
        batch.add_rule(TABLE, UNMARKED, statements);
    }
    if layout.host.enabled_all_ipv6 {
        // meta nfproto ipv6 drop
        batch.add_rule(TABLE, UNMARKED, [expr::nfproto(&IPV6), expr::drop()]);
    }
}

/// Adds the chains that mark a packet and label its connection.
fn open(batch: &mut Batch, layout: &Layout) {
    batch.add_chain(TABLE, LABEL_NEW);
    // An expected connection (FTP data) has the state related. So has an ICMP error, which shares the
    // labels of the connection that it is about; the table may not have allowed that one.
    // ct state related meta l4proto { icmp, ipv6-icmp } return
    let error = [expr::ct_state_related(), expr::is_icmp(), expr::return_()];
    batch.add_rule(TABLE, LABEL_NEW, error);
    // ct label set 127
    batch.add_rule(TABLE, LABEL_NEW, [expr::ct_label_set(LABEL)]);
    batch.add_chain(TABLE, OPEN);
    // Nearly every packet belongs to a connection that was labelled below by its first packet.
    // ct label 127 meta mark set meta mark | 0x10000000 counter accept
    let judged: Vec<_> = std::iter::once(expr::ct_label(LABEL))
        .chain(marking(layout))
        .collect();
    batch.add_rule(TABLE, OPEN, judged);
    // Packets between members come here before `forward` clears the bit.
    // meta mark set meta mark & 0xefffffff
    batch.add_rule(TABLE, OPEN, [expr::clear_mark_bit(layout.mark.bit())]);
    leave_same_bridge(batch, OPEN);
    // ct state new,related jump label_new
    let new = [expr::ct_state_new_or_related(), expr::jump(LABEL_NEW)];
    batch.add_rule(TABLE, OPEN, new);
    set_mark(batch, layout, OPEN);
    batch.add_chain(TABLE, MARK);
    set_mark(batch, layout, MARK);
}

fn set_mark(batch: &mut Batch, layout: &Layout, chain: &str) {
    // meta mark set meta mark | 0x10000000 counter accept
    batch.add_rule(TABLE, chain, marking(layout));
}

fn marking(layout: &Layout) -> [expr::Statement; 3] {
    [
        expr::set_mark_bit(layout.mark.bit()),
        expr::counter(),
        // Ends the evaluation of this table alone.
        expr::accept(),
    ]
}

/// Adds the chain for ICMP errors, "fragmentation needed" for example. They come from any router on
/// the path, so their source is neither a network's own nor a peer's; conntrack knows the connection
/// that they are about. Without them a connection hangs once it sends large packets.
fn errors(batch: &mut Batch, layout: &Layout) {
    batch.add_chain(TABLE, ERRORS);
    for group in &layout.groups {
        from_members(batch, group, ERRORS, MARK);
        for peers in group.peers() {
            // iifname != @bridges meta nfproto ipv4 oifname @group_kube goto set_mark
            let from_beyond = [
                expr::iifname_not_in(sets::BRIDGES),
                expr::nfproto(&peers.any),
                expr::oifname_in(&group.set()),
                expr::goto(MARK),
            ];
            batch.add_rule(TABLE, ERRORS, from_beyond);
        }
    }
    allow::errors(batch, layout, ERRORS);
    end(batch, ERRORS);
}

/// Ends a chain: no rule has marked the packet.
fn end(batch: &mut Batch, chain: &str) {
    // goto unmarked
    batch.add_rule(TABLE, chain, [expr::goto(UNMARKED)]);
}

/// Sends ICMP errors from `chain` to their own chain.
fn to_errors(batch: &mut Batch, chain: &str) {
    // ct state related meta l4proto { icmp, ipv6-icmp } goto errors
    let statements = [
        expr::ct_state_related(),
        expr::is_icmp(),
        expr::goto(ERRORS),
    ];
    batch.add_rule(TABLE, chain, statements);
}

/// Sends packets with a source of their own network to `own_source`; only these may be marked as new
/// connections. The sets of plain addresses come first in `forward`, as nearly every network has such
/// prefix lengths.
fn to_own_source(batch: &mut Batch, chain: &str, is_masked: bool) {
    let sets = sets::SUBNETS.iter();
    for subnets in sets.filter(|subnets| subnets.is_masked() == is_masked) {
        // iifname . ip saddr & 255.255.255.0 @subnets4_24 goto own_source
        // iifname . ip6 saddr & ffff:ffff:ffff:ffff:: @subnets6_64 goto own_source
        // iifname . ip saddr @subnets4 goto own_source
        // iifname . ip6 saddr @subnets6 goto own_source
        let own = if is_masked {
            expr::iifname_masked_saddr_in(&subnets.mask, subnets.set)
        } else {
            expr::iifname_saddr_in(&subnets.mask, subnets.set)
        };
        let statements = [expr::nfproto(&subnets.mask), own, expr::goto(OWN_SOURCE)];
        batch.add_rule(TABLE, chain, statements);
    }
}

/// Accepts traffic within one bridge without the mark: libvirt accepts it, and it may be subject to
/// the administrator's NAT or to a guest's filters.
fn leave_same_bridge(batch: &mut Batch, chain: &str) {
    // iifname . oifname @same_bridge accept
    let same_bridge = [expr::iifname_oifname_in(sets::SAME_BRIDGE), expr::accept()];
    batch.add_rule(TABLE, chain, same_bridge);
}

fn from_bridge(batch: &mut Batch, layout: &Layout) {
    batch.add_chain(TABLE, FROM_BRIDGE);
    to_own_source(batch, FROM_BRIDGE, false);
    leave_same_bridge(batch, FROM_BRIDGE);
    // ct direction reply ct label 127 goto replies
    let reply = [
        expr::ct_direction(expr::CtDirection::Reply),
        expr::ct_label(LABEL),
        expr::goto(REPLIES),
    ];
    batch.add_rule(TABLE, FROM_BRIDGE, reply);
    to_errors(batch, FROM_BRIDGE);
    forged(batch, layout, FROM_BRIDGE);
    end(batch, FROM_BRIDGE);
}

/// Adds the chain for replies with a source of another network. A guest with interfaces in two
/// networks replies by its default route, from any of its addresses; and libvirt does not know an
/// address that a guest announces by BGP. Such a reply passes if its connection is labelled and its
/// bridge is one that may reply.
fn replies(batch: &mut Batch, layout: &Layout) {
    batch.add_chain(TABLE, REPLIES);
    for group in &layout.groups {
        from_members(batch, group, REPLIES, MARK);
    }
    allow::replies(batch, layout, REPLIES);
    to_errors(batch, REPLIES);
    end(batch, REPLIES);
}

fn own_source(batch: &mut Batch, layout: &Layout) {
    batch.add_chain(TABLE, OWN_SOURCE);
    leave_same_bridge(batch, OWN_SOURCE);
    for group in &layout.groups {
        from_members(batch, group, OWN_SOURCE, OPEN);
    }
    allow::own_source(batch, layout);
    to_errors(batch, OWN_SOURCE);
    end(batch, OWN_SOURCE);
}

/// Adds the rules for packets from the members of a group to each other and to its peers.
fn from_members(batch: &mut Batch, group: &Group, chain: &str, target: &str) {
    // iifname @group_kube oifname @group_kube goto open
    let set = group.set();
    let pair = [
        expr::iifname_in(&set),
        expr::oifname_in(&set),
        expr::goto(target),
    ];
    batch.add_rule(TABLE, chain, pair);
    for peers in group.peers() {
        // iifname @group_kube ip daddr @peers_kube4 oifname != @bridges goto open
        let to_peer = [
            expr::iifname_in(&set),
            expr::daddr_in(&peers.any, &peers.set),
            expr::oifname_not_in(sets::BRIDGES),
            expr::goto(target),
        ];
        batch.add_rule(TABLE, chain, to_peer);
    }
}

/// Adds the fast path for nearly every packet: one from a guest of a group to another, each with an
/// address of its own network, is decided by two lookups. Other packets, and subnets of other lengths
/// than /24 and /64, take the chains below, which decide the same. Both ends are looked up with their
/// bridges: with br_netfilter a frame within a bridge may have any destination.
fn between_members(batch: &mut Batch, layout: &Layout) {
    for subnets in &sets::SUBNETS {
        for group in &layout.groups {
            if let Some(set) = subnets.of_group(&group.name) {
                // iifname . ip saddr & 255.255.255.0 @members_kube4_24
                //   oifname . ip daddr & 255.255.255.0 @members_kube4_24 goto open
                let statements = [
                    expr::nfproto(&subnets.mask),
                    expr::iifname_masked_saddr_in(&subnets.mask, &set),
                    expr::oifname_masked_daddr_in(&subnets.mask, &set),
                    expr::goto(OPEN),
                ];
                batch.add_rule(TABLE, FORWARD, statements);
            }
        }
    }
}

fn forward(batch: &mut Batch, layout: &Layout) {
    // type filter hook forward priority filter - 10; policy accept;
    batch.add_base_chain(TABLE, FORWARD, Hook::FilterForward, FORWARD_PRIORITY);
    between_members(batch, layout);
    // meta mark set meta mark & 0xefffffff
    batch.add_rule(TABLE, FORWARD, [expr::clear_mark_bit(layout.mark.bit())]);
    to_own_source(batch, FORWARD, true);
    // iifname @bridges goto from_bridge
    let from_bridge = [expr::iifname_in(sets::BRIDGES), expr::goto(FROM_BRIDGE)];
    batch.add_rule(TABLE, FORWARD, from_bridge);
    if layout.knows_outside {
        // oifname @bridges goto from_outside
        let from_outside = [expr::oifname_in(sets::BRIDGES), expr::goto(FROM_OUTSIDE)];
        batch.add_rule(TABLE, FORWARD, from_outside);
    }
    end(batch, FORWARD);
}

/// Adds the reverse path check. A guest of a closed network, or a container, may send with the address
/// of a peer, so a peer's packet has to arrive on an interface through which the host routes replies
/// to it.
fn from_outside(batch: &mut Batch, layout: &Layout) {
    batch.add_chain(TABLE, FROM_OUTSIDE);
    from_everywhere(batch, layout);
    // fib saddr . iif oif exists goto known_path
    let fib = [expr::reverse_path_exists(), expr::goto(KNOWN_PATH)];
    batch.add_rule(TABLE, FROM_OUTSIDE, fib);
    for family in [Ip::V4, Ip::V6] {
        if layout.host.return_paths_of(family).next().is_some() {
            // iifname . ip saddr @return_paths4 goto known_path
            let statements = [
                expr::nfproto(&any(family)),
                expr::iifname_saddr_in(&any(family), paths_set(family)),
                expr::goto(KNOWN_PATH),
            ];
            batch.add_rule(TABLE, FROM_OUTSIDE, statements);
        }
    }
    forged(batch, layout, FROM_OUTSIDE);
    end(batch, FROM_OUTSIDE);
}

/// Adds the rules for peers that are all addresses of a family, before the reverse path check: no
/// source can be spoofed then, and a host with two uplinks replies by the one that a connection
/// arrived on.
fn from_everywhere(batch: &mut Batch, layout: &Layout) {
    for group in &layout.groups {
        for peers in group.peers().filter(Peers::is_all) {
            // meta nfproto ipv4 oifname @group_kube goto open
            let statements = [
                expr::nfproto(&peers.any),
                expr::oifname_in(&group.set()),
                expr::goto(OPEN),
            ];
            batch.add_rule(TABLE, FROM_OUTSIDE, statements);
        }
    }
    allow::from_everywhere(batch, layout, FROM_OUTSIDE);
}

/// Adds the rules that drop new connections with a spoofed source, where another firewall accepts
/// peers by their source address alone.
fn forged(batch: &mut Batch, layout: &Layout, chain: &str) {
    if !layout.host.drops_forged_peers {
        return;
    }
    for group in &layout.groups {
        for peers in group.peers() {
            // ct direction original ip saddr @peers_kube4 oifname @group_kube drop
            let statements = [
                expr::ct_direction(expr::CtDirection::Original),
                expr::saddr_in(&peers.any, &peers.set),
                expr::oifname_in(&group.set()),
                expr::drop(),
            ];
            batch.add_rule(TABLE, chain, statements);
        }
    }
    allow::forged(batch, layout, chain);
}

fn known_path(batch: &mut Batch, layout: &Layout) {
    batch.add_chain(TABLE, KNOWN_PATH);
    peers(batch, layout, KNOWN_PATH);
    allow::known_path(batch, layout, KNOWN_PATH);
    to_errors(batch, KNOWN_PATH);
    end(batch, KNOWN_PATH);
}

/// Adds the rules for packets from peers to the members of their groups.
fn peers(batch: &mut Batch, layout: &Layout, chain: &str) {
    for group in &layout.groups {
        for peers in group.peers() {
            // ip saddr @peers_kube4 oifname @group_kube goto open
            let statements = [
                expr::saddr_in(&peers.any, &peers.set),
                expr::oifname_in(&group.set()),
                expr::goto(OPEN),
            ];
            batch.add_rule(TABLE, chain, statements);
        }
    }
}

fn keep_source(batch: &mut Batch, layout: &Layout) {
    // type nat hook postrouting priority srcnat - 10; policy accept;
    batch.add_base_chain(
        TABLE,
        KEEP_SOURCE,
        Hook::NatPostrouting,
        KEEP_SOURCE_PRIORITY,
    );
    // meta mark & 0x10000000 == 0 return
    batch.add_rule(
        TABLE,
        KEEP_SOURCE,
        [expr::mark_bit_clear(layout.mark.bit()), expr::return_()],
    );
    if !layout.host.masqueraded.is_empty() {
        // iifname @masqueraded return
        let statements = [expr::iifname_in(MASQUERADED), expr::return_()];
        batch.add_rule(TABLE, KEEP_SOURCE, statements);
    }
    for family in [IPV4, IPV6] {
        // oifname @bridges meta nfproto ipv4 snat ip to ip saddr
        // oifname @bridges meta nfproto ipv6 snat ip6 to ip6 saddr
        batch.add_rule(
            TABLE,
            KEEP_SOURCE,
            [
                expr::oifname_in(sets::BRIDGES),
                expr::nfproto(&family),
                expr::snat_to_saddr(&family),
            ],
        );
    }
    for group in layout.groups.iter().filter(|group| group.keep_source) {
        for peers in group.peers() {
            // Members of other groups may reach the same peers, and are masqueraded there.
            // iifname @group_kube ip daddr @peers_kube4 snat ip to ip saddr
            let statements = [
                expr::iifname_in(&group.set()),
                expr::daddr_in(&peers.any, &peers.set),
                expr::snat_to_saddr(&peers.any),
            ];
            batch.add_rule(TABLE, KEEP_SOURCE, statements);
        }
    }
}

fn clear(batch: &mut Batch, layout: &Layout) {
    // type filter hook postrouting priority srcnat + 10; policy accept;
    batch.add_base_chain(TABLE, CLEAR, Hook::FilterPostrouting, CLEAR_PRIORITY);
    // meta mark set meta mark & 0xefffffff
    batch.add_rule(TABLE, CLEAR, [expr::clear_mark_bit(layout.mark.bit())]);
}
