//! The whole table, for any number of networks the same chains and rules.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{
    Layout, Member, TABLE, elements, group_set,
    words::{self, Batch, Hook, Kind},
};

/// Before every chain that people put at `filter` (0), so that the mark is there for all.
const FORWARD_PRIORITY: i32 = -10;
/// Before libvirt's masquerade at `srcnat` (100): the first translation binds.
const KEEP_SOURCE_PRIORITY: i32 = 90;
/// After everything that may want to see the mark.
const CLEAR_PRIORITY: i32 = 110;

const FORWARD: &str = "forward";
const FROM_BRIDGE: &str = "from_bridge";
const OPEN: &str = "open";
const KEEP_SOURCE: &str = "keep_source";
const CLEAR: &str = "clear";

const IPV4: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
const IPV6: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED);

/// Replaces the table by one with `members`.
///
/// `add` before `delete`, as a delete of what is not there fails; all in one transaction,
/// so that no packet sees a table that is half built.
pub fn whole(batch: &mut Batch, layout: &Layout, members: &[Member]) {
    none(batch);
    batch.add_table(TABLE);
    sets(batch, layout, members);
    open(batch, layout);
    from_bridge(batch, layout);
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
    let subnets4 = members.iter().flat_map(elements::subnets4).collect();
    batch.add_set(TABLE, elements::SUBNETS4, Kind::InterfaceSubnet4, subnets4);
    let subnets6 = members.iter().flat_map(elements::subnets6).collect();
    batch.add_set(TABLE, elements::SUBNETS6, Kind::InterfaceSubnet6, subnets6);
    for group in &layout.groups {
        let of_group = members
            .iter()
            .filter(|member| member.groups.contains(group));
        let bridges = of_group.map(|member| words::interface(&member.bridge));
        batch.add_set(TABLE, &group_set(group), Kind::Interface, bridges.collect());
    }
}

fn open(batch: &mut Batch, layout: &Layout) {
    batch.add_chain(TABLE, OPEN);
    // meta mark set meta mark | 0x10000000 counter
    batch.add_rule(
        TABLE,
        OPEN,
        [words::set_mark(layout.mark.bit()), words::counter()],
    );
}

fn from_bridge(batch: &mut Batch, layout: &Layout) {
    batch.add_chain(TABLE, FROM_BRIDGE);
    for (family, set) in [(IPV4, elements::SUBNETS4), (IPV6, elements::SUBNETS6)] {
        // meta nfproto ipv4 iifname . ip saddr != @subnets4 return
        // meta nfproto ipv6 iifname . ip6 saddr != @subnets6 return
        batch.add_rule(
            TABLE,
            FROM_BRIDGE,
            [
                words::nfproto(&family),
                words::iifname_saddr_not_in(&family, set),
                words::ret(),
            ],
        );
    }
    for group in &layout.groups {
        // iifname @group_kube oifname @group_kube goto open
        let set = group_set(group);
        batch.add_rule(
            TABLE,
            FROM_BRIDGE,
            [
                words::iifname_in(&set),
                words::oifname_in(&set),
                words::goto(OPEN),
            ],
        );
    }
}

fn forward(batch: &mut Batch, layout: &Layout) {
    // type filter hook forward priority filter - 10; policy accept;
    batch.add_base_chain(TABLE, FORWARD, Hook::FilterForward, FORWARD_PRIORITY);
    // meta mark set meta mark & 0xefffffff
    batch.add_rule(TABLE, FORWARD, [words::keep_mark(layout.mark.others())]);
    // iifname @bridges jump from_bridge
    batch.add_rule(
        TABLE,
        FORWARD,
        [
            words::iifname_in(elements::BRIDGES),
            words::jump(FROM_BRIDGE),
        ],
    );
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
