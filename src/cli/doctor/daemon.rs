//! libvirt's daemon: whether it runs the hook.
//!
//! It looks whether there is any network hook when it starts, and when it is told to load its
//! settings again; if there was one, it sees at each call by itself what is there now
//! (libvirt, src/util/virhook.c). So a hook that replaces another is run at once, and the first
//! one only by a daemon that starts later.

use std::{
    fs,
    time::{Duration, SystemTime},
};

use virt_forward_policy::sanitize::escape;
use virt_forward_system::{
    libvirt::daemon::{State as Presence, UNIX_SOCKETS, is_listened_on},
    paths,
};

use super::{Finding, Root, processes::Process};

const CHECK: &str = "daemon";

/// By name, with their files of a process's number; that of the split daemons first.
const DAEMONS: [(&str, [&str; 2]); 2] = [
    (
        "virtnetworkd",
        ["/run/virtnetworkd.pid", "/run/libvirt/virtnetworkd.pid"],
    ),
    (
        "libvirtd",
        ["/run/libvirtd.pid", "/run/libvirt/libvirtd.pid"],
    ),
];

/// How far apart the clock of files and that of processes may be.
const SLACK: Duration = Duration::from_millis(500);

/// What a network that has run a hook has in its status file (libvirt,
/// src/conf/virnetworkobj.c, `virNetworkObjTaint`).
const TAINT: &str = "<taint flag='hook-script'/>";

/// What is known of the daemon.
#[derive(Clone, Debug, Default)]
pub(crate) struct Daemon {
    pub(crate) process: Option<Process>,
    /// The name of the daemon on whose socket it, or systemd for it, listens.
    listened_on: Option<&'static str>,
    /// Since when there has been a hook; nothing where there is none.
    hook_since: Option<SystemTime>,
    networks: Vec<Started>,
}

/// An active network.
#[derive(Clone, Debug)]
struct Started {
    name: String,
    /// It has run a hook; or one of that name had, since libvirt last forgot it.
    is_tainted: bool,
    /// As its dnsmasq was; nothing where it has none.
    at: Option<SystemTime>,
    /// When the daemon last wrote down what dnsmasq gives away: before it starts it, and for all
    /// networks when the daemon starts or loads its settings again (libvirt,
    /// src/network/bridge_driver.c, `networkRefreshDhcpDaemon`).
    refreshed: Option<SystemTime>,
}

impl Daemon {
    pub(crate) fn look(root: &Root, hook_since: Option<SystemTime>, now: SystemTime) -> Self {
        let statuses = root.names(paths::LIBVIRT_STATUS).into_iter();
        let names = statuses.filter_map(|file| Some(file.strip_suffix(".xml")?.to_owned()));
        let networks: Vec<_> = names
            .filter_map(|name| Started::look(root, name, now))
            .collect();
        let sockets = root.text(UNIX_SOCKETS).unwrap_or_default();
        let mut names = DAEMONS.iter().map(|(name, _)| *name);
        Self {
            process: find(root, now),
            listened_on: names.find(|name| is_listened_on(&sockets, name)),
            hook_since,
            networks,
        }
    }

    /// The daemon's name, for what restarts it.
    pub(crate) fn name(&self) -> &str {
        let running = self.process.as_ref().map(|process| process.name.as_str());
        running.or(self.listened_on).unwrap_or("libvirtd")
    }

    fn state(&self) -> Presence {
        Presence::of(self.process.is_some(), self.listened_on.is_some())
    }

    /// What makes it set its rules again.
    pub(crate) fn set_anew(&self) -> String {
        let name = self.name();
        self.remedy(format!("virsh net-list   # starts {name}, which was idle"))
    }

    /// What to do about one that does not answer.
    pub(crate) fn unanswered(&self) -> String {
        let name = self.name();
        self.remedy(format!(
            "journalctl -n 20 -u {name}   # it was idle, and any client starts it"
        ))
    }

    /// A restart takes libvirt's rules away for a while, so it is for a daemon that runs.
    fn remedy(&self, idle: String) -> String {
        let name = self.name();
        match self.state() {
            Presence::Running => format!("systemctl restart {name}"),
            Presence::IdleSocketActivated => idle,
            Presence::Stopped => format!("systemctl start {name}   # or virtnetworkd"),
        }
    }

