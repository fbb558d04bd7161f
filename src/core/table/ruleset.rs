//! The whole table, for any number of networks the same chains and rules.

use super::{
    Group, IPV4, IPV6, Layout, Member, TABLE, allow, elements,
    words::{self, Batch, Hook, Kind},
};

/// Before every chain that people put at `filter` (0), so that the mark is there for all.
pub(crate) const FORWARD_PRIORITY: i32 = -10;
/// Before libvirt's masquerade at `srcnat` (100): the first translation binds.
const KEEP_SOURCE_PRIORITY: i32 = 90;
/// After everything that may want to see the mark.
const CLEAR_PRIORITY: i32 = 110;

const FORWARD: &str = "forward";
const FROM_BRIDGE: &str = "from_bridge";
pub(super) const OWN_SOURCE: &str = "own_source";
pub(super) const FROM_OUTSIDE: &str = "from_outside";
const ERRORS: &str = "errors";
pub(super) const OPEN: &str = "open";
const KEEP_SOURCE: &str = "keep_source";
const CLEAR: &str = "clear";

/// Replaces the table by one with `members`.
///
/// `add` before `delete`, as a delete of what is not there fails; all in one transaction,
/// so that no packet sees a table that is half built.
pub fn whole(batch: &mut Batch, layout: &Layout, members: &[Member]) {
    none(batch);
    batch.add_table(TABLE);
    sets(batch, layout, members);
    open(batch, layout);
    allow::protocols(batch, layout);
    errors(batch, layout);
    own_source(batch, layout);
    from_bridge(batch);
    if layout.knows_outside {
        from_outside(batch, layout);
    }
    forward(batch, layout);
    keep_source(batch, layout);
    clear(batch, layout);
}

/// Takes the table away, whether it is there or not.
pub fn none(batch: &mut Batch) {
    batch.add_table(TABLE);
    batch.delete_table(TABLE);
}

fn sets(batch: &mut Batch, layout: &Layout, members: &[Member]) {
    let bridges = members.iter().map(elements::bridge).collect();
    batch.add_set(TABLE, elements::BRIDGES, Kind::Interface, bridges);
    for subnets in &elements::SUBNETS {
        let own = members.iter().flat_map(|member| subnets.of(member));
        batch.add_set(TABLE, subnets.set, subnets.kind, own.collect());
    }
    for set in layout.sets() {
        let mine = members.iter().filter(|member| member.sets.contains(&set));
        let bridges = mine.map(|member| words::interface(&member.bridge));
        batch.add_set(TABLE, &set, Kind::Interface, bridges.collect());
    }
    for group in &layout.groups {
        for peers in group.peers() {
            let subnets = peers.subnets.iter().map(|net| words::subnet(*net));
            batch.add_set(TABLE, &peers.set, peers.kind, subnets.collect());
        }
    }
}

fn open(batch: &mut Batch, layout: &Layout) {
    batch.add_chain(TABLE, OPEN);
    // meta mark set meta mark | 0x10000000 counter accept
    batch.add_rule(
        TABLE,
        OPEN,
        [
            words::set_mark(layout.mark.bit()),
            words::counter(),
            // Of this table alone: no rule after that which led here has to be looked at.
            words::accept(),
        ],
    );
}

/// An ICMP error ("fragmentation needed", say) comes from a router somewhere on the way, so its
/// source is neither a network's own nor a peer's; the kernel knows which connection it is
/// about. Without it a connection hangs as soon as it sends large packets.
fn errors(batch: &mut Batch, layout: &Layout) {
    batch.add_chain(TABLE, ERRORS);
    for group in &layout.groups {
        from_members(batch, group, ERRORS);
        for peers in group.peers() {
            // iifname != @bridges meta nfproto ipv4 oifname @group_kube goto open
            let from_beyond = [
                words::iifname_not_in(elements::BRIDGES),
                words::nfproto(&peers.any),
                words::oifname_in(&group.set()),
                words::goto(OPEN),
            ];
            batch.add_rule(TABLE, ERRORS, from_beyond);
        }
    }
    allow::errors(batch, layout, ERRORS);
}

/// Sends ICMP errors there, at the end of `chain`.
fn to_errors(batch: &mut Batch, chain: &str) {
    // ct state related meta l4proto { icmp, ipv6-icmp } goto errors
    let words = [words::related(), words::is_icmp(), words::goto(ERRORS)];
    batch.add_rule(TABLE, chain, words);
}

