//! Logging to syslog: libvirt discards the stderr of a hook that exits with 0, and a daemon has no
//! terminal.

use std::io::{IsTerminal, stderr};

use syslog::{Facility, Formatter3164, Logger, LoggerBackend};

use virt_forward_policy::sanitize;

/// Logs an action.
pub fn info(line: &str) {
    let line = sanitize::line(line);
    let said = logger().is_some_and(|mut log| log.info(&line).is_ok());
    if !said || stderr().is_terminal() {
        print(&line);
    }
}

/// Logs a condition that the administrator should look at.
pub fn warning(line: &str) {
    let line = sanitize::line(line);
    let said = logger().is_some_and(|mut log| log.warning(&line).is_ok());
    if !said || stderr().is_terminal() {
        print(&line);
    }
}

/// Logs a failure.
pub fn error(line: &str) {
    let line = sanitize::line(line);
    let said = logger().is_some_and(|mut log| log.err(&line).is_ok());
    if !said || stderr().is_terminal() {
        print(&line);
    }
}

/// Logs a failure to syslog and to stderr, for an administrator who runs the hook by hand and for
/// libvirt's error message when the hook refuses a start.
pub fn error_to_stderr(line: &str) {
    let line = sanitize::line(line);
    if let Some(mut log) = logger() {
        // If syslog is unavailable, the line goes to stderr.
        let _ = log.err(&line);
    }
    print(&line);
}

fn print(line: &str) {
    use std::io::Write;
    // Unlike eprintln, this does not panic if stderr is closed.
    let _ = writeln!(stderr(), "virt-forward: {line}");
}

/// A non-blocking connection to syslog. If the syslog daemon hangs, the line goes to stderr.
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
