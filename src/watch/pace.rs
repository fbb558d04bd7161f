//! When to check, as values: changes come in bursts, and another program may undo a repair.
//!
//! A firewall that reloads itself with dozens of small commands takes a gate away several times
//! within a few seconds, and means nothing by it. A program that answers each repair by undoing it
//! would go on for ever. Both change the same rules with the same commands; what tells them apart is
//! how many changes lie between two repairs: many in a reload, which goes on whatever is repaired,
//! and one or two in a fight, as there is nothing to undo before the next repair.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use virt_forward_reconcile::{Drift, Subject};

/// A check follows a change when no other has come for this long…
const QUIET: Duration = Duration::from_millis(60);
/// …and this long after the first at the latest.
const LONGEST: Duration = Duration::from_millis(300);

/// Both double with each repair of something that had been repaired in the same burst, up to these:
/// guests must not wait long either.
const MOST_QUIET: Duration = Duration::from_millis(480);
const MOST_LONGEST: Duration = Duration::from_millis(600);

/// A burst ends when nothing has changed for this long.
const CALM: Duration = Duration::from_secs(1);

/// Up to this many changes between two repairs of the same thing are a reply to the first repair.
const FEW: usize = 2;

/// No firewall reloads itself for longer: in a burst that does not end, each repair counts.
const LONGEST_RELOAD: Duration = Duration::from_secs(60);

/// A thing that was undone this often within [`WINDOW`] is contested.
const OFTEN: usize = 5;
const WINDOW: Duration = Duration::from_secs(10);

/// The first pause then, which doubles up to the last.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
const LAST_PAUSE: Duration = Duration::from_secs(60);

/// Decides when the next check is due.
#[derive(Debug, Default)]
pub(super) struct Pace {
    first: Option<Instant>,
    latest: Option<Instant>,
    later: BTreeSet<Instant>,
    burst: Option<Burst>,
    undone: BTreeMap<Subject, Undone>,
    pause: Option<Pause>,
    is_failing: bool,
}

/// Changes that follow each other closely.
#[derive(Clone, Copy, Debug)]
struct Burst {
    begin: Instant,
    latest: Instant,
    /// Checks that repaired something which had been repaired in it before.
    again: u32,
}

/// How often one thing was undone.
#[derive(Debug, Default)]
struct Undone {
    /// When, as far as it counts, the latest last.
    times: Vec<Instant>,
    /// Changes since its last repair.
    changes: usize,
    /// The beginning of the burst that turned out to be a reload.
    reload: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Pause {
    length: Duration,
    until: Instant,
}

impl Pace {
    /// Something has changed.
    pub(super) fn touch(&mut self, now: Instant) {
        self.touch_often(now, 1);
    }

    /// That many things have changed.
    pub(super) fn touch_often(&mut self, now: Instant, changes: usize) {
        self.first.get_or_insert(now);
        self.latest = Some(now);
        match &mut self.burst {
            Some(burst) if now.duration_since(burst.latest) < CALM => burst.latest = now,
            burst => {
                *burst = Some(Burst {
                    begin: now,
                    latest: now,
                    again: 0,
                });
            }
        }
        for undone in self.undone.values_mut() {
            undone.changes = undone.changes.saturating_add(changes);
        }
    }

    /// Something has changed that is better checked at `then`.
    pub(super) fn touch_later(&mut self, then: Instant) {
        self.later.insert(then);
    }

    /// When to check; nothing where nothing has changed.
    pub(super) fn due(&self) -> Option<Instant> {
        let again = self.burst.map_or(0, |burst| burst.again);
        let quiet = grown(QUIET, again, MOST_QUIET);
        let longest = grown(LONGEST, again, MOST_LONGEST);
        let quiet = self.latest.map(|latest| latest + quiet);
        let longest = self.first.map(|first| first + longest);
        let later = self.later.first().copied();
        let due = [quiet, longest, later].into_iter().flatten().min()?;
        Some(match self.pause {
            Some(pause) => due.max(pause.until),
            None => due,
        })
    }

    /// A check begins: what changes from here on needs another.
    pub(super) fn look(&mut self, now: Instant) {
        self.first = None;
        self.latest = None;
        self.later.retain(|later| *later > now);
    }

