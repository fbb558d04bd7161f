//! One network more, or one less: elements of the sets, no rule.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::{
    Member, TABLE,
    expr::{
        Batch, Kind, Value, interface, interface_address, interface_pair, interface_subnet,
        with_comment,
    },
    set_keys::{Element, elements_of},
};

pub(super) const BRIDGES: &str = "bridges";
/// Each bridge with itself: packets that leave by the bridge they came in by.
pub(super) const SAME_BRIDGE: &str = "same_bridge";

/// A set of subnets, each with the bridge it belongs to.
pub(super) struct Subnets {
    /// Its name.
    pub(super) set: &'static str,
    /// What the names of such sets end in.
    suffix: &'static str,
    /// What its elements are.
    pub(super) kind: Kind,
    /// The mask of its subnets where they all have the same; else `0.0.0.0` or `::`, for the
    /// family alone.
    pub(super) mask: IpAddr,
}

/// The sets, in the order in which a packet is looked up in them.
///
/// The kernel finds an interval by walking the set when it takes one out: some 25 us for each
/// element, 25 ms with a thousand (net/netfilter/nft_set_pipapo.c, `nft_pipapo_remove`). So
/// the prefix lengths that nearly every network has are kept as plain addresses.
pub(super) const SUBNETS: [Subnets; 4] = [
    Subnets {
        set: "subnets4_24",
        suffix: "4_24",
        kind: Kind::InterfaceAddress4,
        mask: IpAddr::V4(Ipv4Addr::new(255, 255, 255, 0)),
    },
    Subnets {
        set: "subnets6_64",
        suffix: "6_64",
        kind: Kind::InterfaceAddress6,
        mask: IpAddr::V6(Ipv6Addr::new(0xffff, 0xffff, 0xffff, 0xffff, 0, 0, 0, 0)),
    },
    Subnets {
        set: "subnets4",
        suffix: "4",
        kind: Kind::InterfaceSubnet4,
        mask: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
    },
    Subnets {
        set: "subnets6",
        suffix: "6",
        kind: Kind::InterfaceSubnet6,
        mask: IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    },
];

impl Subnets {
    /// Whether all its subnets have the same mask.
    pub(super) fn is_masked(&self) -> bool {
        !self.mask.is_unspecified()
    }

    /// The set of those of them that belong to members of a group; none where they are of many
    /// lengths.
    pub(super) fn of_group(&self, group: &str) -> Option<String> {
        let name = || format!("members_{group}{}", self.suffix);
        self.is_masked().then(name)
    }

    /// The elements of `member` in the set of a group: `"virbr_kube02" . 10.17.3.0`.
    pub(super) fn of_member(&self, member: &Member) -> Vec<Value> {
        self.subnets_of(member)
            .map(|net| interface_address(&member.bridge, net.addr()))
            .collect()
    }

    /// The elements of `member` in it, each with the network's name:
    /// `"virbr_kube02" . 10.17.3.0 comment "kube02"`.
    pub(super) fn of(&self, member: &Member) -> Vec<Value> {
        let element = |net: &IpNet| match self.is_masked() {
            true => interface_address(&member.bridge, net.addr()),
            false => interface_subnet(&member.bridge, *net),
        };
        self.subnets_of(member)
            .map(|net| with_comment(element(net), &member.name))
            .collect()
    }

    /// The subnets of `member` that go to it.
    fn subnets_of<'m>(&'m self, member: &'m Member) -> impl Iterator<Item = &'m IpNet> {
        let subnets = member.subnets.iter();
        subnets.filter(|net| set_of(net).set == self.set)
    }
}

/// The set that `net` goes to.
pub(super) fn set_of(net: &IpNet) -> &'static Subnets {
    let [subnets4_24, subnets6_64, subnets4, subnets6] = &SUBNETS;
    match (net, net.prefix_len()) {
        (IpNet::V4(_), 24) => subnets4_24,
        (IpNet::V4(_), _) => subnets4,
        (IpNet::V6(_), 64) => subnets6_64,
        (IpNet::V6(_), _) => subnets6,
    }
}

/// Networks more and networks less, in this order.
#[derive(Clone, Debug, Default)]
pub struct Changes(Vec<(Verb, Member)>);

/// What is done with elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// They are put in; one that is there already does no harm.
    Add,
    /// They are taken out; if one is not there, nothing is done at all.
    Delete,
}

impl Changes {
    /// That network more.
    pub fn add(&mut self, member: Member) {
        self.0.push((Verb::Add, member));
    }

    /// Those networks more.
    pub fn extend(&mut self, members: impl IntoIterator<Item = Member>) {
        members.into_iter().for_each(|member| self.add(member));
    }

    /// That network less.
    pub fn remove(&mut self, member: Member) {
        self.0.push((Verb::Delete, member));
    }

    /// For nft.
    pub fn in_batch(&self, batch: &mut Batch) {
        for (verb, member) in &self.0 {
            match verb {
                Verb::Add => add(batch, member),
                Verb::Delete => remove(batch, member),
            }
        }
    }

    /// For the kernel.
    pub fn elements(&self) -> Vec<(Verb, Element)> {
        let all = self.0.iter();
        let each = all.flat_map(|(verb, member)| {
            let elements = elements_of(member).into_iter();
            elements.map(|element| (*verb, element))
        });
        each.collect()
    }
}

/// What puts `member` into a table of the same layout. Elements that are there already do
/// no harm.
pub fn add(batch: &mut Batch, member: &Member) {
    batch.add_elements(TABLE, BRIDGES, vec![bridge(member)]);
    batch.add_elements(TABLE, SAME_BRIDGE, vec![same_bridge(member)]);
    for subnets in &SUBNETS {
        batch.add_elements(TABLE, subnets.set, subnets.of(member));
    }
    for set in member.bridge_sets() {
        batch.add_elements(TABLE, set, vec![interface(&member.bridge)]);
    }
    for (set, elements) in sets_of_groups(member) {
        batch.add_elements(TABLE, &set, elements);
    }
}

/// What takes `member` out. nft refuses all of it if one element is not there.
pub fn remove(batch: &mut Batch, member: &Member) {
    for (set, elements) in sets_of_groups(member) {
        batch.delete_elements(TABLE, &set, elements);
    }
    for set in member.bridge_sets() {
        batch.delete_elements(TABLE, set, vec![interface(&member.bridge)]);
    }
    for subnets in &SUBNETS {
        batch.delete_elements(TABLE, subnets.set, subnets.of(member));
    }
    batch.delete_elements(TABLE, SAME_BRIDGE, vec![same_bridge(member)]);
    batch.delete_elements(TABLE, BRIDGES, vec![bridge(member)]);
}

/// The sets of subnets of the groups that `member` is in, and its elements there.
fn sets_of_groups(member: &Member) -> impl Iterator<Item = (String, Vec<Value>)> {
    let groups = member.groups.iter();
    groups.flat_map(move |group| {
        let sets = SUBNETS.iter();
        sets.filter_map(move |subnets| Some((subnets.of_group(group)?, subnets.of_member(member))))
    })
}

/// `"virbr_kube02" comment "kube02"`
pub(super) fn bridge(member: &Member) -> Value {
    with_comment(interface(&member.bridge), &member.name)
}

/// `"virbr_kube02" . "virbr_kube02"`
pub(super) fn same_bridge(member: &Member) -> Value {
    interface_pair(&member.bridge, &member.bridge)
}
