//! The set elements of a network: a network that starts or stops changes elements and no rule.
//!
//! Input: a [`Member`]. Output: its elements as nft commands, or in the kernel's form
//! ([`elements_of`](super::set_keys::elements_of)).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::{
    Member, TABLE,
    expr::{
        Batch, Expression, SetKeyType, interface, interface_address, interface_pair,
        interface_subnet, with_comment,
    },
    set_keys::{Element, elements_of},
};

pub(super) const BRIDGES: &str = "bridges";
/// Each bridge paired with itself, for packets that leave by the bridge that they arrived on.
pub(super) const SAME_BRIDGE: &str = "same_bridge";

/// A set of subnets, each concatenated with the bridge it belongs to.
pub(super) struct SubnetSet {
    /// The name of the set.
    pub(super) set: &'static str,
    /// The suffix of such sets of a group.
    suffix: &'static str,
    /// The type of the keys.
    pub(super) kind: SetKeyType,
    /// The mask of the subnets, where they all have the same one; otherwise `0.0.0.0` or `::`, which
    /// stand for the family.
    pub(super) mask: IpAddr,
}

/// The sets, in the order in which a packet is looked up in them.
///
/// To remove an interval the kernel walks the set: 25 ms with a thousand elements
/// (net/netfilter/nft_set_pipapo.c, `nft_pipapo_remove`). The prefix lengths that nearly every
/// network has are therefore plain addresses in sets of their own.
pub(super) const SUBNETS: [SubnetSet; 4] = [
    SubnetSet {
        set: "subnets4_24",
        suffix: "4_24",
        kind: SetKeyType::InterfaceAddress4,
        mask: IpAddr::V4(Ipv4Addr::new(255, 255, 255, 0)),
    },
    SubnetSet {
        set: "subnets6_64",
        suffix: "6_64",
        kind: SetKeyType::InterfaceAddress6,
        mask: IpAddr::V6(Ipv6Addr::new(0xffff, 0xffff, 0xffff, 0xffff, 0, 0, 0, 0)),
    },
    SubnetSet {
        set: "subnets4",
        suffix: "4",
        kind: SetKeyType::InterfaceSubnet4,
        mask: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
    },
    SubnetSet {
        set: "subnets6",
        suffix: "6",
        kind: SetKeyType::InterfaceSubnet6,
        mask: IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    },
];

impl SubnetSet {
    /// Whether all subnets of the set have the same mask.
    pub(super) fn is_masked(&self) -> bool {
        !self.mask.is_unspecified()
    }

    /// The name of such a set for the members of a group; `None` for the sets of intervals, which
    /// groups do not have.
    pub(super) fn of_group(&self, group: &str) -> Option<String> {
        let name = || format!("members_{group}{}", self.suffix);
        self.is_masked().then(name)
    }

    /// The elements of `member` in the set of a group: `"virbr_kube02" . 10.17.3.0`.
    pub(super) fn of_member(&self, member: &Member) -> Vec<Expression> {
        self.subnets_of(member)
            .map(|net| interface_address(&member.bridge, net.addr()))
            .collect()
    }

    /// The elements of `member` in the set, each with the network's name as a comment:
    /// `"virbr_kube02" . 10.17.3.0 comment "kube02"`.
    pub(super) fn of(&self, member: &Member) -> Vec<Expression> {
        let element = |net: &IpNet| {
            if self.is_masked() {
                interface_address(&member.bridge, net.addr())
            } else {
                interface_subnet(&member.bridge, *net)
            }
        };
        self.subnets_of(member)
            .map(|net| with_comment(element(net), &member.name))
            .collect()
    }

    /// The subnets of `member` that belong in this set.
    fn subnets_of<'m>(&'m self, member: &'m Member) -> impl Iterator<Item = &'m IpNet> {
        let subnets = member.subnets.iter();
        subnets.filter(|net| set_of(net).set == self.set)
    }
}

/// The set that `net` belongs in.
pub(super) fn set_of(net: &IpNet) -> &'static SubnetSet {
    let [subnets4_24, subnets6_64, subnets4, subnets6] = &SUBNETS;
    match (net, net.prefix_len()) {
        (IpNet::V4(_), 24) => subnets4_24,
        (IpNet::V4(_), _) => subnets4,
        (IpNet::V6(_), 64) => subnets6_64,
        (IpNet::V6(_), _) => subnets6,
    }
}

/// Networks that are added to the table and removed from it, in order.
#[derive(Clone, Debug, Default)]
pub struct ElementChanges(Vec<(Op, Member)>);

/// An operation on elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// Adds the elements; one that exists already is no error.
    Add,
    /// Deletes the elements; if one does not exist, the whole transaction fails.
    Delete,
}

impl ElementChanges {
    /// Adds a network.
    pub fn add(&mut self, member: Member) {
        self.0.push((Op::Add, member));
    }

    /// Adds networks.
    pub fn extend(&mut self, members: impl IntoIterator<Item = Member>) {
        members.into_iter().for_each(|member| self.add(member));
    }

    /// Removes a network.
    pub fn remove(&mut self, member: Member) {
        self.0.push((Op::Delete, member));
    }

    /// Adds the changes to `batch`, as commands for nft.
    pub fn in_batch(&self, batch: &mut Batch) {
        for (verb, member) in &self.0 {
            match verb {
                Op::Add => add(batch, member),
                Op::Delete => remove(batch, member),
            }
        }
    }

    /// The changes as elements in the kernel's form.
    pub fn elements(&self) -> Vec<(Op, Element)> {
        let all = self.0.iter();
        let each = all.flat_map(|(verb, member)| {
            let elements = elements_of(member).into_iter();
            elements.map(|element| (*verb, element))
        });
        each.collect()
    }
}

/// Adds the commands that add `member` to a table of the same layout. Elements that exist already
/// are no error.
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

/// Adds the commands that remove `member`. nft refuses the transaction if an element does not exist.
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

/// The sets of subnets of the groups that `member` is in, with the elements of `member`.
fn sets_of_groups(member: &Member) -> impl Iterator<Item = (String, Vec<Expression>)> {
    let groups = member.groups.iter();
    groups.flat_map(move |group| {
        let sets = SUBNETS.iter();
        sets.filter_map(move |subnets| Some((subnets.of_group(group)?, subnets.of_member(member))))
    })
}

/// `"virbr_kube02" comment "kube02"`
pub(super) fn bridge(member: &Member) -> Expression {
    with_comment(interface(&member.bridge), &member.name)
}

/// `"virbr_kube02" . "virbr_kube02"`
pub(super) fn same_bridge(member: &Member) -> Expression {
    interface_pair(&member.bridge, &member.bridge)
}
