//! The text of rules, looked up by handle.

use std::collections::BTreeMap;

use crate::Result;
use crate::{
    deadline::Deadline,
    exec::{iptables, nft},
    netlink::trace::Place,
};

/// The rules of a chain as shown by the program that manages its table: iptables for a table of its
/// own that it still accepts, else nft.
pub fn rule_texts(chain: &Place, deadline: Deadline) -> Result<BTreeMap<u64, String>> {
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
