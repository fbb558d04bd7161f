//! Debouncing and back-off, without a clock of its own: changes come in bursts, and another program
//! may revert a repair.
//!
//! A firewall that reloads itself with dozens of small commands removes a gate several times within a
//! few seconds, and then stops. A program that reverts each repair (flapping) never stops. Both change
//! the same rules with the same commands; the number of changes between two repairs distinguishes
//! them: many in a reload, which continues regardless of repairs, and one or two while flapping, as
//! there is nothing to revert before the next repair.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use virt_forward_reconcile::{Drift, Subject};

/// A check follows the last change of a burst by this time…
const DEBOUNCE: Duration = Duration::from_millis(60);
/// …and the first change by this time at the latest.
const MAX_DELAY: Duration = Duration::from_millis(300);

/// Both double with each repair of an object that was repaired in the same burst, up to these limits,
/// as guests wait for the repair.
const MAX_GROWN_DEBOUNCE: Duration = Duration::from_millis(480);
const MAX_GROWN_DELAY: Duration = Duration::from_millis(600);

/// A burst ends with this time without a change.
const BURST_END: Duration = Duration::from_secs(1);

/// The number of changes between two repairs of one object up to which they react to the repair.
const MAX_REPLY: usize = 2;

/// The longest reload of a firewall: in a burst that lasts longer, each repair counts.
const MAX_RELOAD: Duration = Duration::from_secs(60);

/// The number of repairs of one object within [`FLAP_WINDOW`] that count as flapping.
const FLAP_THRESHOLD: usize = 5;
const FLAP_WINDOW: Duration = Duration::from_secs(10);

/// The back-off while an object flaps doubles from the one to the other.
const MIN_BACKOFF: Duration = Duration::from_secs(2);
const MAX_BACKOFF: Duration = Duration::from_secs(60);

/// Decides when a check is due.
#[derive(Debug, Default)]
pub(super) struct Debouncer {
    first: Option<Instant>,
    latest: Option<Instant>,
    later: BTreeSet<Instant>,
    burst: Option<Burst>,
    reverts: BTreeMap<Subject, Reverts>,
    backoff: Option<Backoff>,
    is_failing: bool,
}

/// A series of changes.
#[derive(Clone, Copy, Debug)]
struct Burst {
    begin: Instant,
    latest: Instant,
    /// Checks that repaired an object again.
    again: u32,
}

/// The repairs of one object.
#[derive(Debug, Default)]
struct Reverts {
    /// The times of those that count, the latest last.
    times: Vec<Instant>,
    /// Changes since the last repair.
    changes: usize,
    /// The beginning of the burst, once it has turned out to be a reload.
    reload: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Backoff {
    length: Duration,
    until: Instant,
}

impl Debouncer {
    /// Records a change.
    pub(super) fn record_change(&mut self, now: Instant) {
        self.record_changes(now, 1);
    }

    /// Records several changes.
    pub(super) fn record_changes(&mut self, now: Instant, changes: usize) {
        self.first.get_or_insert(now);
        self.latest = Some(now);
        match &mut self.burst {
            Some(burst) if now.duration_since(burst.latest) < BURST_END => burst.latest = now,
            burst => {
                *burst = Some(Burst {
                    begin: now,
                    latest: now,
                    again: 0,
                });
            }
        }
        for reverts in self.reverts.values_mut() {
            reverts.changes = reverts.changes.saturating_add(changes);
        }
    }

    /// Schedules a check at `then`.
    pub(super) fn schedule(&mut self, then: Instant) {
        self.later.insert(then);
    }

    /// When a check is due; none without a change.
    pub(super) fn due(&self) -> Option<Instant> {
        let again = self.burst.map_or(0, |burst| burst.again);
        let quiet = grown(DEBOUNCE, again, MAX_GROWN_DEBOUNCE);
        let longest = grown(MAX_DELAY, again, MAX_GROWN_DELAY);
        let quiet = self.latest.map(|latest| latest + quiet);
        let longest = self.first.map(|first| first + longest);
        let later = self.later.first().copied();
        let due = [quiet, longest, later].into_iter().flatten().min()?;
        Some(match self.backoff {
            Some(backoff) => due.max(backoff.until),
            None => due,
        })
    }

