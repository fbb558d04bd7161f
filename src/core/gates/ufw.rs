//! ufw: jumps to its chains in `filter FORWARD`, and a policy there, DROP by default.
//!
//! Not inside its chains: `ufw reload` fills them anew. The jumps it adds once, at the end
//! (src/ufw-init-functions), and so does no harm to what is above.

use super::{
    Claim, Firewall, Spot,
    chains::{Chain, Chains},
};

pub(super) struct Ufw;

impl Firewall for Ufw {
    fn owner(&self) -> &'static str {
        "ufw"
    }

    fn claim(&self, base: &Chain, _: &Chains) -> Option<Claim> {
        let is_ufws = |chain: &str| chain.starts_with("ufw-") || chain.starts_with("ufw6-");
        let jump = base.first_jump(is_ufws);
        let jump = jump.filter(|_| base.name.is_of_iptables())?;
        Some(Claim::Gate(Spot::before(base, jump)))
    }
}
