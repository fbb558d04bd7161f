//! The chains that every packet of a base chain reaches. A rule that refuses every packet is in one of
//! them, or in the base chain itself.
//!
//! The number of chains and rules that are read is bounded, so that an event costs about the same on
//! every host. A chain beyond the bounds counts as one that refuses some packets: a gate stands below
//! it, never above.

use std::collections::BTreeSet;

use super::chain_model::{Chain, Chains};
use virt_forward_policy::netfilter::ChainName;

/// The length up to which a chain is read. A longer chain is usually a list of single denials.
pub(super) const LONGEST: usize = 128;

/// The number of chains that are read below one base chain.
const MOST: usize = 64;

/// The number of nested jumps that the kernel follows (linux/netfilter/nf_tables.h,
/// `NFT_JUMP_STACK_SIZE`).
const DEEPEST: usize = 16;

/// The chains that every packet of a base chain reaches.
#[derive(Debug, Default)]
pub(super) struct Reach {
    /// Chains that have been read.
    pub(super) known: BTreeSet<ChainName>,
    /// Chains that have not been read.
    pub(super) missing: BTreeSet<ChainName>,
    /// Chains beyond the bounds.
    pub(super) beyond: BTreeSet<ChainName>,
}

impl Reach {
    /// The chains that `root` leads to, through chains that `follows` admits.
    pub(super) fn of(root: &Chain, chains: &Chains, follows: impl Fn(&ChainName) -> bool) -> Self {
        let mut reach = Self::default();
        let mut level = vec![root];
        for _ in 0..DEEPEST {
            let targets = level.iter().flat_map(|chain| targets(chain));
            let targets: Vec<_> = targets.filter(&follows).collect();
            level.clear();
            for name in targets {
                level.extend(reach.take(name, chains));
            }
        }
        for name in level.iter().flat_map(|chain| targets(chain)) {
            if follows(&name) && !reach.known.contains(&name) {
                reach.beyond.insert(name);
            }
        }
        reach.beyond.remove(&root.name);
        reach
    }

    /// Records the chain of that name, and returns it if its rules are to be followed.
    fn take<'a>(&mut self, name: ChainName, chains: &'a Chains) -> Option<&'a Chain> {
        if self.known.contains(&name) {
            return None;
        }
        if self.known.len() + self.missing.len() >= MOST {
            self.beyond.insert(name);
            return None;
        }
        match chains.get(&name) {
            None => self.missing.insert(name),
            Some(chain) if chain.length() > LONGEST => self.beyond.insert(name),
            Some(chain) => {
                self.known.insert(name);
                return Some(chain);
            }
        };
        None
    }
}

/// The chains that rules for every packet jump to.
fn targets(chain: &Chain) -> impl Iterator<Item = ChainName> {
    let rules = chain.foreign().filter(|rule| rule.is_for_all());
    rules.filter_map(|rule| Some(chain.name.beside(rule.target()?)))
}
