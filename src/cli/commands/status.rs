//! `status`: networks, gates, sysctls and reachability.

use std::collections::BTreeSet;

use anyhow::Result;
use virt_forward_policy::{config::Config, sanitize::escape};
use virt_forward_reconcile::{self as reconcile, Inspection};
use virt_forward_system::state::NetworkState;

use super::{config, deadline, store};
use crate::{
    args::{Args, StatusArgs},
    exit::Exit,
    host::Host,
    networks::Networks,
    output,
    status::{Status, StatusInput},
    sysctl::Kernel,
    terminal::Terminal,
};

/// Prints the status of this host.
pub(crate) fn status(args: &Args, options: &StatusArgs) -> Result<Exit> {
    let config = config(args)?;
    let networks = Networks::find(args.connect.as_deref())?;
    let look = look(&config, networks)?;
    let status = &look.status;
    let screen = Terminal::of_stdout(args.color);
    let text = if options.json {
        output::json(status)?
    } else if let Some(names) = &options.why {
        match status.reasons(names, &screen) {
            Ok(text) => text,
            Err(unknown) => {
                let (unknown, known) = (escape(&unknown), status.endpoint_labels());
                output::warn(&format!(
                    "unknown endpoint {unknown}; expected one of: {known}"
                ));
                return Ok(Exit::Usage);
            }
        }
    } else {
        status.for_people(&screen)
    };
    output::print_painted(&text, &screen)?;
    if options.check && !look.is_all_right() {
        return Ok(Exit::Drift);
    }
    Ok(Exit::Success)
}

/// The inspection of this host, and the status made from it.
pub(super) struct Look {
    pub(super) inspection: Inspection,
    pub(super) status: Status,
}

impl Look {
    fn is_all_right(&self) -> bool {
        self.inspection.is_all_right() && self.status.are_networks_right()
    }
}

/// Inspects this host.
pub(super) fn look(config: &Config, networks: Networks) -> Result<Look> {
    let unknown = reconcile::unresolved_names(config, |name| networks.has(name));
    let mut inspection = reconcile::inspect(config, networks.as_active(), deadline())?;
    inspection.wanted.misfits.extend(unknown);
    let status = Status::of(&StatusInput {
        config,
        inspection: &inspection,
        host: &Host::ask()?,
        settings: &Kernel,
        unmanaged: &unmanaged()?,
    });
    Ok(Look { inspection, status })
}

/// The names of the networks whose start no hook reported.
fn unmanaged() -> Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for record in store().records()? {
        if record.state == NetworkState::Unmanaged {
            names.insert(record.network.name);
        }
    }
    Ok(names)
}
