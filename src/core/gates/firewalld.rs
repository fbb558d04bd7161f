//! firewalld with its nftables backend. Its table belongs to the daemon (`flags owner`, since
//! 2.0) and is made anew at every reload, so a rule in it has no future.
//!
//! Between the zones that libvirt puts its bridges in, `libvirt` and `libvirt-routed`, it
//! lets everything pass (libvirt, src/network/libvirt.zone: target ACCEPT). What comes from
//! elsewhere needs a policy object: ours, from any zone to `libvirt`, has no rule of its own
//! and gets one at run time for each peer and each subnet that it may reach.

use ipnet::IpNet;

use super::{
    Claim, Firewall,
    chains::{Chain, Chains},
};

/// The rich rule that lets `peer` reach `subnet`; none where they are not of one family.
pub fn rich_rule(peer: IpNet, subnet: IpNet) -> Option<String> {
    let family = match (peer, subnet) {
        (IpNet::V4(_), IpNet::V4(_)) => "ipv4",
        (IpNet::V6(_), IpNet::V6(_)) => "ipv6",
        _ => return None,
    };
    Some(format!(
        "rule family=\"{family}\" source address=\"{peer}\" \
         destination address=\"{subnet}\" accept"
    ))
}

pub(super) struct Firewalld;

impl Firewall for Firewalld {
    fn owner(&self) -> &'static str {
        "firewalld"
    }

    fn claim(&self, base: &Chain, _: &Chains) -> Option<Claim> {
        (base.name.table == "firewalld").then_some(Claim::Passes)
    }
}
