//! When to check the zones of firewalld, without a clock of its own. Each restart and reload creates a
//! new table, which has another handle.

use std::time::{Duration, Instant};

/// A check follows a new table of firewalld by this time.
const DEBOUNCE: Duration = Duration::from_millis(400);
/// The time that a running daemon of libvirt's takes to set the zones itself.
const LIBVIRT_GRACE: Duration = Duration::from_millis(1200);
/// The interval and the number of checks after one that repaired or failed.
const RECHECK_INTERVAL: Duration = Duration::from_secs(1);
const MAX_CHECKS: u32 = 10;

/// The checks of one table.
#[derive(Debug, Default)]
pub(super) struct ZoneChecks {
    table: Option<u64>,
    due: Option<Instant>,
    checks: u32,
}

/// The result of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Checked {
    /// Every bridge is in a zone.
    InOrder,
    /// Some bridges were in no zone and were put into theirs; libvirt may still take them out.
    Restored,
    /// firewalld did not reply: it may still be starting.
    Failed,
}

impl ZoneChecks {
    /// Sets the handle of firewalld's table; none while it does not run.
    pub(super) fn set_table(
        &mut self,
        table: Option<u64>,
        now: Instant,
        is_libvirt_running: impl Fn() -> bool,
    ) {
        if self.table == table {
            return;
        }
        let grace = match is_libvirt_running() {
            true => LIBVIRT_GRACE,
            false => DEBOUNCE,
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

    /// Records the result of a check.
    pub(super) fn checked(&mut self, now: Instant, found: Checked) {
        self.checks += 1;
        let is_over = found == Checked::InOrder || self.checks >= MAX_CHECKS;
        self.due = (!is_over).then(|| now + RECHECK_INTERVAL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_new_table_is_checked_until_all_zones_are_in_order() {
        let start = Instant::now();
        let mut zones = ZoneChecks::default();
        zones.set_table(None, start, || false);
        assert_eq!(zones.due(), None);
        zones.set_table(Some(1), start, || false);
        assert_eq!(zones.due(), Some(start + DEBOUNCE));
        // A reload, while libvirt's daemon runs.
        let later = start + DEBOUNCE / 2;
        zones.set_table(Some(2), later, || true);
        assert_eq!(zones.due(), Some(later + LIBVIRT_GRACE));
        zones.set_table(Some(2), later + DEBOUNCE, || true);
        assert_eq!(zones.due(), Some(later + LIBVIRT_GRACE));
        let now = later + LIBVIRT_GRACE;
        zones.checked(now, Checked::Failed);
        assert_eq!(zones.due(), Some(now + RECHECK_INTERVAL));
        zones.checked(now + RECHECK_INTERVAL, Checked::Restored);
        assert_eq!(zones.due(), Some(now + 2 * RECHECK_INTERVAL));
        zones.checked(now + 2 * RECHECK_INTERVAL, Checked::InOrder);
        assert_eq!(zones.due(), None);
        zones.set_table(Some(2), now + 3 * RECHECK_INTERVAL, || false);
        assert_eq!(zones.due(), None);
        zones.set_table(None, now, || false);
        zones.set_table(Some(3), now, || false);
        assert!(zones.due().is_some());
    }

    #[test]
    fn a_firewalld_that_never_replies_is_checked_a_limited_number_of_times() {
        let now = Instant::now();
        let mut zones = ZoneChecks::default();
        zones.set_table(Some(1), now, || false);
        for _ in 0..MAX_CHECKS {
            assert!(zones.due().is_some());
            zones.checked(now, Checked::Failed);
        }
        assert_eq!(zones.due(), None);
    }
}
