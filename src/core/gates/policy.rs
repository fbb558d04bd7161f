//! Anybody's policy DROP, or REJECT for all at the end, on `FORWARD` of an iptables table:
//! Docker's without its chain, firewalld's iptables backend, a script of the admin's.

use super::{
    Claim, Firewall, Spot,
    chains::{Chain, Chains},
};

pub(super) struct Policy;

impl Firewall for Policy {
    fn owner(&self) -> &'static str {
        "iptables"
    }

    fn claim(&self, base: &Chain, _: &Chains) -> Option<Claim> {
        let is_ours_to_open = base.name.is_of_iptables() && base.refuses_by_default();
        // What a chain refuses that it jumps to is not known; what single rules above refuse
        // is an admin's word.
        is_ours_to_open.then(|| {
            let jump = base.first_jump(|_| true);
            let first = jump.into_iter().chain(base.end()).min();
            Claim::Gate(Spot::before(base, first.unwrap_or(base.length())))
        })
    }

    fn gives_way(&self) -> bool {
        true
    }
}
