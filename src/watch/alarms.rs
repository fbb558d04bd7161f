//! What to warn of, and when, as values: while a firewall reloads itself, it may refuse everything
//! for a moment.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use virt_forward_policy::netfilter::ChainName;

/// What stands in the way for this long is warned of.
const LONG: Duration = Duration::from_secs(3);

/// firewalld refuses everything by a table of its own while it reloads; and in panic mode, which is
/// worth a warning.
const RELOADING: &str = "firewalld_policy_drop";
const RELOADS: Duration = Duration::from_secs(60);

/// The chains that refuse what is open.
#[derive(Debug, Default)]
pub(super) struct Alarms {
    since: BTreeMap<ChainName, Instant>,
    raised: BTreeSet<ChainName>,
}

impl Alarms {
    /// These refuse now, and no others. Which of them to warn of.
    pub(super) fn see(&mut self, now: Instant, chains: BTreeSet<ChainName>) -> Vec<ChainName> {
        self.raised.retain(|chain| chains.contains(chain));
        self.since.retain(|chain, _| chains.contains(chain));
        for chain in chains {
            self.since.entry(chain).or_insert(now);
        }
        let is_due = |(chain, since): &(&ChainName, &Instant)| {
            !self.raised.contains(chain) && due(chain, **since) <= now
        };
        let new: Vec<_> = self
            .since
            .iter()
            .filter(is_due)
            .map(|(chain, _)| chain.clone())
            .collect();
        self.raised.extend(new.iter().cloned());
        new
    }

    /// When to look again, if anything may have to be warned of then.
    pub(super) fn due(&self) -> Option<Instant> {
        let quiet = self
            .since
            .iter()
            .filter(|(chain, _)| !self.raised.contains(chain));
        quiet.map(|(chain, since)| due(chain, *since)).min()
    }
}

fn due(chain: &ChainName, since: Instant) -> Instant {
    match chain.table == RELOADING {
        true => since + RELOADS,
        false => since + LONG,
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
    fn what_stays_is_warned_of_once() {
        let start = Instant::now();
        let mut alarms = Alarms::default();
        assert!(alarms.see(start, of(&["filter"])).is_empty());
        assert_eq!(alarms.due(), Some(start + LONG));
        assert_eq!(alarms.see(start + LONG, of(&["filter"])), [chain("filter")]);
        assert_eq!(alarms.due(), None);
        assert!(alarms.see(start + 2 * LONG, of(&["filter"])).is_empty());
        // It goes, and comes again.
        alarms.see(start + 3 * LONG, of(&[]));
        alarms.see(start + 4 * LONG, of(&["filter"]));
        assert_eq!(alarms.see(start + 5 * LONG, of(&["filter"])).len(), 1);
    }

    #[test]
    fn a_reload_of_firewalld_is_no_alarm_and_panic_mode_is() {
        let start = Instant::now();
        let mut alarms = Alarms::default();
        alarms.see(start, of(&[RELOADING]));
        assert!(alarms.see(start + RELOADS / 2, of(&[RELOADING])).is_empty());
        assert_eq!(alarms.see(start + RELOADS, of(&[RELOADING])).len(), 1);
    }
}
