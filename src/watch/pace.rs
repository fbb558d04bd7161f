//! When to look, as values: changes come in bursts, and somebody else may undo what we do.

use std::{
    collections::{BTreeSet, HashMap},
    time::{Duration, Instant},
};

/// A change is looked at when no other has come for this long…
const QUIET: Duration = Duration::from_millis(60);
/// …and this long after the first at the latest.
const LONGEST: Duration = Duration::from_millis(300);

/// That often within [`WINDOW`], and somebody else wants it otherwise.
const OFTEN: usize = 5;
const WINDOW: Duration = Duration::from_secs(10);

/// The first pause then, which doubles up to the last.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
const LAST_PAUSE: Duration = Duration::from_secs(60);

/// Tells when the next look is due.
#[derive(Debug, Default)]
pub(super) struct Pace {
    first: Option<Instant>,
    latest: Option<Instant>,
    later: BTreeSet<Instant>,
    mended: HashMap<String, Vec<Instant>>,
    pause: Option<Pause>,
    is_failing: bool,
}

#[derive(Clone, Copy, Debug)]
struct Pause {
    length: Duration,
    until: Instant,
}

impl Pace {
    /// Something has changed.
    pub(super) fn touch(&mut self, now: Instant) {
        self.first.get_or_insert(now);
        self.latest = Some(now);
    }

    /// Something has changed that is better looked at then.
    pub(super) fn touch_later(&mut self, then: Instant) {
        self.later.insert(then);
    }

    /// When to look; nothing where nothing has changed.
    pub(super) fn due(&self) -> Option<Instant> {
        let quiet = self.latest.map(|latest| latest + QUIET);
        let longest = self.first.map(|first| first + LONGEST);
        let later = self.later.first().copied();
        let due = [quiet, longest, later].into_iter().flatten().min()?;
        Some(match self.pause {
            Some(pause) => due.max(pause.until),
            None => due,
        })
    }

    /// A look begins: what changes from here on needs another.
    pub(super) fn look(&mut self, now: Instant) {
        self.first = None;
        self.latest = None;
        self.later.retain(|later| *later > now);
    }

    /// A look has mended these things, or none. The one that somebody undoes all the time, if
    /// that has become clear just now.
    pub(super) fn looked(&mut self, now: Instant, mended: &[String]) -> Option<String> {
        if std::mem::take(&mut self.is_failing) {
            self.pause = None;
        }
        self.mended.retain(|_, times| {
            times.retain(|time| now.duration_since(*time) < WINDOW);
            !times.is_empty()
        });
        for what in mended {
            self.mended.entry(what.clone()).or_default().push(now);
        }
        let mut often = self.mended.iter().filter(|(_, times)| times.len() >= OFTEN);
        let contested = often.next().map(|(what, _)| what.clone());
        match (self.pause, contested) {
            (None, Some(what)) => {
                self.rest(now, FIRST_PAUSE);
                Some(what)
            }
            (Some(pause), _) if !mended.is_empty() => {
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

    /// Whether it looks less often than it would.
    pub(super) fn is_paused(&self) -> bool {
        self.pause.is_some()
    }

    /// A look could not be taken: again, after a while.
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

#[cfg(test)]
mod tests {
    use super::*;

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

    fn what(text: &str) -> [String; 1] {
        [text.to_owned()]
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
            named.extend(pace.looked(now, &what("gate")));
            looks += 1;
        }
        assert_eq!(named, what("gate"));
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
    fn a_failure_is_followed_by_a_pause_that_ends_with_it() {
        let now = Instant::now();
        let mut pace = Pace::default();
        pace.failed(now);
        assert_eq!(pace.due(), Some(now + FIRST_PAUSE));
        pace.look(now);
        pace.failed(now);
        assert_eq!(pace.due(), Some(now + 2 * FIRST_PAUSE));
        pace.look(now);
        assert_eq!(pace.looked(now, &what("gate")), None);
        pace.touch(now);
        assert_eq!(pace.due(), Some(now + QUIET));
    }

    #[test]
    fn many_different_troubles_are_no_quarrel() {
        let start = Instant::now();
        let mut pace = Pace::default();
        for step in 0..20_u32 {
            let now = start + step * 100 * MS;
            assert_eq!(pace.looked(now, &what(&format!("{step}"))), None);
            pace.touch(now);
            assert_eq!(pace.due(), Some(now + QUIET));
            pace.look(now);
        }
    }
}
