//! One event: what the config wants of it, done.

use std::{io, os::unix::ffi::OsStrExt, path::Path, time::Duration};

use anyhow::{Context, Result, anyhow, bail};
use virt_forward_policy::{
    config::{Config, ConfigError, OnError},
    hook_event::{Event, Operation},
    network::{self, KernelName, Network, XmlError},
    sanitize::escape,
};
use virt_forward_reconcile::{Error, Outcome, Run};
use virt_forward_system::{
    config_file, deadline::Deadline, exec::nft, libvirt::status, paths, state::Store, syslog,
};

/// What we wait for ends a second before the hook does, so that there is time to say so.
const PATIENCE: Duration = Duration::from_secs(9);

/// What is to be said of the event, if anything was done.
pub(crate) fn handle(event: &Event) -> Result<Option<String>> {
    let call = Call {
        event,
        config: config_file::load(Path::new(paths::CONFIG)),
        store: Store::at(paths::STATE),
        deadline: Deadline::after(PATIENCE),
    };
    match event.operation {
        Operation::Start => call.start(),
        Operation::Started => call.started(),
        Operation::Updated => call.updated(),
        Operation::Stopped => call.stopped(),
        Operation::Other => Ok(None),
    }
}

/// The hook, called.
struct Call<'a> {
    event: &'a Event,
    config: Result<Config, ConfigError>,
    store: Store,
    deadline: Deadline,
}

/// The network on stdin.
enum Described {
    /// Known by name and bridge, or not routed by this host.
    Known(Network),
    /// One that the host may route, by which bridge is not known.
    Unread(XmlError),
}

