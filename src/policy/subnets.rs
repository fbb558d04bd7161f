//! Relations between subnets.

use ipnet::IpNet;

/// The addresses that two subnets have in common.
pub(crate) fn intersection(a: &IpNet, b: &IpNet) -> Option<IpNet> {
    if a.contains(b) {
        Some(*b)
    } else if b.contains(a) {
        Some(*a)
    } else {
        None
    }
}

/// Whether two subnets have addresses in common.
pub fn overlap(a: &IpNet, b: &IpNet) -> bool {
    intersection(a, b).is_some()
}
