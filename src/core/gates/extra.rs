//! Chains of the admin's own, `extra` of `[gates]` in the config.

use super::{
    Claim, Firewall, Says, Spot,
    chains::{Chain, Chains},
};
use crate::names::ChainName;

pub(super) struct Extra(pub(super) Vec<ChainName>);

/// Whether that is `base`, or a chain that it jumps to.
pub(super) fn leads(base: &Chain, name: &ChainName) -> bool {
    let is_jumped_to = || base.first_jump(|chain| chain == name.chain).is_some();
    *name == base.name || name.is_beside(&base.name) && is_jumped_to()
}

impl Firewall for Extra {
    fn owner(&self) -> &'static str {
        "admin"
    }

    fn inner(&self) -> Vec<ChainName> {
        self.0.clone()
    }

    fn claim(&self, base: &Chain, chains: &Chains) -> Option<Claim> {
        let chain = chains.get(self.0.iter().find(|name| leads(base, name))?)?;
        // At its head; a denial that the admin puts above it later keeps its word.
        let jump = chain.first_jump(|_| true);
        let first = jump.into_iter().chain(chain.end()).min();
        Some(Claim::Gate(Spot {
            chain: chain.name.clone(),
            says: Says::Accept,
            at: 0,
            above: first.unwrap_or(chain.length()),
        }))
    }
}
