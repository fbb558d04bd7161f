//! What libvirt's daemon would do, were it running: its rules, and the zones of its bridges.

use std::time::{Duration, Instant};

use virt_forward_policy::network::Network;
use virt_forward_reconcile as reconcile;
use virt_forward_system::{
    deadline::Deadline,
    exec::firewalld,
    libvirt::daemon::{self, State},
    syslog,
};

use super::{
    rules::{Rules, Step},
    zones::{Checked, Zones},
};

/// firewalld answers within milliseconds, or is just starting.
const PATIENCE: Duration = Duration::from_secs(2);

/// What was done in place of libvirt's daemon.
#[derive(Debug, Default)]
pub(super) struct Deputy {
    zones: Zones,
    rules: Rules,
}

impl Deputy {
    /// When to check again, if anything has to be.
    pub(super) fn due(&self) -> Option<Instant> {
        [self.zones.due(), self.rules.due()]
            .into_iter()
            .flatten()
            .min()
    }

    /// Puts the bridges of these networks back into their zones, after firewalld has lost them.
    pub(super) fn keep_zones<'a>(&mut self, networks: impl Iterator<Item = &'a Network>) {
        let Ok(table) = firewalld::table(Deadline::after(PATIENCE)) else {
            return;
        };
        let now = Instant::now();
        let is_running = || daemon::find().state == State::Running;
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
                    "restored firewalld zones of {} (removed by a start or reload of firewalld, not set by libvirt)",
                    names.join(", ")
                );
                match is_running() {
                    // It would have, a while later: on a slow host.
                    true => syslog::info(&what),
                    false => syslog::warning(&what),
                }
            }
            // It may be starting; what is wrong with it is said once.
            Err(why) if self.zones.due().is_none() => {
                syslog::error(&format!(
                    "cannot check the firewalld zones of libvirt's bridges: {why}"
                ));
            }
            Err(_) => {}
        }
    }

    /// Starts an idle daemon whose rules are gone, to set them again. Warns where only the administrator
    /// can: a daemon that runs would have to be restarted, and one that is stopped is so by choice.
    pub(super) fn keep_rules(&mut self, are_gone: bool) {
        if !are_gone {
            if self.rules.are_there() {
                syslog::info("libvirt's rules are back");
            }
            return;
        }
        let daemon = daemon::find();
        let name = daemon.name;
        match self.rules.are_gone(daemon.state, Instant::now()) {
            Step::Wait => {}
            Step::Start => match daemon.wake() {
                Ok(()) => syslog::warning(&format!(
                    "started {name}, which was idle, to restore libvirt's rules (flushed)"
                )),
                Err(why) => syslog::error(&format!(
                    "cannot start {name}, which is idle, to restore libvirt's rules (flushed): {why}"
                )),
            },
            Step::Warn => syslog::warning(&format!(
                "libvirt's rules were flushed; libvirt cannot start a network until {name} restarts \
                 (systemctl restart {name})"
            )),
        }
    }
}