    pub(crate) fn findings(&self) -> Vec<Finding> {
        let Some(process) = &self.process else {
            let name = self.name();
            return vec![match self.state() {
                Presence::Running | Presence::IdleSocketActivated => Finding::note(
                    CHECK,
                    format!(
                        "{name} is idle: its next client starts it, and it finds the hook then"
                    ),
                ),
                Presence::Stopped => Finding::note(
                    CHECK,
                    "libvirt's daemon is stopped, and so is its socket: it finds the hook when it starts",
                ),
            }];
        };
        let name = &process.name;
        let Some(since) = self.hook_since else {
            let what = format!("{name} runs, and there is no hook for it");
            return vec![Finding::note(CHECK, what)];
        };
        let mine = self.networks.iter();
        let mine: Vec<_> = mine
            .filter(|network| network.at.is_some_and(|at| at > process.started))
            .collect();
        if since <= process.started + SLACK || mine.iter().any(|network| network.is_tainted) {
            return vec![Finding::ok(CHECK, format!("{name} runs the hook"))];
        }
        // Told to load its settings again, it has looked for hooks again.
        let was_reloaded = |network: &&&Started| {
            let before = network.at.unwrap_or(since).max(since);
            network.refreshed.is_some_and(|at| at > before + SLACK)
        };
        let without = mine.iter().filter(|network| !was_reloaded(network));
        let without: Vec<_> = without.map(|network| escape(&network.name)).collect();
        let finding = match without.is_empty() {
            true => Finding::note(
                CHECK,
                format!(
                    "the hook is newer than the {name} that runs: whether it runs the hook is \
                     not to be seen. It does if there was a network hook before, else it has to \
                     be restarted"
                ),
            ),
            false => Finding::wrong(
                CHECK,
                format!(
                    "{name} does not run the hook, and did not for {}: it looks for hooks when \
                     it starts, and the hook came later",
                    without.join(", ")
                ),
            ),
        };
        vec![finding.with(self.set_anew())]
    }
}

impl Started {
    fn look(root: &Root, name: String, now: SystemTime) -> Option<Self> {
        let file = |ending| format!("{}/{name}.{ending}", paths::LIBVIRT_STATUS);
        let text = root.text(file("xml"))?;
        // What an admin wrote into the network's own XML comes after it.
        let own = text.find("<network>").or_else(|| text.find("<network "));
        let status = text.get(..own.unwrap_or(text.len())).unwrap_or_default();
        let dnsmasq = root.number(file("pid")).and_then(|pid| pid.try_into().ok());
        let dnsmasq = dnsmasq.and_then(|pid| root.process(pid, now));
        let dnsmasq = dnsmasq.filter(|process| process.name == "dnsmasq");
        Some(Self {
            is_tainted: status.contains(TAINT),
            at: dnsmasq.map(|process| process.started),
            refreshed: refreshed(root, &name),
            name,
        })
    }
}

/// The daemon that runs networks.
fn find(root: &Root, now: SystemTime) -> Option<Process> {
    DAEMONS.iter().find_map(|(name, files)| {
        let noted = files.iter().find_map(|file| {
            let pid = root.number(file)?.try_into().ok()?;
            root.process(pid, now)
                .filter(|process| process.name == *name)
        });
        noted.or_else(|| root.processes(name, now).into_iter().next())
    })
}

