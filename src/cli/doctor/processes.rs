//! Processes of the host.

use std::{
    fs,
    time::{Duration, SystemTime},
};

use super::SysRoot;

/// `USER_HZ`, the ticks per second of times in `/proc/PID/stat`: the same on every architecture
/// that libvirt supports.
pub(super) const USER_HZ: u64 = 100;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    /// Its `comm`: 15 characters at most.
    pub(crate) name: String,
    pub(crate) started: SystemTime,
    /// Its program has been replaced since it started.
    pub(crate) is_outdated: bool,
}

impl SysRoot {
    /// The process with that pid; `now` is the current time.
    pub(crate) fn process(&self, pid: u32, now: SystemTime) -> Option<Process> {
        let stat = self.text(format!("/proc/{pid}/stat"))?;
        // The name is in parentheses, and can contain parentheses itself.
        let (before, after) = stat.rsplit_once(')')?;
        let (_, name) = before.split_once('(')?;
        // Field 22; the state, which follows the name, is field 3 (proc_pid_stat(5)).
        let ticks: u64 = after.split_whitespace().nth(19)?.parse().ok()?;
        let program = fs::read_link(self.path(format!("/proc/{pid}/exe"))).ok();
        let program = program.map(|path| path.to_string_lossy().into_owned());
        Some(Process {
            pid,
            name: name.to_owned(),
            started: self.boot_time(now)? + Duration::from_millis(ticks * 1000 / USER_HZ),
            is_outdated: program.is_some_and(|path| path.ends_with(" (deleted)")),
        })
    }

    /// The time of the boot by the wall clock, more precise than btime in /proc/stat.
    fn boot_time(&self, now: SystemTime) -> Option<SystemTime> {
        let uptime = self.text("/proc/uptime")?;
        let seconds: f64 = uptime.split_whitespace().next()?.parse().ok()?;
        now.checked_sub(Duration::try_from_secs_f64(seconds).ok()?)
    }

    /// The processes of that name in the network namespace of this program, so not those of
    /// containers.
    pub(crate) fn processes(&self, name: &str, now: SystemTime) -> Vec<Process> {
        let namespace = |pid: &str| fs::read_link(self.path(format!("/proc/{pid}/ns/net"))).ok();
        let own = namespace("self");
        let mut found = Vec::new();
        for pid in self.names("/proc") {
            // The name first: the rest takes long for all processes of a host.
            let is_named = self.text(format!("/proc/{pid}/comm")).as_deref() == Some(name);
            if is_named && namespace(&pid) == own {
                let pid = pid.parse().ok();
                found.extend(pid.and_then(|pid| self.process(pid, now)));
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::fixtures::put_process;

    #[test]
    fn a_process_is_read_with_the_time_of_its_start() {
        let dir = tempfile::tempdir().unwrap();
        let root = SysRoot::at(dir.path());
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
