//! One event: what the config wants of it, done.

use std::{io, path::Path, time::Duration};

use anyhow::{Context, Result, anyhow, bail};
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

/// What we wait for ends a second before the hook does, so that there is time to say so.
const PATIENCE: Duration = Duration::from_secs(9);

/// What is to be said of the event, if anything was done.
pub(crate) fn handle(event: &Event) -> Result<Option<String>> {
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
            let config = match config {
                Ok(config) => config,
                Err(why) => {
                    let why = anyhow!(why).context("nothing was opened");
                    return Err(match note(event, &store, deadline) {
                        Ok(()) => why,
                        Err(also) => why.context(format!("{also:#}")),
                    });
                }
            };
            let network = described(event)?;
            let run = Run::begin(&store, &config, deadline)?;
            if event.operation == Operation::Updated && run.is_held(&network)? {
                return Ok(Some("stays closed, as it was closed by hand".to_owned()));
            }
            let outcome = run
                .started(network)
                .map_err(|why| match why.is_of_config() {
                    // All else of it is open.
                    true => anyhow!(why),
                    false => anyhow!(why).context("not opened"),
                })?;
            // By hand, that is; libvirtd calls when the bridge is there.
            if outcome == Outcome::NotActive && event.operation == Operation::Started {
                return Ok(Some("not opened: it is not active".to_owned()));
            }
            let but = match outcome {
                Outcome::Opened(_) => but(&run),
                _ => String::new(),
            };
            Ok(match (&outcome, config.opens_nothing()) {
                (Outcome::Unnamed, Some(nothing)) => Some(format!("not opened: {nothing}")),
                _ => said(&outcome).map(|said| said + &but),
            })
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

/// Remembers a network that cannot be opened.
fn note(event: &Event, store: &Store, deadline: Deadline) -> Result<()> {
    let closed = Config::closed();
    let network = described(event)?;
    Ok(Run::begin(store, &closed, deadline)?.note(network)?)
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

/// What keeps closed what was opened.
fn but(run: &Run<'_>) -> String {
    let chains: Vec<_> = run.still_closed().iter().map(ToString::to_string).collect();
    match chains.is_empty() {
        true => String::new(),
        false => format!(
            ", but refused by {}: see virt-forward status",
            chains.join(", ")
        ),
    }
}

/// What the log says, where there is something to say. libvirt tells of updates of networks
/// that are not active, and of the end of those that never came up: nothing to do is as it
/// should be then.
fn said(outcome: &Outcome) -> Option<String> {
    match outcome {
        Outcome::Opened(access) => Some(access.to_string()),
        Outcome::Unnamed => Some("not opened: the config names it nowhere".to_owned()),
        Outcome::NotRouted => Some("not opened: this host does not route it".to_owned()),
        Outcome::Closed => Some("closed".to_owned()),
        Outcome::NotActive | Outcome::WasNotOpen => None,
    }
}
