//! `status`: what is open, what is in the way, who reaches whom.

use anyhow::Result;
use virt_forward_policy::{config::Config, sanitize::shown};
use virt_forward_reconcile::{self as reconcile, Inspection};

use super::{config, deadline};
use crate::{
    args::{Args, StatusArgs},
    exit::Exit,
    host::Host,
    networks::Networks,
    output,
    paint::Screen,
    settings::Kernel,
    status::{Seen, Status},
};

/// Prints the state of things.
pub(crate) fn status(args: &Args, wanted: &StatusArgs) -> Result<Exit> {
    let config = config(args)?;
    let networks = Networks::find(args.connect.as_deref())?;
    let look = look(&config, networks)?;
    let status = &look.status;
    let screen = Screen::of_stdout(args.color);
    let text = if wanted.json {
        output::json(status)?
    } else if let Some(ends) = &wanted.why {
        match status.reasons(ends, &screen) {
            Ok(text) => text,
            Err(nobody) => {
                let (nobody, ends) = (shown(&nobody), status.ends());
                output::complain(&format!("{nobody} is none of those: {ends}"));
                return Ok(Exit::Wrong);
            }
        }
    } else {
        status.for_people(&screen)
    };
    output::print_painted(&text, &screen)?;
    match wanted.check && !look.is_all_right() {
        true => Ok(Exit::Differs),
        false => Ok(Exit::Done),
    }
}

/// What there is.
pub(super) struct Look {
    pub(super) inspection: Inspection,
    pub(super) status: Status,
}

impl Look {
    fn is_all_right(&self) -> bool {
        self.inspection.is_all_right() && self.status.are_networks_right()
    }
}

/// Looks at the host.
pub(super) fn look(config: &Config, networks: Networks) -> Result<Look> {
    let unknown = reconcile::unresolved_names(config, |name| networks.has(name));
    let mut inspection = reconcile::inspect(config, networks.as_active(), deadline())?;
    inspection.wanted.misfits.extend(unknown);
    let status = Status::of(&Seen {
        config,
        inspection: &inspection,
        host: &Host::ask()?,
        settings: &Kernel,
    });
    Ok(Look { inspection, status })
}
