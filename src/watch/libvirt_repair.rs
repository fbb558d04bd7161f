//! Repairs in place of libvirt's daemon while it does not run: its rules, and the zones of its bridges.

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
    firewalld_zones::{Checked, ZoneChecks},
    libvirt_rules::{Action, LibvirtRules},
};

/// firewalld replies within milliseconds, unless it is just starting.
const TIMEOUT: Duration = Duration::from_secs(2);

/// The state of libvirt's rules and of the zones of its bridges.
#[derive(Debug, Default)]
pub(super) struct LibvirtRepair {
    zones: ZoneChecks,
    rules: LibvirtRules,
}

impl LibvirtRepair {
    /// When the next check is due, if any.
    pub(super) fn due(&self) -> Option<Instant> {
        [self.zones.due(), self.rules.due()]
            .into_iter()
            .flatten()
            .min()
    }

    /// Restores the zones of these networks' bridges after a restart or reload of firewalld.
    pub(super) fn repair_zones<'a>(&mut self, networks: impl Iterator<Item = &'a Network>) {
        let Ok(table) = firewalld::table(Deadline::after(TIMEOUT)) else {
            return;
        };
        let now = Instant::now();
        let is_running = || daemon::find().state == State::Running;
        self.zones.set_table(table, now, is_running);
        if self.zones.due().is_none_or(|due| due > now) {
            return;
        }
        let restored = reconcile::restore_zones(networks, Deadline::after(TIMEOUT));
        let found = match &restored {
            Ok(bridges) if bridges.is_empty() => Checked::InOrder,
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
                    // libvirt would have, a moment later, on a slow host.
                    true => syslog::info(&what),
                    false => syslog::warning(&what),
                }
            }
            // It may be starting, so only the last failure is logged.
            Err(why) if self.zones.due().is_none() => {
                syslog::error(&format!(
                    "cannot check the firewalld zones of libvirt's bridges: {why}"
                ));
            }
            Err(_) => {}
        }
    }

    /// Starts an idle daemon whose rules are missing, so that it sets them again. Warns if only the
    /// administrator can do that: a running daemon has to be restarted, and a stopped one was stopped on
    /// purpose.
    pub(super) fn repair_rules(&mut self, are_missing: bool) {
        if !are_missing {
            if self.rules.found() {
                syslog::info("libvirt's rules are back");
            }
            return;
        }
        let daemon = daemon::find();
        let name = daemon.name;
        match self.rules.missing(daemon.state, Instant::now()) {
            Action::Wait => {}
            Action::Start => match daemon.wake() {
                Ok(()) => syslog::warning(&format!(
                    "started {name}, which was idle, to restore libvirt's rules (flushed)"
                )),
                Err(why) => syslog::error(&format!(
                    "cannot start {name}, which is idle, to restore libvirt's rules (flushed): {why}"
                )),
            },
            Action::Warn => syslog::warning(&format!(
                "libvirt's rules were flushed; libvirt cannot start a network until {name} restarts \
                 (systemctl restart {name})"
            )),
        }
    }
}
