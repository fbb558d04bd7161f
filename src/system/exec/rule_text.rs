//! The text of rules, by the handles that the kernel gives them.

use std::collections::BTreeMap;

use crate::Result;
use crate::{
    deadline::Deadline,
    exec::{iptables, nft},
    netlink::trace::Place,
};

/// The rules of a chain as the program shows them that people change that table with: nft, or
/// where the table is iptables' own, that, as long as it takes it for its own.
pub fn texts(chain: &Place, deadline: Deadline) -> Result<BTreeMap<u64, String>> {
    let mut rules = nft::rules(chain, deadline)?;
    if let Some(chain) = chain.routed()
        && chain.is_of_iptables()
        && let Ok(shown) = iptables::rules(&chain, deadline)
        && shown.len() == rules.len()
    {
        for (rule, shown) in rules.iter_mut().zip(shown) {
            rule.1 = shown;
        }
    }
    Ok(rules.into_iter().collect())
}
