//! The state of the libvirt daemon that manages networks, and starting it.
//!
//! On Debian and others the daemon exits after 120 seconds without a client. systemd then listens
//! on its socket, and the next client starts it again. The daemon restores its rules at each start.

use std::{
    fs::{self, File},
    io,
    os::unix::net::UnixStream,
};

use rustix::process::{Flock, FlockType, fcntl_getlk};

/// The modular daemon first: if it is in use, another daemon owns libvirtd's socket.
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

/// The Unix sockets of this network namespace, with flags.
pub const UNIX_SOCKETS: &str = "/proc/net/unix";
/// `__SO_ACCEPTCON` (include/linux/net.h): a process listens on the socket.
const LISTENING: u32 = 1 << 16;

#[derive(Debug)]
struct Kind {
    name: &'static str,
    socket: &'static str,
    /// The pid file, which the daemon locks while it runs (libvirt, src/util/virpidfile.c).
    pid_file: &'static str,
}

/// The state of the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The daemon runs.
    Running,
    /// The daemon does not run, and a connection to its socket starts it. A restart is not needed.
    IdleSocketActivated,
    /// The daemon does not run, and nothing starts it: the administrator stopped it, or it failed.
    Stopped,
}

impl State {
    /// The state that follows from whether the process runs and whether a process listens on the
    /// socket.
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
    /// The name of the daemon and of its unit.
    pub name: &'static str,
    /// Its state.
    pub state: State,
    socket: &'static str,
}

/// Finds the daemon without starting it.
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
    /// Starts an idle daemon by a connection without a request.
    pub fn wake(&self) -> io::Result<()> {
        match self.state {
            State::IdleSocketActivated => UnixStream::connect(self.socket).map(drop),
            State::Running | State::Stopped => Ok(()),
        }
    }
}

/// Whether a process listens on the daemon's socket, according to the content of [`UNIX_SOCKETS`].
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

/// Whether a process holds a lock on the file. That process may be in another PID namespace.
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
