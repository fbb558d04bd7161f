//! Which repairs to log, without a clock of its own: while a program reloads its rules, one object may need several
//! repairs, which make one line and a summary.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use virt_forward_reconcile::{Drift, Subject};

use crate::log_text;

/// A repair belongs to the one before it if it follows within this time.
const SERIES_GAP: Duration = Duration::from_secs(1);

/// A series of repairs.
#[derive(Debug, Default)]
pub(super) struct RepairLog {
    latest: Option<Instant>,
    /// The objects that a line has named.
    logged: BTreeSet<Subject>,
    /// The repairs of those alone, which no line has named yet.
    more: usize,
    subjects: BTreeSet<Subject>,
    actors: Vec<String>,
}

impl RepairLog {
    /// Takes note of the repair of `drift`, which may be none, after changes of rules by `actors`.
    /// Returns the lines to log now.
    pub(super) fn record(
        &mut self,
        now: Instant,
        drift: &[Drift],
        actors: &[String],
    ) -> Vec<String> {
        let mut lines = Vec::new();
        if self.latest.is_none_or(|latest| now - latest >= SERIES_GAP) {
            lines.extend(self.end());
        }
        if drift.is_empty() {
            return lines;
        }
        self.latest = Some(now);
        let subjects: BTreeSet<_> = drift.iter().map(Drift::subject).collect();
        if subjects.is_subset(&self.logged) {
            self.more += 1;
            self.subjects.extend(subjects);
            self.actors.extend_from_slice(actors);
        } else {
            self.logged.extend(subjects);
            lines.push(log_text::repaired(drift, actors));
        }
        lines
    }

    /// When the series may end with a summary, if it needs one.
    pub(super) fn due(&self) -> Option<Instant> {
        let latest = self.latest.filter(|_| self.more > 0)?;
        Some(latest + SERIES_GAP)
    }

    /// Ends the series; the summary of what no line has named.
    fn end(&mut self) -> Option<String> {
        let ended = std::mem::take(self);
        if ended.more == 0 {
            return None;
        }
        let subjects: Vec<_> = ended.subjects.into_iter().collect();
        Some(log_text::repaired_again(
            ended.more,
            &subjects,
            &ended.actors,
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_for_one_repair_and_one_for_all_that_follow() {
        let start = Instant::now();
        let mut repairs = RepairLog::default();
        let lines = repairs.record(start, &[Drift::TableMissing], &["nft[1]".to_owned()]);
        assert_eq!(
            lines,
            ["restored table inet virt_forward (removed by nft[1])"]
        );
        assert_eq!(repairs.due(), None);
        let mut now = start;
        for drift in [Drift::TableMissing, Drift::TableChanged]
            .into_iter()
            .cycle()
            .take(4)
        {
            now += SERIES_GAP / 2;
            let lines = repairs.record(now, &[drift], &["libvirtd[7]".to_owned()]);
            assert!(lines.is_empty());
        }
        assert!(repairs.record(now + SERIES_GAP / 2, &[], &[]).is_empty());
        let due = repairs.due().unwrap();
        assert_eq!(due, now + SERIES_GAP);
        let lines = repairs.record(due, &[], &[]);
        let expected =
            "repaired 4 more times: table inet virt_forward; rules changed by libvirtd[7]";
        assert_eq!(lines, [expected]);
        assert_eq!(repairs.due(), None);
        assert!(repairs.record(due + SERIES_GAP, &[], &[]).is_empty());
        let lines = repairs.record(due + SERIES_GAP, &[Drift::TableMissing], &[]);
        assert_eq!(lines, ["restored table inet virt_forward (removed)"]);
    }

    #[test]
    fn the_repair_of_another_object_is_logged_at_once() {
        let start = Instant::now();
        let mut repairs = RepairLog::default();
        let first = [Drift::ConfigChanged];
        let both = [Drift::ConfigChanged, Drift::RoutingChanged];
        assert_eq!(repairs.record(start, &first, &[]).len(), 1);
        let lines = repairs.record(start, &both, &[]);
        assert_eq!(
            lines,
            [
                "rebuilt table inet virt_forward (the configuration changed); rebuilt table inet \
                 virt_forward (the host's routes changed)"
            ]
        );
        assert!(repairs.record(start, &both[1..], &[]).is_empty());
    }
}
