//! ufw: jumps to its chains in `filter FORWARD`, and the policy of that chain, DROP by default, or a
//! `reject` of every packet in `ufw-reject-forward`.
//!
//! The gate is not inside ufw's chains, because `ufw reload` rebuilds them. ufw appends its jumps once
//! (src/ufw-init-functions). Chains with the administrator's rules (`ufw route deny`, before.rules and
//! after.rules) stay above the gate; chains that log or reject the remaining packets stay below it.

use super::{Firewall, Own, Owner, chain_model::Chain};
use virt_forward_policy::netfilter::ChainName;

pub(super) struct Ufw;

fn is_ufws(chain: &str) -> bool {
    chain.starts_with("ufw-") || chain.starts_with("ufw6-")
}

impl Firewall for Ufw {
    fn owner(&self) -> Owner {
        Owner::Ufw
    }

    fn is_in(&self, base: &Chain) -> bool {
        base.name.is_of_iptables() && base.jumps_to(is_ufws)
    }

    fn own(&self, name: &ChainName) -> Option<Own> {
        (is_ufws(&name.chain) && name.is_of_iptables()).then_some(Own::Kept)
    }
}
