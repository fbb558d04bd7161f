//! The sources of events: netlink sockets, libvirt's status files, timers and signals.

use std::{
    future::ready,
    os::fd::AsRawFd,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow};
use tokio::{
    io::{Interest, unix::AsyncFd},
    signal::unix::{Signal, SignalKind, signal},
    time::{Interval, MissedTickBehavior, interval_at, sleep_until},
};
use virt_forward_system::netlink::monitor::{Changes, Link, Links, Monitor, Settings, Source as _};

use virt_forward_system::libvirt::status_files::StatusFiles;

use crate::routing::RouteMonitor;

/// The interval of polls for changes without a notification (rules of iptables-legacy).
const POLL_INTERVAL: Duration = Duration::from_secs(60);

/// The interval of polls for a sysctl whose changes the kernel does not announce.
const FAST_POLL_INTERVAL: Duration = Duration::from_millis(500);

/// A check that is overdue for longer precedes notifications, so that a program which changes rules
/// without a pause cannot postpone it forever.
const MAX_OVERDUE: Duration = Duration::from_millis(200);

/// An event.
pub(super) enum Event {
    /// Netfilter rules changed.
    Rules(Changes),
    /// Interfaces were added, changed or removed.
    Interfaces(Changes<Link>),
    /// A forwarding sysctl of an interface changed.
    Setting,
    /// A route or a routing rule changed.
    Routing,
    /// libvirt started, changed or stopped a network.
    Networks,
    /// A check is due.
    CheckDue,
    /// The poll interval has passed.
    Poll,
    /// The fast poll interval has passed.
    FastPoll,
    /// systemd's watchdog needs a notification.
    Watchdog,
    /// SIGHUP
    Reload,
    /// SIGTERM, SIGINT
    Shutdown,
}

pub(super) struct EventSources {
    rules: AsyncFd<Monitor>,
    settings: AsyncFd<Settings>,
    links: AsyncFd<Links>,
    routing: RouteMonitor,
    networks: AsyncFd<StatusFiles>,
    poll: Interval,
    fast_poll: Interval,
    watchdog: Interval,
    terminate: Signal,
    interrupt: Signal,
    reload: Signal,
}

impl EventSources {
    /// Opens all sources.
    pub(super) fn open() -> Result<Self> {
        let networks = StatusFiles::listen().context("cannot watch libvirt's status files")?;
        Ok(Self {
            rules: readable(Monitor::start()?)?,
            settings: readable(Settings::start()?)?,
            links: readable(Links::start()?)?,
            routing: RouteMonitor::default(),
            networks: readable(networks)?,
            poll: every(POLL_INTERVAL),
            fast_poll: every(FAST_POLL_INTERVAL),
            // Twice as often as systemd expects; once a day without a watchdog.
            watchdog: every(
                sd_notify::watchdog_enabled().map_or(24 * 60 * POLL_INTERVAL, |time| time / 2),
            ),
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            reload: signal(SignalKind::hangup())?,
        })
    }

    /// Subscribes to changes of routing, or unsubscribes; returns whether it has just subscribed.
    pub(super) fn follow_routing(&mut self, wanted: bool) -> Result<bool> {
        self.routing.set_enabled(wanted)
    }

    /// Waits for the next event. `due` is when a check is due; `polls_fast` enables fast polls.
    pub(super) async fn next(&mut self, due: Option<Instant>, polls_fast: bool) -> Result<Event> {
        let far = Instant::now() + POLL_INTERVAL;
        let timer = sleep_until(due.unwrap_or(far).into());
        let is_overdue = due.is_some_and(|due| due.elapsed() > MAX_OVERDUE);
        let event = tokio::select! {
            // In this order, so that a check sees the events before it.
            biased;
            _ = self.terminate.recv() => Event::Shutdown,
            _ = self.interrupt.recv() => Event::Shutdown,
            _ = self.reload.recv() => Event::Reload,
            _ = self.watchdog.tick() => Event::Watchdog,
            () = ready(()), if is_overdue => Event::CheckDue,
            changes = pending(&mut self.rules, Monitor::take) => Event::Rules(changes?),
            changed = pending(&mut self.settings, Settings::take) => {
                changed?;
                Event::Setting
            }
            changes = pending(&mut self.links, Links::take) => Event::Interfaces(changes?),
            written = pending(&mut self.networks, StatusFiles::take) => {
                written.context("cannot watch libvirt's status files")?;
                Event::Networks
            }
            changed = self.routing.changed() => {
                changed?;
                Event::Routing
            }
            () = timer, if due.is_some() => Event::CheckDue,
            _ = self.poll.tick() => Event::Poll,
            _ = self.fast_poll.tick(), if polls_fast => Event::FastPoll,
        };
        Ok(event)
    }
}

/// What is pending in `source`, or comes next. The readiness is an edge: only `take`, by giving
/// nothing, says that the next one will come.
async fn pending<T: AsRawFd, N, E>(
    source: &mut AsyncFd<T>,
    take: impl Fn(&mut T) -> Result<Option<N>, E>,
) -> Result<N>
where
    anyhow::Error: From<E>,
{
    loop {
        let mut ready = source.readable_mut().await?;
        match take(ready.get_inner_mut())? {
            Some(news) => return Ok(news),
            None => ready.clear_ready(),
        }
    }
}

#[allow(unsafe_code)]
fn readable<T: AsRawFd>(socket: T) -> Result<AsyncFd<T>> {
    // SAFETY: all kinds hold the descriptor that they give the number of, until they are dropped.
    let socket = unsafe { AsyncFd::register_with_interest(socket, Interest::READABLE) };
    socket.map_err(|_| anyhow!("cannot register a netlink socket with epoll"))
}

fn every(time: Duration) -> Interval {
    let mut interval = interval_at((Instant::now() + time).into(), time);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}
