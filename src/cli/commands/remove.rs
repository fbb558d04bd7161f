//! `remove`: closes networks, or removes everything that virt-forward installed.

use anyhow::{Result, bail};
use virt_forward_policy::{config::Config, sanitize::escape};
use virt_forward_reconcile::Session;

use super::{config, deadline, store};
use crate::{args::Args, exit::Exit, output};

/// Closes the networks with these names.
pub(crate) fn named(args: &Args, names: &[String]) -> Result<Exit> {
    let config = config(args)?;
    let store = store();
    let session = Session::begin(&store, &config, deadline())?;
    let known = store.records()?;
    let report = session.remove(names)?;
    for warning in &report.warnings {
        output::warn(&warning.to_string());
    }
    let unknown = report.outcome;
    for name in names.iter().filter(|name| !unknown.contains(name)) {
        output::print(&format!("{}: closed\n", escape(name)))?;
    }
    if !unknown.is_empty() {
        let known = known.iter().map(|record| record.network.name.as_str());
        bail!(
            "not open: {}; open networks: {}",
            list(&unknown),
            list(known)
        );
    }
    if report.warnings.is_empty() {
        return Ok(Exit::Success);
    }
    Ok(Exit::Failed)
}

/// Names for a message.
fn list(names: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    let names: Vec<_> = names
        .into_iter()
        .map(|name| escape(name.as_ref()))
        .collect();
    if names.is_empty() {
        return "none".to_owned();
    }
    names.join(", ")
}

/// Removes every rule, gate and sysctl change. The config is not read: an invalid one is no reason to
/// keep anything.
pub(crate) fn all() -> Result<Exit> {
    let store = store();
    let config = Config::closed();
    Session::begin(&store, &config, deadline())?.remove_all()?;
    output::print("removed all virt-forward rules, gates and sysctl changes\n")?;
    Ok(Exit::Success)
}
