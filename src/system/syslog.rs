//! syslog: libvirt drops the stderr of a hook that exits with 0, and nobody sits before a
//! daemon.

use std::io::{IsTerminal, stderr};

use syslog::{Facility, Formatter3164, Logger, LoggerBackend};

use virt_forward_policy::sanitize;

/// What was done.
pub fn info(line: &str) {
    let line = sanitize::line(line);
    let said = logger().is_some_and(|mut log| log.info(&line).is_ok());
    if !said || stderr().is_terminal() {
        print(&line);
    }
}

/// What somebody should look at.
pub fn warning(line: &str) {
    let line = sanitize::line(line);
    let said = logger().is_some_and(|mut log| log.warning(&line).is_ok());
    if !said || stderr().is_terminal() {
        print(&line);
    }
}

/// What went wrong.
pub fn error(line: &str) {
    let line = sanitize::line(line);
    let said = logger().is_some_and(|mut log| log.err(&line).is_ok());
    if !said || stderr().is_terminal() {
        print(&line);
    }
}

/// What went wrong, on stderr as well: for who runs the hook by hand, and for libvirt's own
/// message when a start is refused.
pub fn error_aloud(line: &str) {
    let line = sanitize::line(line);
    if let Some(mut log) = logger() {
        // What cannot be said there is said on stderr.
        let _ = log.err(&line);
    }
    print(&line);
}

fn print(line: &str) {
    use std::io::Write;
    // A closed stderr is no reason to panic, as eprintln does.
    let _ = writeln!(stderr(), "virt-forward: {line}");
}

/// A log that never waits: with a daemon that reads nothing any more, a line is said on stderr.
fn logger() -> Option<Logger<LoggerBackend, Formatter3164>> {
    let formatter = Formatter3164 {
        facility: Facility::LOG_DAEMON,
        hostname: None,
        process: "virt-forward".to_owned(),
        pid: std::process::id(),
    };
    let logger = syslog::unix(formatter).ok()?;
    match &logger.backend {
        LoggerBackend::Unix(socket) => socket.set_nonblocking(true).ok()?,
        LoggerBackend::UnixStream(stream) => stream.get_ref().set_nonblocking(true).ok()?,
        _ => {}
    }
    Some(logger)
}
