//! `remove`: closes networks, or takes everything away.

use anyhow::{Result, bail};
use virt_forward_policy::{config::Config, sanitize::shown};
use virt_forward_reconcile::Session;

use super::{config, deadline, store};
use crate::{args::Args, exit::Exit, output};

/// Closes the networks of these names.
pub(crate) fn named(args: &Args, names: &[String]) -> Result<Exit> {
    let config = config(args)?;
    let store = store();
    let run = Session::begin(&store, &config, deadline())?;
    let known = store.records()?;
    let report = run.remove(names)?;
    for warning in &report.warnings {
        output::complain(&warning.to_string());
    }
    let unknown = report.outcome;
    for name in names.iter().filter(|name| !unknown.contains(name)) {
        output::print(&format!("{}: closed\n", shown(name)))?;
    }
    if !unknown.is_empty() {
        let unknown: Vec<_> = unknown.iter().map(|name| shown(name)).collect();
        let known: Vec<_> = known
            .iter()
            .map(|record| shown(&record.network.name))
            .collect();
        let known = match known.is_empty() {
            true => "none".to_owned(),
            false => known.join(", "),
        };
        bail!(
            "not known to be open: {}; known are: {known}",
            unknown.join(", ")
        );
    }
    Ok(match report.warnings.is_empty() {
        true => Exit::Done,
        false => Exit::Failed,
    })
}

/// Takes every rule, gate and setting away. No config is read: a wrong one is no reason to
/// keep anything.
pub(crate) fn all() -> Result<Exit> {
    let store = store();
    let config = Config::closed();
    Session::begin(&store, &config, deadline())?.remove_all()?;
    output::print("everything of virt-forward is taken off the kernel\n")?;
    Ok(Exit::Done)
}
