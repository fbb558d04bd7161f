//! The program that libvirtd runs as `/etc/libvirt/hooks/network`, or in `network.d`.
//!
//! It always exits with 0, because libvirt 7.0 to 10.7 leave a bridge behind that blocks every later
//! start when `started` fails. Only `start` may refuse, if the configuration says so. The program
//! writes nothing to stdout and ends within ten seconds.

mod handle;
mod log;

use std::{
    env, panic,
    process::{self, ExitCode},
    thread,
    time::Duration,
};

use virt_forward_policy::hook_event::{Event, Operation};
use virt_forward_system::{sandbox, syslog};

use log::Line;

/// libvirtd waits without a limit.
const WATCHDOG_TIMEOUT: Duration = Duration::from_secs(10);
/// The time that logging the timeout may take.
const LOG_TIMEOUT: Duration = Duration::from_millis(100);

/// `virt-forward hook` removes no program without this text, and `doctor` reads its version.
#[used]
static MARKER: &str = concat!(
    "virt-forward: this file is its libvirt network hook, version ",
    env!("CARGO_PKG_VERSION"),
    ";"
);

fn main() -> ExitCode {
    let event = match Event::from_args(env::args_os().skip(1)) {
        // Port events: each start of a guest waits for them.
        Ok(event) if event.operation == Operation::Other => return ExitCode::SUCCESS,
        Ok(event) => event,
        Err(error) => {
            syslog::error_to_stderr(&error.to_string());
            return ExitCode::SUCCESS;
        }
    };
    // Before another thread exists, and before any input is read.
    sandbox::drop_privileges();
    arm_watchdog(event.shown());
    match handle::handle(&event) {
        Ok(None) => ExitCode::SUCCESS,
        Ok(Some(Line::Info(text))) => {
            syslog::info(&format!("network {}: {text}", event.shown()));
            ExitCode::SUCCESS
        }
        Ok(Some(Line::Fault(text))) => {
            log::fault(&event.shown(), &text);
            ExitCode::SUCCESS
        }
        Err(error) => {
            if event.operation == Operation::Start {
                let network = event.shown();
                syslog::error_to_stderr(&format!(
                    "network {network}: {error:#}; its start is refused"
                ));
                return ExitCode::FAILURE;
            }
            log::fault(&event.shown(), &format!("{error:#}"));
            ExitCode::SUCCESS
        }
    }
}

/// Ends the process with 0 after a timeout, and on a panic, so that neither delays or fails an
/// operation of libvirt's. Child processes end with this one.
fn arm_watchdog(network: String) {
    let name = network.clone();
    panic::set_hook(Box::new(move |fault| {
        syslog::error_to_stderr(&format!("network {name}: internal error: {fault}"));
        process::exit(0);
    }));
    let watchdog = thread::Builder::new().spawn(move || {
        thread::sleep(WATCHDOG_TIMEOUT);
        // In a thread of its own, as the log itself may hang.
        let logger =
            thread::Builder::new().spawn(move || log::fault(&network, "timed out after 10 s"));
        thread::sleep(LOG_TIMEOUT);
        drop(logger);
        process::exit(0);
    });
    // Without the thread, each wait still has its own deadline.
    drop(watchdog);
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_hook_is_known_by_its_marker() {
        let marker = virt_forward_policy::hook_marker();
        assert!(super::MARKER.as_bytes().starts_with(&marker));
    }
}