    /// Begins a check: later changes need another one.
    pub(super) fn begin_check(&mut self, now: Instant) {
        self.first = None;
        self.latest = None;
        self.later.retain(|later| *later > now);
    }

    /// Ends a check that repaired `drift`, which may be none. Returns the object that another program
    /// keeps reverting, when that has just become clear.
    pub(super) fn end_check(&mut self, now: Instant, drift: &[Drift]) -> Option<Subject> {
        if std::mem::take(&mut self.is_failing) {
            self.backoff = None;
        }
        let subjects: BTreeSet<_> = drift.iter().map(Drift::subject).collect();
        let mut is_again = false;
        for subject in subjects {
            let reverts = self.reverts.entry(subject).or_default();
            is_again |= reverts.count(now, self.burst.as_ref());
        }
        if let Some(burst) = self.burst.as_mut().filter(|_| is_again) {
            burst.again = burst.again.saturating_add(1);
        }
        self.reverts.retain(|_, reverts| reverts.is_recent(now));
        let mut often = self
            .reverts
            .iter()
            .filter(|(_, reverts)| reverts.is_often());
        let contested = often.next().map(|(subject, _)| subject.clone());
        match (self.backoff, contested) {
            (None, Some(subject)) => {
                self.back_off(now, MIN_BACKOFF);
                Some(subject)
            }
            (Some(backoff), _) if !drift.is_empty() => {
                self.back_off(now, (backoff.length * 2).min(MAX_BACKOFF));
                None
            }
            (Some(backoff), _) if now.duration_since(backoff.until) > backoff.length => {
                self.backoff = None;
                None
            }
            _ => None,
        }
    }

    /// Whether checks are delayed by a back-off.
    pub(super) fn is_backing_off(&self) -> bool {
        self.backoff.is_some()
    }

    /// Ends a check that failed, and schedules another.
    pub(super) fn failed(&mut self, now: Instant) {
        self.is_failing = true;
        let length = self
            .backoff
            .map_or(MIN_BACKOFF, |backoff| backoff.length * 2);
        self.back_off(now, length.min(MAX_BACKOFF));
        self.record_change(now);
    }

    fn back_off(&mut self, now: Instant, length: Duration) {
        self.backoff = Some(Backoff {
            length,
            until: now + length,
        });
    }
}

impl Reverts {
    /// Counts a repair; returns whether the object was repaired in this burst before. All repairs in a
    /// reload count as one.
    fn count(&mut self, now: Instant, burst: Option<&Burst>) -> bool {
        let changes = std::mem::take(&mut self.changes);
        let begin = burst.map_or(now, |burst| burst.begin);
        let first = self.times.iter().position(|time| *time >= begin);
        if let Some(first) = first.filter(|_| now.duration_since(begin) < MAX_RELOAD) {
            if changes > MAX_REPLY {
                self.reload = Some(begin);
            }
            if self.reload == Some(begin) {
                self.times.truncate(first);
            }
        }
        self.times.push(now);
        first.is_some()
    }

    fn is_recent(&mut self, now: Instant) -> bool {
        self.times
            .retain(|time| now.duration_since(*time) < FLAP_WINDOW);
        !self.times.is_empty()
    }

