//! Everything that is listened to.

use std::{
    os::fd::AsRawFd,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, bail};
use tokio::{
    io::{Interest, unix::AsyncFd},
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc::UnboundedReceiver,
    time::{Interval, MissedTickBehavior, interval_at, sleep_until},
};
use virt_forward_core::kernel::monitor::{Changes, Monitor, Settings};

use crate::{
    links::{self, Link},
    status_files::StatusFiles,
};

/// What no notification tells of (iptables-legacy, a message that was lost) is seen then.
const POLL: Duration = Duration::from_secs(60);

/// How soon a setting is seen that no notification tells of either, and that has been seen to change.
const GLANCE: Duration = Duration::from_millis(500);

/// What wakes us.
pub(super) enum Wake {
    /// Somebody changed rules.
    Rules(Changes),
    /// An interface has come, changed or gone.
    Interface { name: String, is_gone: bool },
    /// A setting of some interface.
    Setting,
    /// libvirt has started, changed or ended a network.
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
    links: UnboundedReceiver<Link>,
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
        let networks = StatusFiles::listen().context("cannot listen to libvirt's networks")?;
        Ok(Self {
            rules: readable(Monitor::start()?)?,
            settings: readable(Settings::start()?)?,
            links: links::follow().context("cannot listen to interfaces")?,
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

    /// Waits for whatever comes first: with `glances` no longer than half a second.
    pub(super) async fn wait(&mut self, due: Option<Instant>, glances: bool) -> Result<Wake> {
        let far = Instant::now() + POLL;
        let timer = sleep_until(due.unwrap_or(far).into());
        let wake = tokio::select! {
            // In this order: what came before a look is seen by it.
            biased;
            _ = self.terminate.recv() => Wake::End,
            _ = self.interrupt.recv() => Wake::End,
            _ = self.reload.recv() => Wake::Reload,
            _ = self.watchdog.tick() => Wake::Watchdog,
            ready = self.rules.readable_mut() => {
                let mut ready = ready?;
                let changes = ready.get_inner_mut().changes()?;
                ready.clear_ready();
                Wake::Rules(changes)
            }
            ready = self.settings.readable_mut() => {
                let mut ready = ready?;
                ready.get_inner_mut().drain()?;
                ready.clear_ready();
                Wake::Setting
            }
            link = self.links.recv() => match link {
                Some(Link { name, is_gone }) => Wake::Interface { name, is_gone },
                None => bail!("the kernel tells of interfaces no more"),
            },
            ready = self.networks.readable_mut() => {
                let mut ready = ready?;
                ready.get_inner_mut().drain()?;
                ready.clear_ready();
                Wake::Networks
            }
            () = timer, if due.is_some() => Wake::Due,
            _ = self.poll.tick() => Wake::Poll,
            _ = self.glance.tick(), if glances => Wake::Glance,
        };
        Ok(wake)
    }
}

#[allow(unsafe_code)]
fn readable<T: AsRawFd>(socket: T) -> Result<AsyncFd<T>> {
    // SAFETY: all three kinds hold the socket that they give the number of, until they are dropped.
    let socket = unsafe { AsyncFd::register_with_interest(socket, Interest::READABLE) };
    socket.map_err(|_| anyhow!("cannot wait for what the kernel tells"))
}

fn every(time: Duration) -> Interval {
    let mut interval = interval_at((Instant::now() + time).into(), time);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}
