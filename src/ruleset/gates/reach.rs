//! The chains that every packet of a base chain comes to: what can refuse everything is there, or
//! in the base chain itself.
//!
//! How much is read is bounded, as an event's cost is to be the same on every host. What is
//! beyond the bounds counts as a chain that refuses some packets: a gate stands below it, never
//! above.

use std::collections::BTreeSet;

use super::chain_model::{Chain, Chains};
use virt_forward_policy::netfilter::ChainName;

/// A longer chain is a list of single denials, or as good as one: it is not judged.
pub(super) const LONGEST: usize = 128;

/// So many chains are judged below one base chain.
const MOST: usize = 64;

/// The kernel follows no more jumps (linux/netfilter/nf_tables.h, `NFT_JUMP_STACK_SIZE`).
const DEEPEST: usize = 16;

/// What a base chain leads every packet to.
#[derive(Debug, Default)]
pub(super) struct Reach {
    /// Chains that can be judged.
    pub(super) known: BTreeSet<ChainName>,
    /// Chains that nobody has read yet.
    pub(super) missing: BTreeSet<ChainName>,
    /// Chains beyond the bounds.
    pub(super) beyond: BTreeSet<ChainName>,
}

impl Reach {
    /// Those of `root`; only chains that `follows` names are looked into.
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
        let deeper = level.iter().flat_map(|chain| targets(chain));
        let deeper = deeper.filter(|name| follows(name) && !reach.known.contains(name));
        reach.beyond.extend(deeper.collect::<Vec<_>>());
        reach.beyond.remove(&root.name);
        reach
    }

    /// The chain of that name, where it is one to look into.
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

/// Where rules for all packets lead.
fn targets(chain: &Chain) -> impl Iterator<Item = ChainName> {
    let rules = chain.foreign().filter(|rule| rule.is_for_all());
    rules.filter_map(|rule| Some(chain.name.beside(rule.target()?)))
}