impl Call<'_> {
    fn start(&self) -> Result<Option<String>> {
        let on_error = match &self.config {
            Ok(config) => config.on_error,
            Err(why) => why.on_error(),
        };
        if let Err(why) = &self.config
            && on_error == OnError::Refuse
        {
            bail!("{why}");
        }
        let described = self.described();
        if on_error == OnError::Ignore {
            // Its guests would pass for machines outside until `started` comes, which tries again.
            if let Err(why) = described.and_then(|described| self.expect(described)) {
                syslog::error(&format!("network {}: {why:#}", self.event.shown()));
            }
            return Ok(None);
        }
        let described = described?;
        match &described {
            Described::Known(Network {
                fault: Some(why), ..
            })
            | Described::Unread(why) => bail!("{why}"),
            Described::Known(_) => {}
        }
        nft::check(self.deadline)?;
        self.expect(described)?;
        Ok(None)
    }

    /// Knows the bridge before it exists.
    fn expect(&self, described: Described) -> Result<()> {
        let closed = Config::closed();
        let run = self.begin(self.config.as_ref().unwrap_or(&closed))?;
        match described {
            Described::Known(network) => Ok(run.starting(network)?),
            Described::Unread(why) => {
                let outcome = run.starting_unread(self.name(), why)?;
                Self::said_of_unread(&run, &outcome).map(drop)
            }
        }
    }

    fn started(&self) -> Result<Option<String>> {
        let described = self.described()?;
        let config = match &self.config {
            Ok(config) => config,
            Err(why) => {
                let why = anyhow!("{why}").context("nothing was opened");
                return Err(match self.note(described) {
                    Ok(()) => why,
                    Err(also) => why.context(format!("{also:#}")),
                });
            }
        };
        let run = self.begin(config)?;
        let network = match described {
            Described::Known(network) => network,
            Described::Unread(why) => return self.unreadable(&run, why, true),
        };
        let outcome = run.started(network).map_err(not_opened)?;
        // By hand, that is; libvirtd calls when the bridge is there.
        if outcome == Outcome::NotActive {
            return Ok(Some("not opened: it is not active".to_owned()));
        }
        Ok(said_under(config, &run, &outcome))
    }

    fn updated(&self) -> Result<Option<String>> {
        let described = self.described()?;
        let config = match &self.config {
            Ok(config) => config,
            Err(why) => {
                let why = anyhow!("{why}").context("nothing was opened");
                return Err(match self.note_update(described) {
                    Ok(()) => why,
                    Err(also) => why.context(format!("{also:#}")),
                });
            }
        };
        let run = self.begin(config)?;
        let network = match described {
            Described::Known(network) => network,
            Described::Unread(why) => return self.unreadable(&run, why, false),
        };
        if run.is_held(&network)? {
            return Ok(Some("stays closed, as it was closed by hand".to_owned()));
        }
        let outcome = run.updated(network).map_err(not_opened)?;
        Ok(said_under(config, &run, &outcome))
    }

    fn stopped(&self) -> Result<Option<String>> {
        let bridge = match self.described()? {
            Described::Known(network) => match network.known_bridge() {
                Some(bridge) => Some(bridge),
                None => return Ok(None),
            },
            // Whatever its definition is, it runs no more.
            Described::Unread(_) => None,
        };
        let closed = Config::closed();
        let run = self.begin(self.config.as_ref().unwrap_or(&closed))?;
        let outcome = run.stopped(self.name(), bridge.as_ref());
        Ok(said(&run, &outcome.context("not closed")?))
    }

    /// Remembers a network that cannot be opened.
    fn note(&self, described: Described) -> Result<()> {
        let closed = Config::closed();
        let run = self.begin(&closed)?;
        match described {
            Described::Known(network) => Ok(run.note(network)?),
            Described::Unread(why) => self.unreadable(&run, why, true).map(drop),
        }
    }

    /// The same where libvirt has it active; it says so of those that are not, too.
    fn note_update(&self, described: Described) -> Result<()> {
        let bridge = match &described {
            Described::Known(network) => network.known_bridge(),
            Described::Unread(_) => None,
        };
        let is_active = |bridge: KernelName| {
            let name = self.event.network.to_str()?;
            status::has(name, &bridge)
        };
        match bridge.and_then(is_active) {
            Some(true) => self.note(described),
            _ => Ok(()),
        }
    }

    /// A network whose bridge its definition does not tell.
    fn unreadable(&self, run: &Run<'_>, why: XmlError, starts: bool) -> Result<Option<String>> {
        let outcome = run.unreadable(self.name(), why, starts)?;
        Self::said_of_unread(run, &outcome)
    }

    fn said_of_unread(run: &Run<'_>, outcome: &Outcome) -> Result<Option<String>> {
        match outcome {
            Outcome::Unread(why) => bail!(
                "its bridge is not known: {why}; peers, and rules with a subnet as an end, open \
                 nothing while it is active"
            ),
            outcome => Ok(said(run, outcome)),
        }
    }

    fn begin<'a>(&'a self, config: &'a Config) -> Result<Run<'a>> {
        let name = self.event.network.to_str();
        Ok(Run::begin_for(name, &self.store, config, self.deadline)?)
    }

    fn name(&self) -> &[u8] {
        self.event.network.as_bytes()
    }

    /// The network on stdin, which has to be the one in argv.
    fn described(&self) -> Result<Described> {
        let network = network::read(io::stdin().lock());
        if let Ok(other) = &network
            && self.event.network.to_str().is_some()
            && !self.event.is_of(&other.name)
        {
            bail!(
                "the XML on stdin is that of the network {}",
                escape(&other.name)
            );
        }
        Ok(match status::named(self.name(), network) {
            Ok(network) => Described::Known(network),
            Err(why) => Described::Unread(why),
        })
    }
}

fn not_opened(why: Error) -> anyhow::Error {
    match why.is_of_config() {
        // All else of it is open.
        true => anyhow!(why),
        false => anyhow!(why).context("not opened"),
    }
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

/// As [`said`]; a config that opens no network at all is the reason that counts.
fn said_under(config: &Config, run: &Run<'_>, outcome: &Outcome) -> Option<String> {
    match (outcome, config.opens_nothing()) {
        (Outcome::Unnamed, Some(nothing)) => Some(format!("not opened: {nothing}")),
        _ => said(run, outcome),
    }
}

/// What the log says, where there is something to say. libvirt tells of updates of networks
/// that are not active, and of the end of those that never came up: nothing to do is as it
/// should be then.
fn said(run: &Run<'_>, outcome: &Outcome) -> Option<String> {
    match outcome {
        Outcome::Opened(access) => Some(format!("{access}{}", but(run))),
        Outcome::Unnamed => Some("not opened: the config names it nowhere".to_owned()),
        Outcome::NotRouted => Some("not opened: this host does not route it".to_owned()),
        Outcome::NotABridge => Some("not opened: its interface is not a bridge".to_owned()),
        Outcome::Faulty(why) => Some(format!("closed: {why}")),
        Outcome::Unread(why) => Some(format!("its bridge is not known: {why}")),
        Outcome::Closed => Some("closed".to_owned()),
        Outcome::NotActive | Outcome::WasNotOpen => None,
    }
}
