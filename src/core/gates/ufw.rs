//! ufw: jumps to its chains in `filter FORWARD`, and a policy there, DROP by default.
//!
//! Not inside its chains: `ufw reload` fills them anew. The jumps it adds once, at the end
//! (src/ufw-init-functions), and so does no harm to what is above. First come those to the
//! chains with the user's own rules, whose denials (`ufw route deny`) keep their word; then
//! those to what logs and refuses the rest.

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
        let refuses = ["ufw-after-", "ufw6-after-", "ufw-reject-", "ufw6-reject-"];
        let jump = base.first_jump(|chain| refuses.iter().any(|name| chain.starts_with(name)));
        let jump = jump.filter(|_| base.name.is_of_iptables())?;
        Some(Claim::Gate(Spot::before(base, jump)))
    }
}
