//! `status`: what is open, what is in the way, who reaches whom.

use anyhow::Result;
use virt_forward_core::{Error, config::Config, reconcile, text::shown};

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
    let (status, is_all_right) = look(&config, networks)?;
    let screen = Screen::of_stdout(args.color);
    let text = if wanted.json {
        serde_json::to_string_pretty(&status)? + "\n"
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
    output::print(&text)?;
    match wanted.check && !is_all_right {
        true => Ok(Exit::Differs),
        false => Ok(Exit::Done),
    }
}

/// What there is, and whether all of it is as wanted.
pub(super) fn look(config: &Config, networks: Networks) -> Result<(Status, bool)> {
    let unknown = Error::unknown_ends(config, |name| networks.has(name));
    let mut inspection = reconcile::inspect(config, networks.active, deadline())?;
    inspection.wanted.misfits.extend(unknown);
    let status = Status::of(&Seen {
        config,
        inspection: &inspection,
        host: &Host::ask()?,
        settings: &Kernel,
    });
    let is_all_right = inspection.is_all_right() && status.are_networks_right();
    Ok((status, is_all_right))
}