    fn is_often(&self) -> bool {
        self.times.len() >= FLAP_THRESHOLD
    }
}

/// `time` doubled `times` times, up to `most`.
fn grown(time: Duration, times: u32, most: Duration) -> Duration {
    let factor = 1_u32.checked_shl(times).unwrap_or(u32::MAX);
    time.saturating_mul(factor).min(most)
}

#[cfg(test)]
mod tests {
    use super::*;
    use virt_forward_policy::netfilter::{ChainName, Family};

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_burst_is_one_check_and_an_endless_one_is_several() {
        let start = Instant::now();
        let mut debouncer = Debouncer::default();
        assert_eq!(debouncer.due(), None);
        debouncer.record_change(start);
        assert_eq!(debouncer.due(), Some(start + DEBOUNCE));
        debouncer.record_change(start + 50 * MS);
        assert_eq!(debouncer.due(), Some(start + 50 * MS + DEBOUNCE));
        for step in 0..100 {
            debouncer.record_change(start + step * 50 * MS);
        }
        assert_eq!(debouncer.due(), Some(start + MAX_DELAY));
        debouncer.begin_check(start);
        assert_eq!(debouncer.due(), None);
        debouncer.schedule(start + 400 * MS);
        debouncer.record_change(start);
        assert_eq!(debouncer.due(), Some(start + DEBOUNCE));
        debouncer.begin_check(start + DEBOUNCE);
        assert_eq!(debouncer.due(), Some(start + 400 * MS));
        debouncer.begin_check(start + 400 * MS);
        assert_eq!(debouncer.due(), None);
    }

    fn chain() -> ChainName {
        ChainName::nft(Family::Inet, "filter", "forward")
    }

    fn gate() -> [Drift; 1] {
        [Drift::GateMissing { chain: chain() }]
    }

    fn gate_subject() -> [Subject; 1] {
        [Subject::Gate(chain())]
    }

    #[test]
    fn an_object_that_keeps_being_reverted_is_repaired_less_often_and_named_once() {
        let mut now = Instant::now();
        let mut debouncer = Debouncer::default();
        let mut named = Vec::new();
        let mut checks = 0;
        let end = now + Duration::from_secs(600);
        while now < end {
            debouncer.record_change(now);
            now = debouncer.due().unwrap();
            debouncer.begin_check(now);
            named.extend(debouncer.end_check(now, &gate()));
            checks += 1;
        }
        assert_eq!(named, gate_subject());
        assert!(checks < 20, "{checks}");
        // After a while without changes, there is no delay any more.
        now += 4 * MAX_BACKOFF;
        debouncer.record_change(now);
        debouncer.begin_check(now);
        assert_eq!(debouncer.end_check(now, &[]), None);
        debouncer.record_change(now);
        assert_eq!(debouncer.due(), Some(now + DEBOUNCE));
    }

    #[test]
    fn a_table_that_is_removed_and_changed_by_turns_is_one_contested_object() {
        let mut now = Instant::now();
        let mut debouncer = Debouncer::default();
        let mut named = Vec::new();
        for drift in [Drift::TableMissing, Drift::TableChanged]
            .into_iter()
            .cycle()
            .take(FLAP_THRESHOLD)
        {
            debouncer.record_change(now);
            now = debouncer.due().unwrap();
            debouncer.begin_check(now);
            named.extend(debouncer.end_check(now, &[drift]));
        }
        assert_eq!(named, [Subject::Table]);
    }

    #[test]
    fn a_failure_is_followed_by_a_backoff_that_ends_with_success() {
        let now = Instant::now();
        let mut debouncer = Debouncer::default();
        debouncer.failed(now);
        assert_eq!(debouncer.due(), Some(now + MIN_BACKOFF));
        debouncer.begin_check(now);
        debouncer.failed(now);
        assert_eq!(debouncer.due(), Some(now + 2 * MIN_BACKOFF));
        debouncer.begin_check(now);
        assert_eq!(debouncer.end_check(now, &gate()), None);
        debouncer.record_change(now);
        assert_eq!(debouncer.due(), Some(now + DEBOUNCE));
    }