fn refreshed(root: &Root, network: &str) -> Option<SystemTime> {
    let endings = ["hostsfile", "addnhosts"].into_iter();
    let files = endings.map(|ending| format!("/var/lib/libvirt/dnsmasq/{network}.{ending}"));
    let touched = |path: String| fs::metadata(root.path(path)).ok()?.modified().ok();
    files.filter_map(touched).max()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::{State, processes::tests::put_process, tests::states};

    /// A host that booted 1000 seconds ago, with a daemon that started at 100.
    struct Fake(tempfile::TempDir, SystemTime);

    impl Fake {
        fn new() -> Self {
            let fake = Self(tempfile::tempdir().unwrap(), SystemTime::now());
            put_process(&fake.root(), 50, "libvirtd", 100);
            fake.root().put("/run/libvirtd.pid", "50");
            fake
        }

        fn root(&self) -> Root {
            Root::at(self.0.path())
        }

        fn network(&self, name: &str, seconds: u64, taint: &str) {
            let pid = 100 + u32::try_from(seconds).unwrap();
            put_process(&self.root(), pid, "dnsmasq", seconds);
            let folder = paths::LIBVIRT_STATUS;
            self.root()
                .put(&format!("{folder}/{name}.pid"), &pid.to_string());
            let xml = format!(
                "<networkstatus>{taint}<network><metadata>{TAINT}</metadata></network></networkstatus>"
            );
            self.root().put(&format!("{folder}/{name}.xml"), &xml);
        }

        /// With a hook since that many seconds after the boot.
        fn found(&self, hook: u64) -> Vec<Finding> {
            let since = self.1 - Duration::from_secs(1000 - hook);
            Daemon::look(&self.root(), Some(since), self.1).findings()
        }
    }

    #[test]
    fn a_hook_from_before_the_daemon_is_run() {
        let fake = Fake::new();
        assert_eq!(states(&fake.found(50)), [State::Ok]);
        // Installed, and the daemon restarted within the same moment.
        assert_eq!(states(&fake.found(100)), [State::Ok]);
    }

    #[test]
    fn a_daemon_whose_networks_ran_none_is_told() {
        let fake = Fake::new();
        assert_eq!(states(&fake.found(200)), [State::Note]);
        fake.network("kube02", 150, "");
        let found = fake.found(200);
        assert_eq!(states(&found), [State::Wrong]);
        assert!(
            found[0].what.contains("did not for kube02"),
            "{}",
            found[0].what
        );
        assert_eq!(found[0].remedy, ["systemctl restart libvirtd"]);
    }

    #[test]
    fn an_upgraded_hook_is_no_fault() {
        let fake = Fake::new();
        fake.network("kube02", 150, TAINT);
        assert_eq!(states(&fake.found(900)), [State::Ok]);
        let fake = Fake::new();
        // From before this daemon: that says nothing of it.
        fake.network("old", 80, TAINT);
        fake.network("older", 70, "");
        assert_eq!(states(&fake.found(900)), [State::Note]);
    }

    #[test]
    fn a_network_that_starts_beside_a_hook_and_runs_none_is_told() {
        let fake = Fake::new();
        fake.network("kube02", 300, "");
        assert_eq!(states(&fake.found(200)), [State::Wrong]);
    }

    #[test]
    fn a_daemon_that_was_reloaded_is_no_fault() {
        let fake = Fake::new();
        fake.network("kube02", 150, "");
        fake.root()
            .put("/var/lib/libvirt/dnsmasq/kube02.hostsfile", "");
        assert_eq!(states(&fake.found(200)), [State::Note]);
    }

    #[test]
    fn a_daemon_that_does_not_run_is_no_fault() {
        let dir = tempfile::tempdir().unwrap();
        let daemon = Daemon::look(&Root::at(dir.path()), None, SystemTime::now());
        assert_eq!(states(&daemon.findings()), [State::Note]);
        assert!(daemon.unanswered().starts_with("systemctl start libvirtd"));
    }

    #[test]
    fn nobody_is_told_to_restart_an_idle_daemon() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::at(dir.path());
        let socket = "0: 00000002 00000000 00010000 0001 01 7 /run/libvirt/virtnetworkd-sock";
        root.put(UNIX_SOCKETS, socket);
        let daemon = Daemon::look(&root, None, SystemTime::now());
        assert_eq!(daemon.name(), "virtnetworkd");
        let mut said = vec![daemon.unanswered(), daemon.set_anew()];
        for found in daemon.findings() {
            assert_eq!(found.state, State::Note);
            assert!(found.what.starts_with("virtnetworkd is idle"));
            said.extend(found.remedy);
        }
        assert!(
            !said.iter().any(|line| line.contains("restart")),
            "{said:?}"
        );
        let fake = Fake::new();
        assert_eq!(
            Daemon::look(&fake.root(), None, fake.1).unanswered(),
            "systemctl restart libvirtd"
        );
    }
}
