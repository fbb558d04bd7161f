//! Which losses of notifications to log: a program that causes one each minute does not fill the log.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// The minimum time between two lines about one source.
const LOG_INTERVAL: Duration = Duration::from_secs(600);

/// A source of notifications.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Source {
    /// Netfilter rules.
    Rules,
    /// Interfaces.
    Interfaces,
}

impl Source {
    /// The notified objects, as the log names them.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Rules => "rules",
            Self::Interfaces => "interfaces",
        }
    }
}

/// The time of the last line about each source.
#[derive(Debug, Default)]
pub(super) struct LostNotifications(BTreeMap<Source, Instant>);

impl LostNotifications {
    /// Records a loss; returns whether to log it.
    pub(super) fn record(&mut self, now: Instant, source: Source) -> bool {
        let is_recent = |last: &Instant| now.duration_since(*last) < LOG_INTERVAL;
        if self.0.get(&source).is_some_and(is_recent) {
            return false;
        }
        self.0.insert(source, now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_source_is_logged_once_in_a_while() {
        let start = Instant::now();
        let mut losses = LostNotifications::default();
        assert!(losses.record(start, Source::Rules));
        assert!(!losses.record(start + LOG_INTERVAL / 2, Source::Rules));
        assert!(losses.record(start + LOG_INTERVAL / 2, Source::Interfaces));
        assert!(losses.record(start + LOG_INTERVAL, Source::Rules));
        assert!(!losses.record(start + LOG_INTERVAL, Source::Rules));
    }
}