    /// Ends a check that repaired `drift`, which may be none. Returns the object that another program
    /// keeps reverting, when that has just become clear.
    pub(super) fn looked(&mut self, now: Instant, drift: &[Drift]) -> Option<Subject> {
        if std::mem::take(&mut self.is_failing) {
            self.pause = None;
        }
        let subjects: BTreeSet<_> = drift.iter().map(Drift::subject).collect();
        let mut is_again = false;
        for subject in subjects {
            let undone = self.undone.entry(subject).or_default();
            is_again |= undone.count(now, self.burst.as_ref());
        }
        if let Some(burst) = self.burst.as_mut().filter(|_| is_again) {
            burst.again = burst.again.saturating_add(1);
        }
        self.undone.retain(|_, undone| undone.is_recent(now));
        let mut often = self.undone.iter().filter(|(_, undone)| undone.is_often());
        let contested = often.next().map(|(subject, _)| subject.clone());
        match (self.pause, contested) {
            (None, Some(subject)) => {
                self.rest(now, FIRST_PAUSE);
                Some(subject)
            }
            (Some(pause), _) if !drift.is_empty() => {
                self.rest(now, (pause.length * 2).min(LAST_PAUSE));
                None
            }
            (Some(pause), _) if now.duration_since(pause.until) > pause.length => {
                self.pause = None;
                None
            }
            _ => None,
        }
    }

    /// Whether it checks less often than it would.
    pub(super) fn is_paused(&self) -> bool {
        self.pause.is_some()
    }

    /// A check failed: again, after a while.
    pub(super) fn failed(&mut self, now: Instant) {
        self.is_failing = true;
        let length = self.pause.map_or(FIRST_PAUSE, |pause| pause.length * 2);
        self.rest(now, length.min(LAST_PAUSE));
        self.touch(now);
    }

