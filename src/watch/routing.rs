//! Changes of rules and routes: heard only where the config names subnets, and looked at less
//! often the more of them lead to nothing. A router that learns routes by BGP may change some all
//! the time.

use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use tokio::io::{Interest, unix::AsyncFd};
use virt_forward_system::netlink::route_changes::RoutingChanges;

/// After a change the routing may take that long to settle.
const QUIET: Duration = Duration::from_millis(100);
/// The pause after a look, which doubles up to the last with each look that finds nothing.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LAST_PAUSE: Duration = Duration::from_secs(30);

/// Listens, if it is to.
#[derive(Default)]
pub(super) struct Routing {
    changes: Option<AsyncFd<RoutingChanges>>,
}

impl Routing {
    /// Begins or ends to listen; whether it has begun to.
    #[allow(unsafe_code)]
    pub(super) fn listen(&mut self, wanted: bool) -> Result<bool> {
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

    /// Returns when there was a change; never where it does not listen.
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

/// When to look at a change.
#[derive(Debug)]
pub(super) struct Calm {
    pause: Duration,
    /// The next look that is due because of a change.
    due: Option<Instant>,
    /// When the last one was taken.
    looked: Option<Instant>,
}

impl Default for Calm {
    fn default() -> Self {
        Self {
            pause: FIRST_PAUSE,
            due: None,
            looked: None,
        }
    }
}

impl Calm {
    /// When to look; nothing where nothing has changed.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// There was a change.
    pub(super) fn heard(&mut self, now: Instant) {
        if self.due.is_some() {
            return;
        }
        let since = self.looked.map(|looked| now.duration_since(looked));
        if since.is_some_and(|since| since > 2 * self.pause) {
            self.pause = FIRST_PAUSE;
        }
        let rested = self.looked.map(|looked| looked + self.pause);
        self.due = Some(rested.unwrap_or(now).max(now + QUIET));
    }

    /// A look has been taken; whether anything had to be changed.
    pub(super) fn looked(&mut self, now: Instant, has_changed: bool) {
        if self.due.take_if(|due| *due <= now).is_some() {
            self.looked = Some(now);
            self.pause = match has_changed {
                true => FIRST_PAUSE,
                false => (self.pause * 2).min(LAST_PAUSE),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_that_lead_to_nothing_are_looked_at_less_and_less() {
        let start = Instant::now();
        let mut calm = Calm::default();
        let (mut now, mut looks) = (start, 0);
        // A change each 10 ms, for ten minutes.
        while now < start + Duration::from_secs(600) {
            calm.heard(now);
            if calm.due().is_some_and(|due| due <= now) {
                looks += 1;
                calm.looked(now, false);
            }
            now += Duration::from_millis(10);
        }
        assert!((20..40).contains(&looks), "{looks}");
        now += LAST_PAUSE;
        calm.looked(now, false);
        // Peace, and then one change.
        now += 3 * LAST_PAUSE;
        calm.heard(now);
        assert_eq!(calm.due(), Some(now + QUIET));
        // A look that is due for something else, before that.
        calm.looked(now, true);
        assert_eq!(calm.due(), Some(now + QUIET));
        now += QUIET;
        calm.looked(now, true);
        assert_eq!(calm.due(), None);
        calm.heard(now);
        assert_eq!(calm.due(), Some(now + FIRST_PAUSE));
    }
}
