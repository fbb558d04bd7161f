//! ufw: jumps to its chains in `filter FORWARD`, and a policy there, DROP by default; or a
//! rejection of all in `ufw-reject-forward`.
//!
//! Not inside its chains: `ufw reload` fills them anew. The jumps it adds once, at the end
//! (src/ufw-init-functions). Chains with the user's rules (`ufw route deny`, before.rules and
//! after.rules) stay above the gate; what only logs the rest as blocked, and what rejects it,
//! below.

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
