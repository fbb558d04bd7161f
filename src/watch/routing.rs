//! Changes of routes and routing rules: followed only while the configuration names subnets, and checked
//! less often the more of them need no repair. A router that learns routes by BGP may change some all
//! the time.

use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use tokio::io::{Interest, unix::AsyncFd};
use virt_forward_system::netlink::route_changes::RoutingChanges;

/// A check follows a change by this time.
const DEBOUNCE: Duration = Duration::from_millis(100);
/// The pause after a check doubles from the one to the other with each check that finds nothing.
const MIN_PAUSE: Duration = Duration::from_millis(200);
const MAX_PAUSE: Duration = Duration::from_secs(30);

/// The subscription to changes of routing.
#[derive(Default)]
pub(super) struct RouteMonitor {
    changes: Option<AsyncFd<RoutingChanges>>,
}

impl RouteMonitor {
    /// Subscribes or unsubscribes; returns whether it has just subscribed.
    #[allow(unsafe_code)]
    pub(super) fn set_enabled(&mut self, wanted: bool) -> Result<bool> {
        match (wanted, &self.changes) {
            (true, None) => {
                let changes = RoutingChanges::start()?;
                // SAFETY: it holds the socket that it gives the number of, until it is dropped.
                let socket =
                    unsafe { AsyncFd::register_with_interest(changes, Interest::READABLE) };
                let socket = socket
                    .map_err(|_| anyhow!("cannot register the route netlink socket with epoll"))?;
                self.changes = Some(socket);
                return Ok(true);
            }
            (false, Some(_)) => self.changes = None,
            _ => {}
        }
        Ok(false)
    }

    /// Waits for a change; forever while not subscribed.
    pub(super) async fn changed(&mut self) -> Result<()> {
        let Some(changes) = &mut self.changes else {
            return std::future::pending().await;
        };
        let mut ready = changes.readable_mut().await?;
        ready.get_inner_mut().drain()?;
        ready.clear_ready();
        Ok(())
    }
}

/// When to check after changes of routing.
#[derive(Debug)]
pub(super) struct RouteBackoff {
    pause: Duration,
    /// When a check is due because of a change.
    due: Option<Instant>,
    /// When the last check ended.
    checked: Option<Instant>,
}

impl Default for RouteBackoff {
    fn default() -> Self {
        Self {
            pause: MIN_PAUSE,
            due: None,
            checked: None,
        }
    }
}

impl RouteBackoff {
    /// When a check is due; none without a change.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Records a change.
    pub(super) fn record_change(&mut self, now: Instant) {
        if self.due.is_some() {
            return;
        }
        let since = self.checked.map(|checked| now.duration_since(checked));
        if since.is_some_and(|since| since > 2 * self.pause) {
            self.pause = MIN_PAUSE;
        }
        let rested = self.checked.map(|checked| checked + self.pause);
        self.due = Some(rested.unwrap_or(now).max(now + DEBOUNCE));
    }

    /// Ends a check; `has_changed` says whether it repaired anything.
    pub(super) fn end_check(&mut self, now: Instant, has_changed: bool) {
        if self.due.take_if(|due| *due <= now).is_some() {
            self.checked = Some(now);
            self.pause = match has_changed {
                true => MIN_PAUSE,
                false => (self.pause * 2).min(MAX_PAUSE),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_without_need_for_repair_are_checked_less_and_less_often() {
        let start = Instant::now();
        let mut backoff = RouteBackoff::default();
        let (mut now, mut checks) = (start, 0);
        // A change each 10 ms, for ten minutes.
        while now < start + Duration::from_secs(600) {
            backoff.record_change(now);
            if backoff.due().is_some_and(|due| due <= now) {
                checks += 1;
                backoff.end_check(now, false);
            }
            now += Duration::from_millis(10);
        }
        assert!((20..40).contains(&checks), "{checks}");
        now += MAX_PAUSE;
        backoff.end_check(now, false);
        // One change after a long time without any.
        now += 3 * MAX_PAUSE;
        backoff.record_change(now);
        assert_eq!(backoff.due(), Some(now + DEBOUNCE));
        // A check that is due for another reason, before that.
        backoff.end_check(now, true);
        assert_eq!(backoff.due(), Some(now + DEBOUNCE));
        now += DEBOUNCE;
        backoff.end_check(now, true);
        assert_eq!(backoff.due(), None);
        backoff.record_change(now);
        assert_eq!(backoff.due(), Some(now + MIN_PAUSE));
    }
}