fn from_bridge(batch: &mut Batch) {
    batch.add_chain(TABLE, FROM_BRIDGE);
    for subnets in &elements::SUBNETS {
        // iifname . ip saddr & 255.255.255.0 @subnets4_24 goto own_source
        // iifname . ip6 saddr & ffff:ffff:ffff:ffff:: @subnets6_64 goto own_source
        // iifname . ip saddr @subnets4 goto own_source
        // iifname . ip6 saddr @subnets6 goto own_source
        let own = match subnets.is_masked() {
            true => words::iifname_masked_saddr_in(&subnets.mask, subnets.set),
            false => words::iifname_saddr_in(&subnets.mask, subnets.set),
        };
        let words = [words::nfproto(&subnets.mask), own, words::goto(OWN_SOURCE)];
        batch.add_rule(TABLE, FROM_BRIDGE, words);
    }
    to_errors(batch, FROM_BRIDGE);
}

fn own_source(batch: &mut Batch, layout: &Layout) {
    batch.add_chain(TABLE, OWN_SOURCE);
    for group in &layout.groups {
        from_members(batch, group, OWN_SOURCE);
    }
    allow::own_source(batch, layout);
    to_errors(batch, OWN_SOURCE);
}

/// From the members of a group to each other, and to its peers.
fn from_members(batch: &mut Batch, group: &Group, chain: &str) {
    // iifname @group_kube oifname @group_kube goto open
    let set = group.set();
    let pair = [
        words::iifname_in(&set),
        words::oifname_in(&set),
        words::goto(OPEN),
    ];
    batch.add_rule(TABLE, chain, pair);
    for peers in group.peers() {
        // iifname @group_kube ip daddr @peers_kube4 oifname != @bridges goto open
        let to_peer = [
            words::iifname_in(&set),
            words::daddr_in(&peers.any, &peers.set),
            words::oifname_not_in(elements::BRIDGES),
            words::goto(OPEN),
        ];
        batch.add_rule(TABLE, chain, to_peer);
    }
}

fn forward(batch: &mut Batch, layout: &Layout) {
    // type filter hook forward priority filter - 10; policy accept;
    batch.add_base_chain(TABLE, FORWARD, Hook::FilterForward, FORWARD_PRIORITY);
    // meta mark set meta mark & 0xefffffff
    batch.add_rule(TABLE, FORWARD, [words::keep_mark(layout.mark.others())]);
    // iifname @bridges goto from_bridge
    let from_bridge = [
        words::iifname_in(elements::BRIDGES),
        words::goto(FROM_BRIDGE),
    ];
    batch.add_rule(TABLE, FORWARD, from_bridge);
    if layout.knows_outside {
        // oifname @bridges goto from_outside
        let from_outside = [
            words::oifname_in(elements::BRIDGES),
            words::goto(FROM_OUTSIDE),
        ];
        batch.add_rule(TABLE, FORWARD, from_outside);
    }
}

/// A guest of a network that is not open, or a container, may send with the address of a peer:
/// only where the host itself would send to the peer does one come in.
fn from_outside(batch: &mut Batch, layout: &Layout) {
    batch.add_chain(TABLE, FROM_OUTSIDE);
    // fib saddr . iif oif missing return
    let forged = [words::came_the_wrong_way(), words::ret()];
    batch.add_rule(TABLE, FROM_OUTSIDE, forged);
    for group in &layout.groups {
        for peers in group.peers() {
            // ip saddr @peers_kube4 oifname @group_kube goto open
            let pair = [
                words::saddr_in(&peers.any, &peers.set),
                words::oifname_in(&group.set()),
                words::goto(OPEN),
            ];
            batch.add_rule(TABLE, FROM_OUTSIDE, pair);
        }
    }
    allow::from_outside(batch, layout);
    to_errors(batch, FROM_OUTSIDE);
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
        [words::unmarked(layout.mark.bit()), words::ret()],
    );
    for family in [IPV4, IPV6] {
        // oifname @bridges meta nfproto ipv4 snat ip to ip saddr
        // oifname @bridges meta nfproto ipv6 snat ip6 to ip6 saddr
        batch.add_rule(
            TABLE,
            KEEP_SOURCE,
            [
                words::oifname_in(elements::BRIDGES),
                words::nfproto(&family),
                words::snat_to_itself(&family),
            ],
        );
    }
    for group in layout.groups.iter().filter(|group| group.keep_source) {
        for peers in group.peers() {
            // ip daddr @peers_kube4 snat ip to ip saddr
            let words = [
                words::daddr_in(&peers.any, &peers.set),
                words::snat_to_itself(&peers.any),
            ];
            batch.add_rule(TABLE, KEEP_SOURCE, words);
        }
    }
}

fn clear(batch: &mut Batch, layout: &Layout) {
    // type filter hook postrouting priority srcnat + 10; policy accept;
    batch.add_base_chain(TABLE, CLEAR, Hook::FilterPostrouting, CLEAR_PRIORITY);
    // meta mark & 0x10000000 != 0 meta mark set meta mark & 0xefffffff
    batch.add_rule(
        TABLE,
        CLEAR,
        [
            words::marked(layout.mark.bit()),
            words::keep_mark(layout.mark.others()),
        ],
    );
}
