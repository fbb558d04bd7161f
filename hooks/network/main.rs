//! The program that libvirtd runs as `/etc/libvirt/hooks/network`, or in `network.d`.
//!
//! It exits with 0 whatever happens: libvirt 7.0 to 10.7 leaves a bridge behind that blocks
//! every later start when `started` fails. Only `start` may refuse, where the config asks for
//! it. It says nothing on stdout, and is done within ten seconds.

mod handle;

use std::{
    env, panic,
    process::{self, ExitCode},
    thread,
    time::Duration,
};

use virt_forward_policy::hook_event::{Event, Operation};
use virt_forward_system::{sandbox, syslog};

/// libvirtd itself waits without limit.
const LIMIT: Duration = Duration::from_secs(10);
/// How long saying so may take.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// For `virt-forward hook`, which takes away no other program than this, and for `doctor`, which
/// reads the version.
#[used]
static MARKER: &str = concat!(
    "virt-forward: this file is its libvirt network hook, version ",
    env!("CARGO_PKG_VERSION"),
    ";"
);

fn main() -> ExitCode {
    let event = match Event::from_args(env::args_os().skip(1)) {
        // Each start of a guest waits for these.
        Ok(event) if event.operation == Operation::Other => return ExitCode::SUCCESS,
        Ok(event) => event,
        Err(error) => {
            syslog::error_aloud(&error.to_string());
            return ExitCode::SUCCESS;
        }
    };
    // Before there is another thread, and before anything is read.
    sandbox::shed();
    give_up_in_time(event.shown());
    match handle::handle(&event) {
        Ok(None) => ExitCode::SUCCESS,
        Ok(Some(done)) => {
            syslog::info(&format!("network {}: {done}", event.shown()));
            ExitCode::SUCCESS
        }
        Err(error) => {
            let refuse = event.operation == Operation::Start;
            let end = if refuse {
                "its start is refused"
            } else {
                "see virt-forward status"
            };
            syslog::error_aloud(&format!("network {}: {error:#}; {end}", event.shown()));
            ExitCode::from(u8::from(refuse))
        }
    }
}

/// Whatever hangs, stdin or a disk, and whatever we did wrong: libvirt's network is not held
/// up, nor stopped. Our children end with us.
fn give_up_in_time(network: String) {
    let name = network.clone();
    panic::set_hook(Box::new(move |fault| {
        syslog::error_aloud(&format!("network {name}: a fault of virt-forward: {fault}"));
        process::exit(0);
    }));
    let limit = thread::Builder::new().spawn(move || {
        thread::sleep(LIMIT);
        let line = format!("network {network}: gave up after 10 s; see virt-forward status");
        // Beside us: it may be the log that hangs.
        let saying = thread::Builder::new().spawn(move || syslog::error_aloud(&line));
        thread::sleep(LAST_WORDS);
        drop(saying);
        process::exit(0);
    });
    // Without a thread there is still each wait's own limit.
    drop(limit);
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_hook_is_known_by_its_marker() {
        let marker = virt_forward_policy::hook_marker();
        assert!(super::MARKER.as_bytes().starts_with(&marker));
    }
}
