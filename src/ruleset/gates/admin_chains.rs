//! The administrator's chains, which the config names in `extra` of `[gates]`.

use super::chain_model::Chain;
use virt_forward_policy::netfilter::ChainName;

/// Whether `name` is `base` itself or a chain that it jumps to.
pub(super) fn reaches(base: &Chain, name: &ChainName) -> bool {
    let is_jumped_to = || base.jumps_to(|chain| chain == name.chain);
    *name == base.name || name.is_beside(&base.name) && is_jumped_to()
}
