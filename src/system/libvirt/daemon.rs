//! libvirt's daemon that runs networks: whether it runs, and how to start it.
//!
//! Debian and others end it after 120 seconds without a client; systemd listens on its socket then,
//! and the next client starts it again. It sets its rules again at each start.

use std::{
    fs::{self, File},
    io,
    os::unix::net::UnixStream,
};

use rustix::process::{Flock, FlockType, fcntl_getlk};

/// Both kinds, that of the split daemons first: beside it, another daemon owns libvirtd's socket.
const KINDS: [Kind; 2] = [
    Kind {
        name: "virtnetworkd",
        socket: "/run/libvirt/virtnetworkd-sock",
        pid_file: "/run/virtnetworkd.pid",
    },
    Kind {
        name: "libvirtd",
        socket: "/run/libvirt/libvirt-sock",
        pid_file: "/run/libvirtd.pid",
    },
];

/// The sockets of this network namespace, with a flag for those that a process listens on.
pub const UNIX_SOCKETS: &str = "/proc/net/unix";
/// `__SO_ACCEPTCON` (include/linux/net.h): it is listened on.
const LISTENING: u32 = 1 << 16;

#[derive(Debug)]
struct Kind {
    name: &'static str,
    socket: &'static str,
    /// The daemon holds a lock on it while it runs (libvirt, src/util/virpidfile.c).
    pid_file: &'static str,
}

/// Whether the daemon is there for who asks it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It runs.
    Running,
    /// It does not run, and whoever connects to its socket starts it. There is nothing to restart.
    IdleSocketActivated,
    /// It does not run, and nothing starts it: by the administrator's choice, or it failed.
    Stopped,
}

impl State {
    /// What follows from whether its process is there, and whether somebody listens on its socket.
    pub fn of(is_running: bool, is_listened_on: bool) -> Self {
        match (is_running, is_listened_on) {
            (true, _) => State::Running,
            (false, true) => State::IdleSocketActivated,
            (false, false) => State::Stopped,
        }
    }
}

/// The daemon of this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Daemon {
    /// Its name, and that of its unit.
    pub name: &'static str,
    /// Whether it is there.
    pub state: State,
    socket: &'static str,
}

/// Looks for it, without starting it.
pub fn find() -> Daemon {
    let sockets = fs::read_to_string(UNIX_SOCKETS).unwrap_or_default();
    let state = |kind: &Kind| {
        State::of(
            is_locked(kind.pid_file),
            is_listened_on(&sockets, kind.name),
        )
    };
    let of = |kind: &'static Kind, state| Daemon {
        name: kind.name,
        state,
        socket: kind.socket,
    };
    let mut all = KINDS.iter().map(|kind| of(kind, state(kind)));
    let found = all.find(|daemon| daemon.state != State::Stopped);
    found.unwrap_or_else(|| of(&KINDS[1], State::Stopped))
}

impl Daemon {
    /// Starts it, if it is idle: by a connection that asks for nothing.
    pub fn wake(&self) -> io::Result<()> {
        match self.state {
            State::IdleSocketActivated => UnixStream::connect(self.socket).map(drop),
            State::Running | State::Stopped => Ok(()),
        }
    }
}

/// Whether `sockets`, which is [`UNIX_SOCKETS`], has one of that daemon's that is listened on.
pub fn is_listened_on(sockets: &str, daemon: &str) -> bool {
    let mut kinds = KINDS.iter();
    let Some(kind) = kinds.find(|kind| kind.name == daemon) else {
        return false;
    };
    // Num RefCount Protocol Flags Type St Inode Path
    sockets.lines().any(|line| {
        let fields: Vec<_> = line.split_ascii_whitespace().collect();
        let flags = fields
            .get(3)
            .and_then(|flags| u32::from_str_radix(flags, 16).ok());
        let is_its = fields
            .get(7)
            .is_some_and(|path| path.ends_with(kind.socket));
        is_its && flags.is_some_and(|flags| flags & LISTENING != 0)
    })
}

/// Whether a process holds a lock on that file. The process itself need not be visible to us.
fn is_locked(path: &str) -> bool {
    let Ok(file) = File::open(path) else {
        return false;
    };
    let lock = Flock::from(FlockType::WriteLock);
    fcntl_getlk(&file, &lock).is_ok_and(|held| held.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_socket_that_is_listened_on_starts_a_daemon() {
        let table = |flags, path| {
            format!(
                "Num       RefCount Protocol Flags    Type St Inode Path\n\
                 0000000000000000: 00000002 00000000 {flags} 0001 01 22107 {path}\n"
            )
        };
        let listens = |flags, path| is_listened_on(&table(flags, path), "libvirtd");
        assert!(listens("00010000", "/run/libvirt/libvirt-sock"));
        assert!(listens("00010000", "/var/run/libvirt/libvirt-sock"));
        assert!(
            !listens("00000000", "/run/libvirt/libvirt-sock"),
            "a client"
        );
        assert!(!listens("00010000", "/run/libvirt/libvirt-sock-ro"));
        assert!(!listens("00010000", ""));
        assert!(!is_listened_on("", "libvirtd"));
        assert!(!is_listened_on(
            &table("00010000", "/run/libvirt/libvirt-sock"),
            "virtnetworkd"
        ));
    }

    #[test]
    fn an_idle_daemon_is_told_from_a_stopped_one() {
        assert_eq!(State::of(true, true), State::Running);
        assert_eq!(State::of(true, false), State::Running);
        assert_eq!(State::of(false, true), State::IdleSocketActivated);
        assert_eq!(State::of(false, false), State::Stopped);
    }
}
