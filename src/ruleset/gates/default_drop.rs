//! Anybody's policy DROP, or REJECT for all, on `FORWARD` of an iptables table: an administrator's
//! script, firewalld's iptables backend, iptables-persistent. And the programs that fill chains
//! there and refuse only some packets: Kubernetes and its networks.

use super::{Firewall, Own, Owner, chain_model::Chain};
use virt_forward_policy::netfilter::ChainName;

pub(super) struct Policy;

impl Firewall for Policy {
    fn owner(&self) -> Owner {
        Owner::Iptables
    }

    fn is_in(&self, base: &Chain) -> bool {
        base.name.is_of_iptables()
    }

    fn own(&self, name: &ChainName) -> Option<Own> {
        let filled = ["FORWARD_", "KUBE-", "cali-", "CNI-", "CILIUM_", "FLANNEL-"];
        let is_filled = filled.iter().any(|prefix| name.chain.starts_with(prefix));
        (is_filled && name.is_of_iptables()).then_some(Own::Kept)
    }
}