    /// Simulates a program that makes a change each `step` of the first `length`; `undoes` says which
    /// changes remove the gate. Returns the times of repairs, and the contested objects.
    fn beside(
        debouncer: &mut Debouncer,
        start: Instant,
        step: Duration,
        length: Duration,
        undoes: impl Fn(u32) -> bool,
    ) -> (Vec<Duration>, Vec<Subject>) {
        let (mut repairs, mut named) = (Vec::new(), Vec::new());
        let (mut is_reverted, mut change) = (false, 0);
        loop {
            let next = start + step * change;
            let is_over = step * change >= length;
            match debouncer.due().filter(|due| is_over || *due <= next) {
                Some(due) => {
                    debouncer.begin_check(due);
                    let gate = gate();
                    let drift = if is_reverted { &gate[..] } else { &[] };
                    named.extend(debouncer.end_check(due, drift));
                    if std::mem::take(&mut is_reverted) {
                        repairs.push(due - start);
                    }
                }
                None if is_over => return (repairs, named),
                None => {
                    debouncer.record_change(next);
                    is_reverted |= undoes(change);
                    change += 1;
                }
            }
        }
    }

    #[test]
    fn a_reload_of_many_small_changes_is_not_flapping() {
        for step in [20, 70, 150, 250, 400] {
            let (repairs, named) = beside(
                &mut Debouncer::default(),
                Instant::now(),
                step * MS,
                Duration::from_secs(20),
                |change| change % 3 == 0,
            );
            assert!(named.is_empty(), "{step} ms: {repairs:?}");
            assert!(repairs.len() >= 15, "{step} ms: {repairs:?}");
            // The longest time that guests wait for a repair.
            let gaps = repairs.windows(2).map(|pair| pair[1] - pair[0]);
            let most = gaps.max().unwrap();
            assert!(
                most <= 4 * step * MS + MAX_GROWN_DELAY,
                "{step} ms: {most:?}"
            );
        }
    }

    #[test]
    fn reloads_that_follow_each_other_count_once_each() {
        let start = Instant::now();
        let mut debouncer = Debouncer::default();
        let mut all = Vec::new();
        for number in 0..6 {
            let at = start + number * Duration::from_secs(4);
            let length = Duration::from_secs(2);
            let (repairs, named) = beside(&mut debouncer, at, 100 * MS, length, |_| true);
            assert!(repairs.len() > 2, "{repairs:?}");
            all.extend(named);
        }
        assert!(all.is_empty());
        // At intervals shorter than a reload, the same is flapping.
        for number in 0..FLAP_THRESHOLD as u32 {
            let at = start + Duration::from_secs(60) + number * Duration::from_millis(1500);
            all.extend(beside(&mut debouncer, at, MS, MS, |_| true).1);
        }
        assert_eq!(all, gate_subject());
    }

    #[test]
    fn an_object_that_is_reverted_after_each_repair_is_named_within_seconds() {
        let start = Instant::now();
        let mut now = start;
        let mut debouncer = Debouncer::default();
        loop {
            debouncer.record_changes(now, MAX_REPLY);
            now = debouncer.due().unwrap();
            debouncer.begin_check(now);
            if debouncer.end_check(now, &gate()).is_some() {
                break;
            }
            // The time that the program needs to see the repair.
            now += 100 * MS;
        }
        assert!(now - start < Duration::from_secs(3), "{:?}", now - start);
    }

    #[test]
    fn a_burst_without_end_is_flapping() {
        let start = Instant::now();
        let mut debouncer = Debouncer::default();
        let length = MAX_RELOAD + 2 * FLAP_WINDOW;
        let (repairs, named) = beside(&mut debouncer, start, 20 * MS, length, |_| true);
        assert_eq!(named, gate_subject());
        assert!(repairs.iter().any(|repair| *repair > MAX_RELOAD));
    }

    #[test]
    fn repairs_of_different_objects_are_not_flapping() {
        let start = Instant::now();
        let mut debouncer = Debouncer::default();
        for step in 0..20_u32 {
            let now = start + step * 100 * MS;
            let set = Drift::SetChanged {
                set: step.to_string(),
            };
            assert_eq!(debouncer.end_check(now, &[set]), None);
            debouncer.record_change(now);
            assert_eq!(debouncer.due(), Some(now + DEBOUNCE));
            debouncer.begin_check(now);
        }
    }
}