    fn rest(&mut self, now: Instant, length: Duration) {
        self.pause = Some(Pause {
            length,
            until: now + length,
        });
    }
}

impl Undone {
    /// It was undone once more, and has been repaired; whether it had been in this burst before. A
    /// reload counts once, however often it undoes the same thing.
    fn count(&mut self, now: Instant, burst: Option<&Burst>) -> bool {
        let changes = std::mem::take(&mut self.changes);
        let begin = burst.map_or(now, |burst| burst.begin);
        let first = self.times.iter().position(|time| *time >= begin);
        if let Some(first) = first.filter(|_| now.duration_since(begin) < LONGEST_RELOAD) {
            if changes > FEW {
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
        self.times.retain(|time| now.duration_since(*time) < WINDOW);
        !self.times.is_empty()
    }

    fn is_often(&self) -> bool {
        self.times.len() >= OFTEN
    }
}

/// `time`, doubled that often, but no longer than `most`.
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
    fn a_burst_is_one_look_and_an_endless_one_is_several() {
        let start = Instant::now();
        let mut pace = Pace::default();
        assert_eq!(pace.due(), None);
        pace.touch(start);
        assert_eq!(pace.due(), Some(start + QUIET));
        pace.touch(start + 50 * MS);
        assert_eq!(pace.due(), Some(start + 50 * MS + QUIET));
        for step in 0..100 {
            pace.touch(start + step * 50 * MS);
        }
        assert_eq!(pace.due(), Some(start + LONGEST));
        pace.look(start);
        assert_eq!(pace.due(), None);
        pace.touch_later(start + 400 * MS);
        pace.touch(start);
        assert_eq!(pace.due(), Some(start + QUIET));
        pace.look(start + QUIET);
        assert_eq!(pace.due(), Some(start + 400 * MS));
        pace.look(start + 400 * MS);
        assert_eq!(pace.due(), None);
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
    fn who_undoes_it_all_the_time_is_answered_less_and_less_and_named_once() {
        let mut now = Instant::now();
        let mut pace = Pace::default();
        let mut named = Vec::new();
        let mut looks = 0;
        let end = now + Duration::from_secs(600);
        while now < end {
            pace.touch(now);
            now = pace.due().unwrap();
            pace.look(now);
            named.extend(pace.looked(now, &gate()));
            looks += 1;
        }
        assert_eq!(named, gate_subject());
        assert!(looks < 20, "{looks}");
        // Peace: the next change is looked at as soon as ever.
        now += 4 * LAST_PAUSE;
        pace.touch(now);
        pace.look(now);
        assert_eq!(pace.looked(now, &[]), None);
        pace.touch(now);
        assert_eq!(pace.due(), Some(now + QUIET));
    }

    #[test]
    fn a_table_that_is_removed_and_changed_by_turns_is_one_contested_object() {
        let mut now = Instant::now();
        let mut pace = Pace::default();
        let mut named = Vec::new();
        for drift in [Drift::TableMissing, Drift::TableChanged]
            .into_iter()
            .cycle()
            .take(OFTEN)
        {
            pace.touch(now);
            now = pace.due().unwrap();
            pace.look(now);
            named.extend(pace.looked(now, &[drift]));
        }
        assert_eq!(named, [Subject::Table]);
    }

    #[test]
    fn a_failure_is_followed_by_a_pause_that_ends_with_it() {
        let now = Instant::now();
        let mut pace = Pace::default();
        pace.failed(now);
        assert_eq!(pace.due(), Some(now + FIRST_PAUSE));
        pace.look(now);
        pace.failed(now);
        assert_eq!(pace.due(), Some(now + 2 * FIRST_PAUSE));
        pace.look(now);
        assert_eq!(pace.looked(now, &gate()), None);
        pace.touch(now);
        assert_eq!(pace.due(), Some(now + QUIET));
    }

    /// Repairs by a daemon beside a program that makes a change each `step` of the first
    /// `length`, each of which undoes the same thing where `undoes` says so: when the checks
    /// took place that repaired it, and what was called contested.
    fn beside(
        pace: &mut Pace,
        start: Instant,
        step: Duration,
        length: Duration,
        undoes: impl Fn(u32) -> bool,
    ) -> (Vec<Duration>, Vec<Subject>) {
        let (mut repairs, mut named) = (Vec::new(), Vec::new());
        let (mut is_undone, mut change) = (false, 0);
        loop {
            let next = start + step * change;
            let is_over = step * change >= length;
            match pace.due().filter(|due| is_over || *due <= next) {
                Some(due) => {
                    pace.look(due);
                    let gate = gate();
                    let drift = if is_undone { &gate[..] } else { &[] };
                    named.extend(pace.looked(due, drift));
                    if std::mem::take(&mut is_undone) {
                        repairs.push(due - start);
                    }
                }
                None if is_over => return (repairs, named),
                None => {
                    pace.touch(next);
                    is_undone |= undoes(change);
                    change += 1;
                }
            }
        }
    }

    #[test]
    fn a_reload_of_many_small_changes_is_no_fight() {
        for step in [20, 70, 150, 250, 400] {
            let (repairs, named) = beside(
                &mut Pace::default(),
                Instant::now(),
                step * MS,
                Duration::from_secs(20),
                |change| change % 3 == 0,
            );
            assert!(named.is_empty(), "{step} ms: {repairs:?}");
            assert!(repairs.len() >= 15, "{step} ms: {repairs:?}");
            // Guests wait for no repair longer than that.
            let gaps = repairs.windows(2).map(|pair| pair[1] - pair[0]);
            let most = gaps.max().unwrap();
            assert!(most <= 4 * step * MS + MOST_LONGEST, "{step} ms: {most:?}");
        }
    }

    #[test]
    fn reloads_that_follow_each_other_count_once_each() {
        let start = Instant::now();
        let mut pace = Pace::default();
        let mut all = Vec::new();
        for number in 0..6 {
            let at = start + number * Duration::from_secs(4);
            let length = Duration::from_secs(2);
            let (repairs, named) = beside(&mut pace, at, 100 * MS, length, |_| true);
            assert!(repairs.len() > 2, "{repairs:?}");
            all.extend(named);
        }
        assert!(all.is_empty());
        // Without a pause that a reload would make, the same is a fight.
        for number in 0..OFTEN as u32 {
            let at = start + Duration::from_secs(60) + number * Duration::from_millis(1500);
            all.extend(beside(&mut pace, at, MS, MS, |_| true).1);
        }
        assert_eq!(all, gate_subject());
    }

    #[test]
    fn a_program_that_answers_each_repair_is_named_within_seconds() {
        let start = Instant::now();
        let mut now = start;
        let mut pace = Pace::default();
        loop {
            pace.touch_often(now, FEW);
            now = pace.due().unwrap();
            pace.look(now);
            if pace.looked(now, &gate()).is_some() {
                break;
            }
            // What it needs to see the repair.
            now += 100 * MS;
        }
        assert!(now - start < Duration::from_secs(3), "{:?}", now - start);
    }

    #[test]
    fn a_burst_without_end_is_a_fight() {
        let start = Instant::now();
        let mut pace = Pace::default();
        let length = LONGEST_RELOAD + 2 * WINDOW;
        let (repairs, named) = beside(&mut pace, start, 20 * MS, length, |_| true);
        assert_eq!(named, gate_subject());
        assert!(repairs.iter().any(|repair| *repair > LONGEST_RELOAD));
    }

    #[test]
    fn many_different_troubles_are_no_quarrel() {
        let start = Instant::now();
        let mut pace = Pace::default();
        for step in 0..20_u32 {
            let now = start + step * 100 * MS;
            let set = Drift::SetChanged {
                set: step.to_string(),
            };
            assert_eq!(pace.looked(now, &[set]), None);
            pace.touch(now);
            assert_eq!(pace.due(), Some(now + QUIET));
            pace.look(now);
        }
    }
}
