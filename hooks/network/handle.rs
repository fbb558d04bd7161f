//! The handling of one event.

use std::{io, os::unix::ffi::OsStrExt, path::Path, time::Duration};

use anyhow::{Context, Result, anyhow, bail};
use virt_forward_policy::{
    config::{Config, ConfigError, OnError},
    hook_event::{Event, Operation},
    network::{self, KernelName, Network, XmlError},
    sanitize::escape,
};
use virt_forward_reconcile::{Outcome, Report, Session, Warning};
use virt_forward_system::{
    config_file, deadline::Deadline, exec::nft, libvirt::status, paths, state::Store, syslog,
};

use crate::log::{self, Line};

/// A second less than the hook's own limit, which leaves time to log the failure.
const DEADLINE: Duration = Duration::from_secs(9);

/// Handles an event. Returns the line to log, if anything was done; an error means that the event
/// could not be handled, and for `start` that the network must not start.
pub(crate) fn handle(event: &Event) -> Result<Option<Line>> {
    let call = Call {
        event,
        config: config_file::load(Path::new(paths::CONFIG)),
        store: Store::at(paths::STATE),
        deadline: Deadline::after(DEADLINE),
    };
    match event.operation {
        Operation::Start => call.start().map(|()| None),
        Operation::Started => call.started(),
        Operation::Updated => call.updated(),
        Operation::Stopped => call.stopped(),
        Operation::Other => Ok(None),
    }
}

/// A call of the hook.
struct Call<'a> {
    event: &'a Event,
    config: Result<Config, ConfigError>,
    store: Store,
    deadline: Deadline,
}

/// The network on stdin.
enum Described {
    /// Its name and bridge are known, or this host does not route it.
    Known(Network),
    /// The host may route it, but its bridge is not known.
    Unread(XmlError),
}

