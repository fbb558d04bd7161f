//! firewalld with its nftables backend. Its table belongs to the daemon (`flags owner`, since
//! 2.0) and is made anew at every reload, so a rule in it has no future.
//!
//! Between the zones that libvirt puts its bridges in, `libvirt` and `libvirt-routed`, it
//! lets everything pass (libvirt, src/network/libvirt.zone: target ACCEPT). What comes from
//! elsewhere needs a policy object.

use super::{
    Claim, Firewall,
    chains::{Chain, Chains},
};

pub(super) struct Firewalld;

impl Firewall for Firewalld {
    fn owner(&self) -> &'static str {
        "firewalld"
    }

    fn claim(&self, base: &Chain, _: &Chains) -> Option<Claim> {
        (base.name.table == "firewalld").then_some(Claim::Passes)
    }
}
