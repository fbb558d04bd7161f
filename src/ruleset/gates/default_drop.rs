//! A policy of DROP, or a REJECT of every packet, in `FORWARD` of an iptables table: from the
//! administrator's script, firewalld's iptables backend or iptables-persistent. It also knows the chains
//! of programs that refuse only some packets there: Kubernetes and its networks.

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
