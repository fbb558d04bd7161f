//! Whether the daemon runs the hook, judged by what was observed of both.

use std::{
    fmt::{self, Display, Formatter},
    time::{Duration, SystemTime},
};

use strum::IntoStaticStr;
use virt_forward_policy::sanitize::escape;
use virt_forward_system::libvirt::daemon::State;

use super::observed::{Daemon, StartedNetwork};
use crate::doctor::{
    diagnosis::{Diagnosis, Fix, Severity, Subject},
    processes::Process,
};

/// The greatest difference between the clock of files and that of processes.
const SLACK: Duration = Duration::from_millis(500);

/// What makes the daemon, named by its unit, serve again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Recovery {
    /// It runs. A restart takes libvirt's rules away for a moment, so it is for this case alone.
    Restart(String),
    /// It is idle: any client starts it.
    Wake(String),
    /// It is idle, but did not start when it was asked.
    ReadLog(String),
    /// It is stopped, and so is its socket.
    Start(String),
}

impl Recovery {
    pub(crate) fn fix(&self) -> Fix {
        match self {
            Self::Restart(unit) => Fix::command(format!("systemctl restart {unit}")),
            Self::Wake(unit) => Fix::command_with("virsh net-list", format!("starts {unit}")),
            Self::ReadLog(unit) => Fix::command_with(
                format!("journalctl -n 20 -u {unit}"),
                "socket-activated: any client starts it",
            ),
            Self::Start(unit) => {
                Fix::command_with(format!("systemctl start {unit}"), "or virtnetworkd")
            }
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, IntoStaticStr)]
#[cfg_attr(test, derive(strum::VariantNames))]
#[strum(serialize_all = "kebab-case")]
pub(crate) enum DaemonFinding {
    RunsHook {
        daemon: String,
    },
    /// Not running, but socket-activated.
    Idle {
        daemon: String,
    },
    /// Neither the daemon nor its socket is running.
    Stopped,
    /// It runs, and no hook is installed.
    NoHook {
        daemon: String,
    },
    /// The hook is newer than the daemon, and no network has started since.
    HookNewer {
        daemon: String,
        recovery: Recovery,
    },
    /// Networks have started without running the hook.
    HookIgnored {
        daemon: String,
        networks: Vec<String>,
        recovery: Recovery,
    },
}

impl Diagnosis for DaemonFinding {
    fn subject(&self) -> Subject {
        Subject::Daemon
    }

    fn kind(&self) -> &'static str {
        self.into()
    }

    fn severity(&self) -> Severity {
        match self {
            Self::RunsHook { .. } => Severity::Ok,
            Self::Idle { .. } | Self::Stopped | Self::NoHook { .. } | Self::HookNewer { .. } => {
                Severity::Note
            }
            Self::HookIgnored { .. } => Severity::Error,
        }
    }

    fn fix(&self) -> Vec<Fix> {
        match self {
            Self::HookNewer { recovery, .. } | Self::HookIgnored { recovery, .. } => {
                vec![recovery.fix()]
            }
            Self::RunsHook { .. } | Self::Idle { .. } | Self::Stopped | Self::NoHook { .. } => {
                Vec::new()
            }
        }
    }
}

impl Display for DaemonFinding {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::RunsHook { daemon } => write!(f, "{daemon} runs the hook"),
            Self::Idle { daemon } => write!(
                f,
                "{daemon} is idle (socket-activated); it will load the hook when it starts"
            ),
            Self::Stopped => f.write_str(
                "libvirt's daemon and its socket are stopped; the daemon will load the hook when it starts",
            ),
            Self::NoHook { daemon } => write!(f, "{daemon} is running; no hook is installed"),
            Self::HookNewer { daemon, .. } => write!(
                f,
                "cannot tell whether {daemon} runs the hook, which was installed after {daemon} \
                 started: it does if another network hook was installed before; otherwise it \
                 has to be restarted"
            ),
            Self::HookIgnored {
                daemon, networks, ..
            } => {
                let networks: Vec<_> = networks.iter().map(|name| escape(name)).collect();
                write!(
                    f,
                    "{daemon} does not run the hook, and did not run it for {}: libvirt looks for \
                     hooks when it starts, and this one was installed later",
                    networks.join(", ")
                )
            }
        }
    }
}

impl Daemon {
    /// What makes the daemon write its rules again.
    pub(crate) fn rewrite_rules(&self) -> Recovery {
        self.recovery(Recovery::Wake)
    }

    /// What to do about a daemon that does not answer.
    pub(crate) fn restore_service(&self) -> Recovery {
        self.recovery(Recovery::ReadLog)
    }

    fn recovery(&self, if_idle: fn(String) -> Recovery) -> Recovery {
        let unit = self.name().to_owned();
        match self.state() {
            State::Running => Recovery::Restart(unit),
            State::IdleSocketActivated => if_idle(unit),
            State::Stopped => Recovery::Start(unit),
        }
    }

    pub(crate) fn check(&self) -> DaemonFinding {
        let daemon = self.name().to_owned();
        match (&self.process, self.state()) {
            (None, State::Stopped) => DaemonFinding::Stopped,
            (None, State::Running | State::IdleSocketActivated) => DaemonFinding::Idle { daemon },
            (Some(process), _) => match self.hook_since {
                None => DaemonFinding::NoHook { daemon },
                Some(since) => self.check_running(process, since),
            },
        }
    }

