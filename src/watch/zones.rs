//! When to check the zones of firewalld, as values. Each restart and reload makes a new table, which
//! has another number.

use std::time::{Duration, Instant};

/// firewalld is left alone until its table has been the same for this long.
const QUIET: Duration = Duration::from_millis(400);
/// A daemon of libvirt's that runs sets the zones itself, and takes about this long.
const LIBVIRTS_TURN: Duration = Duration::from_millis(1200);
/// How long after a check that repaired or failed the next one follows, and how often.
const AGAIN: Duration = Duration::from_secs(1);
const MOST_CHECKS: u32 = 10;

/// The checks of one table.
#[derive(Debug, Default)]
pub(super) struct Zones {
    table: Option<u64>,
    due: Option<Instant>,
    checks: u32,
}

/// What a check has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Checked {
    /// Each bridge is in a zone.
    Right,
    /// Some were in none, and are in theirs now: libvirt may still be about to take them out.
    Restored,
    /// firewalld did not answer: it may still be starting.
    Failed,
}

impl Zones {
    /// firewalld's table is that one now; nothing where it does not run.
    pub(super) fn see(
        &mut self,
        table: Option<u64>,
        now: Instant,
        is_libvirt_running: impl Fn() -> bool,
    ) {
        if self.table == table {
            return;
        }
        let grace = match is_libvirt_running() {
            true => LIBVIRTS_TURN,
            false => QUIET,
        };
        *self = Self {
            table,
            due: table.map(|_| now + grace),
            checks: 0,
        };
    }

    /// When the next check is due, if any.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// A check has been made.
    pub(super) fn checked(&mut self, now: Instant, found: Checked) {
        self.checks += 1;
        let is_over = found == Checked::Right || self.checks >= MOST_CHECKS;
        self.due = (!is_over).then(|| now + AGAIN);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_new_table_is_checked_until_all_is_right() {
        let start = Instant::now();
        let mut zones = Zones::default();
        zones.see(None, start, || false);
        assert_eq!(zones.due(), None);
        zones.see(Some(1), start, || false);
        assert_eq!(zones.due(), Some(start + QUIET));
        // A reload, while libvirt's daemon runs.
        let later = start + QUIET / 2;
        zones.see(Some(2), later, || true);
        assert_eq!(zones.due(), Some(later + LIBVIRTS_TURN));
        zones.see(Some(2), later + QUIET, || true);
        assert_eq!(zones.due(), Some(later + LIBVIRTS_TURN));
        let now = later + LIBVIRTS_TURN;
        zones.checked(now, Checked::Failed);
        assert_eq!(zones.due(), Some(now + AGAIN));
        zones.checked(now + AGAIN, Checked::Restored);
        assert_eq!(zones.due(), Some(now + 2 * AGAIN));
        zones.checked(now + 2 * AGAIN, Checked::Right);
        assert_eq!(zones.due(), None);
        zones.see(Some(2), now + 3 * AGAIN, || false);
        assert_eq!(zones.due(), None);
        zones.see(None, now, || false);
        zones.see(Some(3), now, || false);
        assert!(zones.due().is_some());
    }

    #[test]
    fn a_firewalld_that_never_answers_is_left_alone() {
        let now = Instant::now();
        let mut zones = Zones::default();
        zones.see(Some(1), now, || false);
        for _ in 0..MOST_CHECKS {
            assert!(zones.due().is_some());
            zones.checked(now, Checked::Failed);
        }
        assert_eq!(zones.due(), None);
    }
}