impl Call<'_> {
    fn start(&self) -> Result<()> {
        let on_error = match &self.config {
            Ok(config) => config.on_error,
            Err(error) => error.on_error(),
        };
        match on_error {
            OnError::Ignore => {
                // Until `started` comes, which tries again, its guests would count as external.
                if let Err(error) = self.described().and_then(|network| self.expect(network)) {
                    syslog::error(&format!("network {}: {error:#}", self.event.shown()));
                }
                Ok(())
            }
            OnError::Refuse => self.start_or_refuse(),
        }
    }

    /// An error refuses the start.
    fn start_or_refuse(&self) -> Result<()> {
        if let Err(error) = &self.config {
            bail!("{error}");
        }
        let described = self.described()?;
        if let Described::Known(Network {
            fault: Some(error), ..
        })
        | Described::Unread(error) = &described
        {
            bail!("{error}");
        }
        nft::check(self.deadline)?;
        self.expect(described)
    }

    /// Records the bridge before it exists. A warning is an error here, as the record may not be in
    /// effect.
    fn expect(&self, described: Described) -> Result<()> {
        let closed = Config::closed();
        let run = self.begin(self.config.as_ref().unwrap_or(&closed))?;
        let warnings = match described {
            Described::Known(network) => run.starting(network)?.warnings,
            Described::Unread(why) => {
                let report = run.starting_unread(self.name(), why)?;
                if let Outcome::UnknownBridge(why) = &report.outcome {
                    bail!("{}", log::unknown_bridge(why));
                }
                report.warnings
            }
        };
        if !warnings.is_empty() {
            let texts: Vec<_> = warnings.iter().map(ToString::to_string).collect();
            bail!("{}", texts.join("; "));
        }
        Ok(())
    }

    fn started(&self) -> Result<Option<Line>> {
        let described = self.described()?;
        let config = match &self.config {
            Ok(config) => config,
            Err(error) => return Err(self.invalid_config(error, self.note(described))),
        };
        let run = self.begin(config)?;
        let network = match described {
            Described::Known(network) => network,
            Described::Unread(why) => {
                let report = run.unreadable(self.name(), why, true)?;
                return Ok(self.logged(report, config));
            }
        };
        let report = run.started(network).context("not opened")?;
        // An administrator called the hook; when libvirtd does, the bridge exists.
        if report.outcome == Outcome::NotActive {
            self.log_warnings(&report.warnings);
            return Ok(Some(Line::info("not opened: not active in libvirt")));
        }
        Ok(self.logged(report, config))
    }

    fn updated(&self) -> Result<Option<Line>> {
        let described = self.described()?;
        let config = match &self.config {
            Ok(config) => config,
            Err(error) => return Err(self.invalid_config(error, self.note_update(described))),
        };
        let run = self.begin(config)?;
        let network = match described {
            Described::Known(network) => network,
            Described::Unread(why) => {
                let report = run.unreadable(self.name(), why, false)?;
                return Ok(self.logged(report, config));
            }
        };
        if run.is_admin_closed(&network)? {
            return Ok(Some(Line::info("still closed (by virt-forward remove)")));
        }
        let report = run.updated(network).context("not opened")?;
        Ok(self.logged(report, config))
    }

    fn stopped(&self) -> Result<Option<Line>> {
        let bridge = match self.described()? {
            Described::Known(network) => match network.known_bridge() {
                Some(bridge) => Some(bridge),
                None => return Ok(None),
            },
            // It has stopped, whatever its definition is.
            Described::Unread(_) => None,
        };
        let closed = Config::closed();
        let config = self.config.as_ref().unwrap_or(&closed);
        let run = self.begin(config)?;
        let report = run.stopped(self.name(), bridge.as_ref());
        Ok(self.logged(report.context("not closed")?, config))
    }

    /// The error for an event under an invalid configuration. `noted` is the outcome of recording
    /// the network, closed.
    fn invalid_config(&self, error: &ConfigError, noted: Result<Vec<Warning>>) -> anyhow::Error {
        let error = anyhow!("{error}").context("nothing was opened");
        match noted {
            Ok(warnings) => {
                self.log_warnings(&warnings);
                error
            }
            Err(also) => error.context(format!("{also:#}")),
        }
    }

    /// Records a network that cannot be opened.
    fn note(&self, described: Described) -> Result<Vec<Warning>> {
        let closed = Config::closed();
        let run = self.begin(&closed)?;
        match described {
            Described::Known(network) => Ok(run.note(network)?.warnings),
            Described::Unread(why) => {
                let report = run.unreadable(self.name(), why, true)?;
                if let Outcome::UnknownBridge(why) = &report.outcome {
                    bail!("{}", log::unknown_bridge(why));
                }
                Ok(report.warnings)
            }
        }
    }

    /// As [`note`](Self::note), if libvirt has the network active: it calls the hook for updates of
    /// inactive networks, too.
    fn note_update(&self, described: Described) -> Result<Vec<Warning>> {
        let bridge = match &described {
            Described::Known(network) => network.known_bridge(),
            Described::Unread(_) => None,
        };
        let is_active = |bridge: KernelName| {
            let name = self.event.network.to_str()?;
            status::is_active(name, &bridge)
        };
        match bridge.and_then(is_active) {
            Some(true) => self.note(described),
            _ => Ok(Vec::new()),
        }
    }

    /// The line for the outcome of a run. Logs the warnings.
    fn logged(&self, report: Report<Outcome>, config: &Config) -> Option<Line> {
        self.log_warnings(&report.warnings);
        log::outcome(&report, config)
    }

    fn log_warnings(&self, warnings: &[Warning]) {
        for warning in warnings {
            log::fault(&self.event.shown(), &warning.to_string());
        }
    }

    fn begin<'a>(&'a self, config: &'a Config) -> Result<Session<'a>> {
        let name = self.event.network.to_str();
        Ok(Session::begin_for_event(
            name,
            &self.store,
            config,
            self.deadline,
        )?)
    }

    fn name(&self) -> &[u8] {
        self.event.network.as_bytes()
    }

    /// Reads the network on stdin, which has to be the one in argv.
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
