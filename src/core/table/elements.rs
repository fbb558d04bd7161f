//! One network more, or one less: elements of the sets, no rule.

use ipnet::IpNet;

use super::{
    Member, TABLE, group_set,
    words::{Batch, Value, interface, interface_subnet, with_comment},
};

pub(super) const BRIDGES: &str = "bridges";
pub(super) const SUBNETS4: &str = "subnets4";
pub(super) const SUBNETS6: &str = "subnets6";

/// What opens `member` in a table of the same layout. Elements that are there already do
/// no harm.
pub fn add(batch: &mut Batch, member: &Member) {
    batch.add_elements(TABLE, BRIDGES, vec![bridge(member)]);
    batch.add_elements(TABLE, SUBNETS4, subnets4(member));
    batch.add_elements(TABLE, SUBNETS6, subnets6(member));
    for group in &member.groups {
        batch.add_elements(TABLE, &group_set(group), vec![interface(&member.bridge)]);
    }
}

/// What closes `member`. nft refuses all of it if one element is not there.
pub fn remove(batch: &mut Batch, member: &Member) {
    for group in &member.groups {
        batch.delete_elements(TABLE, &group_set(group), vec![interface(&member.bridge)]);
    }
    batch.delete_elements(TABLE, SUBNETS6, subnets6(member));
    batch.delete_elements(TABLE, SUBNETS4, subnets4(member));
    batch.delete_elements(TABLE, BRIDGES, vec![bridge(member)]);
}

/// `"virbr_kube02" comment "kube02"`
pub(super) fn bridge(member: &Member) -> Value {
    with_comment(interface(&member.bridge), &member.name)
}

/// `"virbr_kube02" . 10.17.3.0/24 comment "kube02"`
pub(super) fn subnets4(member: &Member) -> Vec<Value> {
    let nets = member.subnets4.iter();
    nets.map(|net| subnet(member, IpNet::V4(*net))).collect()
}

/// `"virbr_kube02" . fd00:10:17:3::/64 comment "kube02"`
pub(super) fn subnets6(member: &Member) -> Vec<Value> {
    let nets = member.subnets6.iter();
    nets.map(|net| subnet(member, IpNet::V6(*net))).collect()
}

fn subnet(member: &Member, net: IpNet) -> Value {
    with_comment(interface_subnet(&member.bridge, net), &member.name)
}