    /// Judges a running daemon by the networks that it has started itself.
    fn check_running(&self, process: &Process, hook_since: SystemTime) -> DaemonFinding {
        let daemon = process.name.clone();
        let started_by_it = |network: &&StartedNetwork| {
            network
                .started
                .is_some_and(|started| started > process.started)
        };
        let networks: Vec<_> = self.networks.iter().filter(started_by_it).collect();
        let is_older = hook_since <= process.started + SLACK;
        if is_older || networks.iter().any(|network| network.is_tainted) {
            return DaemonFinding::RunsHook { daemon };
        }
        let recovery = self.rewrite_rules();
        let without_hook = networks
            .iter()
            .filter(|network| !network.was_refreshed_after(hook_since));
        let networks: Vec<_> = without_hook.map(|network| network.name.clone()).collect();
        if networks.is_empty() {
            return DaemonFinding::HookNewer { daemon, recovery };
        }
        DaemonFinding::HookIgnored {
            daemon,
            networks,
            recovery,
        }
    }
}

impl StartedNetwork {
    /// Whether the daemon has reloaded its settings, and so looked for hooks, since the network
    /// started with the hook in place.
    fn was_refreshed_after(&self, hook_since: SystemTime) -> bool {
        let both = self.started.unwrap_or(hook_since).max(hook_since);
        self.refreshed.is_some_and(|at| at > both + SLACK)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Times are seconds since the boot.
    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    /// A daemon that started at 100, and a hook installed at `hook`.
    fn daemon(hook: u64, networks: Vec<StartedNetwork>) -> Daemon {
        Daemon {
            process: Some(Process {
                pid: 50,
                name: "libvirtd".to_owned(),
                started: at(100),
                is_outdated: false,
            }),
            hook_since: Some(at(hook)),
            networks,
            ..Daemon::default()
        }
    }

    fn network(name: &str, started: u64, is_tainted: bool) -> StartedNetwork {
        StartedNetwork {
            name: name.to_owned(),
            is_tainted,
            started: Some(at(started)),
            refreshed: None,
        }
    }

    fn kind(daemon: &Daemon) -> &'static str {
        daemon.check().kind()
    }

    #[test]
    fn a_daemon_runs_a_hook_that_is_older_than_itself() {
        assert_eq!(kind(&daemon(50, vec![])), "runs-hook");
        // Installed, and the daemon restarted within the same moment.
        assert_eq!(kind(&daemon(100, vec![])), "runs-hook");
    }

    #[test]
    fn a_daemon_without_a_hook_is_noted() {
        let without = Daemon {
            hook_since: None,
            ..daemon(0, vec![])
        };
        assert_eq!(kind(&without), "no-hook");
    }

    #[test]
    fn networks_that_started_without_the_hook_are_an_error() {
        assert_eq!(kind(&daemon(200, vec![])), "hook-newer");
        let expected = DaemonFinding::HookIgnored {
            daemon: "libvirtd".to_owned(),
            networks: vec!["kube02".to_owned()],
            recovery: Recovery::Restart("libvirtd".to_owned()),
        };
        for started in [150, 300] {
            let ignoring = daemon(200, vec![network("kube02", started, false)]);
            assert_eq!(ignoring.check(), expected);
        }
    }

    #[test]
    fn an_upgraded_hook_is_not_an_error() {
        let upgraded = daemon(900, vec![network("kube02", 150, true)]);
        assert_eq!(kind(&upgraded), "runs-hook");
        // Networks that an earlier daemon started say nothing about this one.
        let older = vec![network("old", 80, true), network("older", 70, false)];
        assert_eq!(kind(&daemon(900, older)), "hook-newer");
    }

    #[test]
    fn a_daemon_that_reloaded_its_settings_is_not_an_error() {
        let refreshed = StartedNetwork {
            refreshed: Some(at(400)),
            ..network("kube02", 150, false)
        };
        assert_eq!(kind(&daemon(200, vec![refreshed])), "hook-newer");
    }

    #[test]
    fn a_stopped_daemon_is_started_and_a_running_one_restarted() {
        let stopped = Daemon::default();
        assert_eq!(stopped.check(), DaemonFinding::Stopped);
        assert_eq!(
            stopped.restore_service().fix().to_string(),
            "systemctl start libvirtd   # or virtnetworkd"
        );
        assert_eq!(
            daemon(0, vec![]).restore_service().fix(),
            Fix::command("systemctl restart libvirtd")
        );
    }

    #[test]
    fn no_fix_restarts_an_idle_daemon() {
        let idle = Daemon {
            listened_on: Some("virtnetworkd"),
            ..Daemon::default()
        };
        let daemon = "virtnetworkd".to_owned();
        assert_eq!(idle.check(), DaemonFinding::Idle { daemon });
        assert_eq!(
            idle.restore_service(),
            Recovery::ReadLog("virtnetworkd".to_owned())
        );
        assert_eq!(
            idle.rewrite_rules(),
            Recovery::Wake("virtnetworkd".to_owned())
        );
    }
}
