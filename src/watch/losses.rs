//! Which losses of notifications to report: a program that causes one each minute fills no log.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// One line for all losses of a kind within this time.
const SILENCE: Duration = Duration::from_secs(600);

/// When a loss of each kind was last reported.
#[derive(Debug, Default)]
pub(super) struct Losses(BTreeMap<&'static str, Instant>);

impl Losses {
    /// Whether a loss of that kind is to be reported now.
    pub(super) fn is_to_report(&mut self, now: Instant, of: &'static str) -> bool {
        let is_recent = |last: &Instant| now.duration_since(*last) < SILENCE;
        if self.0.get(of).is_some_and(is_recent) {
            return false;
        }
        self.0.insert(of, now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_reported_once_in_a_while() {
        let start = Instant::now();
        let mut losses = Losses::default();
        assert!(losses.is_to_report(start, "rules"));
        assert!(!losses.is_to_report(start + SILENCE / 2, "rules"));
        assert!(losses.is_to_report(start + SILENCE / 2, "interfaces"));
        assert!(losses.is_to_report(start + SILENCE, "rules"));
        assert!(!losses.is_to_report(start + SILENCE, "rules"));
    }
}
