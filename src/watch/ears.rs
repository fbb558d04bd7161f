//! Everything that is listened to.

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

use crate::routing::Routing;

/// What no notification tells of (rules of iptables-legacy) is seen then.
const POLL: Duration = Duration::from_secs(60);

/// How soon a setting is seen that no notification tells of either, and that has been seen to change.
const GLANCE: Duration = Duration::from_millis(500);

/// A look that is overdue for this long goes before notifications: a program that changes rules
/// without a pause cannot put it off for ever.
const OVERDUE: Duration = Duration::from_millis(200);

/// What wakes us.
pub(super) enum Wake {
    /// Rules have changed.
    Rules(Changes),
    /// Interfaces have come, changed or gone.
    Interfaces(Changes<Link>),
    /// A setting of some interface.
    Setting,
    /// A rule or a route.
    Routing,
    /// libvirt has started, changed or stopped a network.
    Networks,
    /// A look is due.
    Due,
    /// A minute has passed.
    Poll,
    /// Half a second has passed.
    Glance,
    /// systemd wants to hear of us.
    Watchdog,
    /// SIGHUP
    Reload,
    /// SIGTERM, SIGINT
    End,
}

pub(super) struct Ears {
    rules: AsyncFd<Monitor>,
    settings: AsyncFd<Settings>,
    links: AsyncFd<Links>,
    routing: Routing,
    networks: AsyncFd<StatusFiles>,
    poll: Interval,
    glance: Interval,
    watchdog: Interval,
    terminate: Signal,
    interrupt: Signal,
    reload: Signal,
}

impl Ears {
    /// Listens from now on.
    pub(super) fn open() -> Result<Self> {
        let networks = StatusFiles::listen().context("cannot watch libvirt's status files")?;
        Ok(Self {
            rules: readable(Monitor::start()?)?,
            settings: readable(Settings::start()?)?,
            links: readable(Links::start()?)?,
            routing: Routing::default(),
            networks: readable(networks)?,
            poll: every(POLL),
            glance: every(GLANCE),
            // Twice as often as systemd wants; without a watchdog, hardly ever.
            watchdog: every(sd_notify::watchdog_enabled().map_or(24 * 60 * POLL, |time| time / 2)),
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            reload: signal(SignalKind::hangup())?,
        })
    }

    /// Listens to changes of routing from now on, or does not any more; whether it has begun to.
    pub(super) fn listen_to_routing(&mut self, wanted: bool) -> Result<bool> {
        self.routing.listen(wanted)
    }

    /// Waits for whatever comes first: with `glances` no longer than half a second.
    pub(super) async fn wait(&mut self, due: Option<Instant>, glances: bool) -> Result<Wake> {
        let far = Instant::now() + POLL;
        let timer = sleep_until(due.unwrap_or(far).into());
        let is_overdue = due.is_some_and(|due| due.elapsed() > OVERDUE);
        let wake = tokio::select! {
            // In this order: what came before a look is seen by it.
            biased;
            _ = self.terminate.recv() => Wake::End,
            _ = self.interrupt.recv() => Wake::End,
            _ = self.reload.recv() => Wake::Reload,
            _ = self.watchdog.tick() => Wake::Watchdog,
            () = ready(()), if is_overdue => Wake::Due,
            changes = pending(&mut self.rules, Monitor::take) => Wake::Rules(changes?),
            changed = pending(&mut self.settings, Settings::take) => {
                changed?;
                Wake::Setting
            }
            changes = pending(&mut self.links, Links::take) => Wake::Interfaces(changes?),
            written = pending(&mut self.networks, StatusFiles::take) => {
                written.context("cannot watch libvirt's status files")?;
                Wake::Networks
            }
            changed = self.routing.changed() => {
                changed?;
                Wake::Routing
            }
            () = timer, if due.is_some() => Wake::Due,
            _ = self.poll.tick() => Wake::Poll,
            _ = self.glance.tick(), if glances => Wake::Glance,
        };
        Ok(wake)
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
