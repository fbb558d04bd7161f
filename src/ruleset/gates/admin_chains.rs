//! Chains of the administrator's own, `extra` of `[gates]` in the config.

use super::chain_model::Chain;
use virt_forward_policy::netfilter::ChainName;

/// Whether that is `base`, or a chain that it jumps to.
pub(super) fn leads(base: &Chain, name: &ChainName) -> bool {
    let is_jumped_to = || base.jumps_to(|chain| chain == name.chain);
    *name == base.name || name.is_beside(&base.name) && is_jumped_to()
}
