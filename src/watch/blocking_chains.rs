//! When to warn of chains that block allowed traffic, without a clock of its own: while a firewall
//! reloads itself, it may drop everything for a moment.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use virt_forward_policy::netfilter::ChainName;

/// A chain that blocks for this long deserves a warning.
const WARNING_DELAY: Duration = Duration::from_secs(3);

/// firewalld drops everything by a table of its own while it reloads, and in panic mode, which
/// deserves a warning.
const FIREWALLD_RELOAD_TABLE: &str = "firewalld_policy_drop";
const FIREWALLD_RELOAD_DELAY: Duration = Duration::from_secs(60);

/// The chains that block allowed traffic.
#[derive(Debug, Default)]
pub(super) struct BlockingChains {
    since: BTreeMap<ChainName, Instant>,
    warned: BTreeSet<ChainName>,
}

impl BlockingChains {
    /// Replaces the blocking chains; returns those to warn of.
    pub(super) fn update(&mut self, now: Instant, chains: BTreeSet<ChainName>) -> Vec<ChainName> {
        self.warned.retain(|chain| chains.contains(chain));
        self.since.retain(|chain, _| chains.contains(chain));
        for chain in chains {
            self.since.entry(chain).or_insert(now);
        }
        let is_due = |(chain, since): &(&ChainName, &Instant)| {
            !self.warned.contains(chain) && due(chain, **since) <= now
        };
        let new: Vec<_> = self
            .since
            .iter()
            .filter(is_due)
            .map(|(chain, _)| chain.clone())
            .collect();
        self.warned.extend(new.iter().cloned());
        new
    }

    /// When the next check is due, if it may lead to a warning.
    pub(super) fn due(&self) -> Option<Instant> {
        let quiet = self
            .since
            .iter()
            .filter(|(chain, _)| !self.warned.contains(chain));
        quiet.map(|(chain, since)| due(chain, *since)).min()
    }
}

fn due(chain: &ChainName, since: Instant) -> Instant {
    match chain.table == FIREWALLD_RELOAD_TABLE {
        true => since + FIREWALLD_RELOAD_DELAY,
        false => since + WARNING_DELAY,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use virt_forward_policy::netfilter::Family;

    fn chain(table: &str) -> ChainName {
        ChainName::nft(Family::Inet, table, "filter_FORWARD")
    }

    fn of(tables: &[&str]) -> BTreeSet<ChainName> {
        tables.iter().map(|table| chain(table)).collect()
    }

    #[test]
    fn a_chain_that_keeps_blocking_leads_to_one_warning() {
        let start = Instant::now();
        let mut chains = BlockingChains::default();
        assert!(chains.update(start, of(&["filter"])).is_empty());
        assert_eq!(chains.due(), Some(start + WARNING_DELAY));
        assert_eq!(
            chains.update(start + WARNING_DELAY, of(&["filter"])),
            [chain("filter")]
        );
        assert_eq!(chains.due(), None);
        assert!(
            chains
                .update(start + 2 * WARNING_DELAY, of(&["filter"]))
                .is_empty()
        );
        // It stops blocking, and blocks again.
        chains.update(start + 3 * WARNING_DELAY, of(&[]));
        chains.update(start + 4 * WARNING_DELAY, of(&["filter"]));
        assert_eq!(
            chains
                .update(start + 5 * WARNING_DELAY, of(&["filter"]))
                .len(),
            1
        );
    }

    #[test]
    fn a_reload_of_firewalld_leads_to_no_warning_and_panic_mode_does() {
        let start = Instant::now();
        let mut chains = BlockingChains::default();
        chains.update(start, of(&[FIREWALLD_RELOAD_TABLE]));
        assert!(
            chains
                .update(
                    start + FIREWALLD_RELOAD_DELAY / 2,
                    of(&[FIREWALLD_RELOAD_TABLE])
                )
                .is_empty()
        );
        assert_eq!(
            chains
                .update(
                    start + FIREWALLD_RELOAD_DELAY,
                    of(&[FIREWALLD_RELOAD_TABLE])
                )
                .len(),
            1
        );
    }
}
