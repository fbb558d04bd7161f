//! The program that libvirtd runs as `/etc/libvirt/hooks/network`, or in `network.d`.
//!
//! It exits with 0 whatever happens: libvirt 7.0 to 10.7 leaves a bridge behind that blocks
//! every later start when `started` fails. Only `start` may refuse, where the config asks for
//! it. It says nothing on stdout, and is done within ten seconds.

mod log;

use std::{env, io, path::Path, process::ExitCode, thread, time::Duration};

use anyhow::{Context, Result, bail};
use virt_forward_core::{
    config::{Config, OnError},
    event::{Event, Operation},
    kernel::{deadline::Deadline, nft},
    network::{self, Network},
    paths,
    reconcile::{Outcome, Run},
    state::Store,
    text::shown,
};

/// libvirtd waits without limit. What we wait for ends a second earlier than we do, so that
/// there is time to say so.
const PATIENCE: Duration = Duration::from_secs(9);
const LIMIT: Duration = Duration::from_secs(10);

/// For `virt-forward hook`, which takes away no other program than this.
#[used]
static MARKER: &str = "virt-forward: this file is its libvirt network hook";

fn main() -> ExitCode {
    let event = match Event::from_args(env::args_os().skip(1)) {
        // Each start of a guest waits for these.
        Ok(event) if event.operation == Operation::Other => return ExitCode::SUCCESS,
        Ok(event) => event,
        Err(error) => {
            log::error(&error.to_string());
            return ExitCode::SUCCESS;
        }
    };
    give_up_in_time(shown(&event.network));
    match handle(&event) {
        Ok(None) => ExitCode::SUCCESS,
        Ok(Some(done)) => {
            log::info(&format!("network {}: {done}", shown(&event.network)));
            ExitCode::SUCCESS
        }
        Err(error) => {
            let refuse = event.operation == Operation::Start;
            let end = if refuse {
                "its start is refused"
            } else {
                "see virt-forward status"
            };
            log::error(&format!(
                "network {}: {error:#}; {end}",
                shown(&event.network)
            ));
            ExitCode::from(u8::from(refuse))
        }
    }
}

/// What is to be said of the event, if anything was done.
fn handle(event: &Event) -> Result<Option<String>> {
    let config = Config::load(Path::new(paths::CONFIG));
    let deadline = Deadline::after(PATIENCE);
    let store = Store::at(paths::STATE);
    match event.operation {
        Operation::Start => {
            let on_error = config
                .as_ref()
                .map_or_else(|e| e.on_error(), |config| config.on_error);
            if on_error == OnError::Refuse {
                config?;
                described(event)?;
                nft::check(deadline)?;
            }
            Ok(None)
        }
        Operation::Started | Operation::Updated => {
            let config = config.context("nothing was opened")?;
            let network = described(event)?;
            let run = Run::begin(&store, &config, deadline)?;
            Ok(said(&run.started(network).context("not opened")?))
        }
        Operation::Stopped => {
            let network = described(event)?;
            let closed = Config::closed();
            let run = Run::begin(&store, config.as_ref().unwrap_or(&closed), deadline)?;
            Ok(said(&run.stopped(&network).context("not closed")?))
        }
        Operation::Other => Ok(None),
    }
}

/// The network on stdin, which has to be the one in argv.
fn described(event: &Event) -> Result<Network> {
    let network = network::read(io::stdin().lock())?;
    if network.name != event.network {
        bail!(
            "the XML on stdin is that of the network {}",
            shown(&network.name)
        );
    }
    Ok(network)
}

fn said(outcome: &Outcome) -> Option<String> {
    match outcome {
        Outcome::Opened(groups) => Some(format!("open to group {}", groups.join(", "))),
        Outcome::InNoGroup => Some("not opened: in no group of the config".to_owned()),
        Outcome::Closed => Some("closed".to_owned()),
        Outcome::NotRouted | Outcome::NotActive | Outcome::WasNotOpen => None,
    }
}

/// Whatever hangs, stdin or a disk: libvirt's network is not held up. Our children end with
/// us.
fn give_up_in_time(network: String) {
    thread::spawn(move || {
        thread::sleep(LIMIT);
        log::error(&format!(
            "network {network}: gave up after 10 s; see virt-forward status"
        ));
        std::process::exit(0);
    });
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_hook_is_known_by_its_marker() {
        assert_eq!(super::MARKER.as_bytes(), virt_forward_core::hook_marker());
    }
}
