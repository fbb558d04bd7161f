//! Processes of this host, by their names.

use std::{
    fs,
    time::{Duration, SystemTime},
};

use super::Root;

/// Ticks a second of times in `/proc/PID/stat`: `USER_HZ`, the same on every machine that
/// libvirt runs on.
const TICKS: u64 = 100;

/// A process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    /// The kernel's name for it: 15 characters at most.
    pub(crate) name: String,
    pub(crate) started: SystemTime,
    /// Its program has been replaced since.
    pub(crate) is_outdated: bool,
}

impl Root {
    /// The process of that number, at a time when `now` is now.
    pub(crate) fn process(&self, pid: u32, now: SystemTime) -> Option<Process> {
        let stat = self.text(format!("/proc/{pid}/stat"))?;
        // The name is in parentheses, and may hold any of them.
        let (before, after) = stat.rsplit_once(')')?;
        let (_, name) = before.split_once('(')?;
        // Field 22, where the state behind the name is field 3 (proc_pid_stat(5)).
        let ticks: u64 = after.split_whitespace().nth(19)?.parse().ok()?;
        let program = fs::read_link(self.path(format!("/proc/{pid}/exe"))).ok();
        let program = program.map(|path| path.to_string_lossy().into_owned());
        Some(Process {
            pid,
            name: name.to_owned(),
            started: self.booted(now)? + Duration::from_millis(ticks * 1000 / TICKS),
            is_outdated: program.is_some_and(|path| path.ends_with(" (deleted)")),
        })
    }

    /// Nearer than the seconds of btime in /proc/stat: the same moment by both clocks.
    fn booted(&self, now: SystemTime) -> Option<SystemTime> {
        let uptime = self.text("/proc/uptime")?;
        let seconds: f64 = uptime.split_whitespace().next()?.parse().ok()?;
        now.checked_sub(Duration::try_from_secs_f64(seconds).ok()?)
    }

    /// The processes of that name in the network that we are in: those of containers have one of
    /// their own.
    pub(crate) fn processes(&self, name: &str, now: SystemTime) -> Vec<Process> {
        let network = |pid: &str| fs::read_link(self.path(format!("/proc/{pid}/ns/net"))).ok();
        let own = network("self");
        let pids = self.names("/proc").into_iter();
        let pids = pids.filter(|pid| pid.bytes().all(|byte| byte.is_ascii_digit()));
        // The name first: to look at all the rest of all processes takes long.
        let of_name =
            pids.filter(|pid| self.text(format!("/proc/{pid}/comm")).as_deref() == Some(name));
        let beside = of_name.filter(|pid| network(pid) == own);
        let pids = beside.filter_map(|pid| pid.parse().ok());
        pids.filter_map(|pid| self.process(pid, now)).collect()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Lays out a process that started that many seconds after a boot 1000 seconds ago.
    pub(crate) fn put_process(root: &Root, pid: u32, name: &str, seconds: u64) {
        root.put("/proc/uptime", "1000.00 900.00\n");
        let ticks = seconds * TICKS;
        let zeros = "0 ".repeat(18);
        root.put(
            &format!("/proc/{pid}/stat"),
            &format!("{pid} ({name}) S {zeros}{ticks} 0 0\n"),
        );
        root.put(&format!("/proc/{pid}/comm"), &format!("{name}\n"));
    }

    #[test]
    fn a_process_tells_when_it_started() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::at(dir.path());
        let now = SystemTime::now();
        put_process(&root, 7, "odd) (name", 250);
        put_process(&root, 8, "libvirtd", 400);
        let odd = root.process(7, now).unwrap();
        assert_eq!(odd.name, "odd) (name");
        assert_eq!(odd.started, now - Duration::from_secs(750));
        let found = root.processes("libvirtd", now);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].pid, 8);
        assert!(root.processes("virtnetworkd", now).is_empty());
        assert_eq!(root.process(9, now), None);
    }
}
