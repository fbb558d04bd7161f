//! The daemon's process and the networks it has started.

use std::{fs, time::SystemTime};

use virt_forward_system::{
    libvirt::daemon::{State, UNIX_SOCKETS, is_listened_on},
    paths,
};

use crate::doctor::{SysRoot, processes::Process};

/// Daemons that run networks, with their pid files; the split daemon first.
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

/// The mark of a network that has run a hook, in its status file (libvirt,
/// src/conf/virnetworkobj.c, `virNetworkObjTaint`).
const TAINT: &str = "<taint flag='hook-script'/>";

#[derive(Clone, Debug, Default)]
pub(crate) struct Daemon {
    /// `None` if the daemon is not running.
    pub(crate) process: Option<Process>,
    /// The daemon on whose socket it, or systemd for it, listens.
    pub(super) listened_on: Option<&'static str>,
    /// The time since when a network hook has been installed.
    pub(super) hook_since: Option<SystemTime>,
    pub(super) networks: Vec<StartedNetwork>,
}

/// An active network.
#[derive(Clone, Debug)]
pub(super) struct StartedNetwork {
    pub(super) name: String,
    /// It has run a hook, or a network of this name has since libvirt last forgot that name.
    pub(super) is_tainted: bool,
    /// The start of its dnsmasq; `None` if it has none.
    pub(super) started: Option<SystemTime>,
    /// When the daemon last wrote the files of its dnsmasq: before it starts dnsmasq, and for all
    /// networks when the daemon starts or reloads its settings (libvirt,
    /// src/network/bridge_driver.c, `networkRefreshDhcpDaemon`).
    pub(super) refreshed: Option<SystemTime>,
}

impl Daemon {
    pub(crate) fn collect(root: &SysRoot, hook_since: Option<SystemTime>, now: SystemTime) -> Self {
        let files = root.names(paths::LIBVIRT_STATUS).into_iter();
        let names = files.filter_map(|file| Some(file.strip_suffix(".xml")?.to_owned()));
        let networks = names.filter_map(|name| StartedNetwork::collect(root, name, now));
        let sockets = root.text(UNIX_SOCKETS).unwrap_or_default();
        let mut daemons = DAEMONS.iter().map(|(name, _)| *name);
        Self {
            process: find_process(root, now),
            listened_on: daemons.find(|name| is_listened_on(&sockets, name)),
            hook_since,
            networks: networks.collect(),
        }
    }

    /// The name of the daemon and its unit.
    pub(crate) fn name(&self) -> &str {
        let running = self.process.as_ref().map(|process| process.name.as_str());
        running.or(self.listened_on).unwrap_or("libvirtd")
    }

    pub(super) fn state(&self) -> State {
        State::of(self.process.is_some(), self.listened_on.is_some())
    }
}

impl StartedNetwork {
    fn collect(root: &SysRoot, name: String, now: SystemTime) -> Option<Self> {
        let file = |ending| format!("{}/{name}.{ending}", paths::LIBVIRT_STATUS);
        let text = root.text(file("xml"))?;
        // The definition follows libvirt's own part; the administrator can write anything in it.
        let definition = text.find("<network>").or_else(|| text.find("<network "));
        let status = text
            .get(..definition.unwrap_or(text.len()))
            .unwrap_or_default();
        let pid = root.number(file("pid")).and_then(|pid| pid.try_into().ok());
        let process = pid.and_then(|pid| root.process(pid, now));
        let dnsmasq = process.filter(|process| process.name == "dnsmasq");
        Some(Self {
            is_tainted: status.contains(TAINT),
            started: dnsmasq.map(|process| process.started),
            refreshed: last_refresh(root, &name),
            name,
        })
    }
}

fn find_process(root: &SysRoot, now: SystemTime) -> Option<Process> {
    DAEMONS.iter().find_map(|(name, pid_files)| {
        let by_pid_file = pid_files.iter().find_map(|file| {
            let pid = root.number(file)?.try_into().ok()?;
            root.process(pid, now)
                .filter(|process| process.name == *name)
        });
        by_pid_file.or_else(|| root.processes(name, now).into_iter().next())
    })
}

fn last_refresh(root: &SysRoot, network: &str) -> Option<SystemTime> {
    let endings = ["hostsfile", "addnhosts"].into_iter();
    let files = endings.map(|ending| format!("/var/lib/libvirt/dnsmasq/{network}.{ending}"));
    let modified = |path: String| fs::metadata(root.path(path)).ok()?.modified().ok();
    files.filter_map(modified).max()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::fixtures::put_process;
    use std::time::Duration;

    /// A host that booted 1000 seconds ago, with a daemon that started at 100.
    #[test]
    fn a_daemon_and_its_networks_are_found() {
        let dir = tempfile::tempdir().unwrap();
        let (root, now) = (SysRoot::at(dir.path()), SystemTime::now());
        put_process(&root, 50, "libvirtd", 100);
        root.put("/run/libvirtd.pid", "50");
        let status = |name: &str, taint: &str| {
            let text = format!(
                "<networkstatus>{taint}<network><metadata>{TAINT}</metadata></network></networkstatus>"
            );
            root.put(&format!("{}/{name}.xml", paths::LIBVIRT_STATUS), &text);
        };
        status("kube02", TAINT);
        status("kube03", "");
        put_process(&root, 60, "dnsmasq", 300);
        root.put(&format!("{}/kube02.pid", paths::LIBVIRT_STATUS), "60");
        root.put("/var/lib/libvirt/dnsmasq/kube03.hostsfile", "");
        let daemon = Daemon::collect(&root, None, now);
        assert_eq!(daemon.process.as_ref().map(|process| process.pid), Some(50));
        let [kube02, kube03] = &daemon.networks[..] else {
            panic!("{:?}", daemon.networks);
        };
        assert!(kube02.is_tainted && !kube03.is_tainted);
        assert_eq!(kube02.started, Some(now - Duration::from_secs(700)));
        assert_eq!(kube03.started, None);
        assert!(kube02.refreshed.is_none() && kube03.refreshed.is_some());
    }

    #[test]
    fn an_idle_daemon_is_known_by_its_socket() {
        let dir = tempfile::tempdir().unwrap();
        let root = SysRoot::at(dir.path());
        let socket = "0: 00000002 00000000 00010000 0001 01 7 /run/libvirt/virtnetworkd-sock";
        root.put(UNIX_SOCKETS, socket);
        let daemon = Daemon::collect(&root, None, SystemTime::now());
        assert_eq!(daemon.name(), "virtnetworkd");
        assert_eq!(daemon.state(), State::IdleSocketActivated);
    }
}
