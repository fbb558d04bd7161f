//! What libvirt's daemon would do, were it running: its rules, and the zones of its bridges.

use std::time::{Duration, Instant};

use virt_forward_core::{
    kernel::{
        deadline::Deadline,
        firewalld,
        libvirt_daemon::{self, State},
        log,
    },
    network::Network,
    reconcile,
};

use super::zones::{Checked, Zones};

/// firewalld answers within milliseconds, or is just starting.
const PATIENCE: Duration = Duration::from_secs(2);

/// An idle daemon that was started, and did not make its rules, is started again after this.
const REST: Duration = Duration::from_secs(60);

/// A daemon that systemd restarts looks idle until it has its lock again. One that has looked so for this
/// long is idle.
const RESTART: Duration = Duration::from_secs(1);

/// What was done in place of libvirt's daemon.
#[derive(Debug, Default)]
pub(super) struct Deputy {
    zones: Zones,
    /// When the daemon was last started.
    woken: Option<Instant>,
    /// Since when the daemon has looked idle while its rules were gone.
    idle_since: Option<Instant>,
    are_rules_gone: bool,
}

impl Deputy {
    /// When to check again, if anything has to be.
    pub(super) fn due(&self) -> Option<Instant> {
        let wake = self.idle_since.map(|since| since + RESTART);
        [self.zones.due(), wake].into_iter().flatten().min()
    }

    /// Puts the bridges of these networks back into their zones, after firewalld has lost them.
    pub(super) fn keep_zones<'a>(&mut self, networks: impl Iterator<Item = &'a Network>) {
        let Ok(table) = firewalld::table(Deadline::after(PATIENCE)) else {
            return;
        };
        let now = Instant::now();
        let is_running = || libvirt_daemon::find().state == State::Running;
        self.zones.see(table, now, is_running);
        if self.zones.due().is_none_or(|due| due > now) {
            return;
        }
        let restored = reconcile::restore_zones(networks, Deadline::after(PATIENCE));
        let found = match &restored {
            Ok(bridges) if bridges.is_empty() => Checked::Right,
            Ok(_) => Checked::Restored,
            Err(_) => Checked::Failed,
        };
        self.zones.checked(now, found);
        match restored {
            Ok(bridges) if bridges.is_empty() => {}
            Ok(bridges) => {
                let names: Vec<_> = bridges.iter().map(ToString::to_string).collect();
                let what = format!(
                    "firewalld, started or reloaded, had {} in no zone and libvirt did not set any: put right",
                    names.join(", ")
                );
                match is_running() {
                    // It would have, a while later: on a slow host.
                    true => log::info(&what),
                    false => log::warning(&what),
                }
            }
            // It may be starting; what is wrong with it is said once.
            Err(why) if self.zones.due().is_none() => {
                log::error(&format!(
                    "cannot check the zones of libvirt's bridges: {why}"
                ));
            }
            Err(_) => {}
        }
    }

    /// Says when libvirt's own rules have gone and when they are back, and starts an idle daemon to
    /// make them again. One that runs would have to be restarted, and one that was stopped is so by
    /// somebody's choice.
    pub(super) fn keep_rules(&mut self, are_gone: bool) {
        let was_gone = std::mem::replace(&mut self.are_rules_gone, are_gone);
        if !are_gone {
            if was_gone {
                log::info("libvirt's own rules are back");
                // Only a start that did not help is one too many.
                self.woken = None;
            }
            self.idle_since = None;
            return;
        }
        let daemon = libvirt_daemon::find();
        let is_rested = self.woken.is_none_or(|woken| woken.elapsed() >= REST);
        let is_idle = daemon.state == State::IdleSocketActivated && is_rested;
        let since = is_idle.then(|| self.idle_since.unwrap_or_else(Instant::now));
        let is_to_wake = since.is_some_and(|since| since.elapsed() >= RESTART);
        self.idle_since = since.filter(|_| !is_to_wake);
        match daemon.state {
            State::IdleSocketActivated if is_to_wake => {
                self.woken = Some(Instant::now());
                let name = daemon.name;
                match daemon.wake() {
                    Ok(()) => log::warning(&format!(
                        "libvirt's own rules were flushed: {name} was idle and has been started, to \
                         set them again"
                    )),
                    Err(why) => log::error(&format!(
                        "libvirt's own rules are gone, and {name}, which was idle, cannot be \
                         started: {why}"
                    )),
                }
            }
            State::Running | State::Stopped if !was_gone => log::warning(
                "libvirt's own rules are gone, somebody flushed them: it can start no network \
                 before its daemon is restarted (systemctl restart libvirtd, or virtnetworkd)",
            ),
            _ => {}
        }
    }
}
