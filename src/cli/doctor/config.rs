//! The configuration: that it is right, that what it names is there, and that only root can
//! change it.

use std::path::Path;

use virt_forward_policy::config::Config;
use virt_forward_reconcile::{ConfigConflict, Error};

use super::{Finding, Root, hook::Owned, or_ok};
use crate::networks::Networks;

const CHECK: &str = "config";

/// What is to be said of it where it could not be taken.
pub(crate) fn wrong(why: &Error, path: &Path) -> Finding {
    Finding::wrong(CHECK, format!("{why}: nothing is opened that starts now"))
        .with(format!("# put that right in {}, and then:", path.display()))
        .with_apply()
}

/// What is wrong with one that was taken; `misfits` is what it and the networks do not agree in.
pub(crate) fn findings(
    config: &Config,
    misfits: &[ConfigConflict],
    networks: &Networks,
    path: &Path,
) -> Vec<Finding> {
    let shown = path.display();
    let misfit = |why: &ConfigConflict| {
        Finding::wrong(CHECK, why.to_string())
            .with(format!(
                "# put that right in {shown}, or in the network's XML, and then:"
            ))
            .with_apply()
    };
    let mut found: Vec<_> = misfits.iter().map(misfit).collect();
    found.extend(unknown(config, networks));
    found
}

/// That it opens nothing, where that is so.
pub(crate) fn nothing(config: &Config) -> Option<Finding> {
    let nothing = config.opens_nothing()?;
    Some(Finding::note(CHECK, nothing.to_string()))
}

/// A network that does not exist may be about to be defined.
fn unknown(config: &Config, networks: &Networks) -> Vec<Finding> {
    let mut found = Vec::new();
    for group in &config.groups {
        let names = group.networks.iter().filter_map(|pattern| pattern.exact());
        for name in names.filter(|name| !networks.has(name)) {
            let name = virt_forward_policy::sanitize::shown(name);
            let what = format!(
                "the group {} names the network {name}, which is not defined",
                group.name
            );
            found.push(Finding::note(CHECK, what));
        }
    }
    found
}

/// Who may write it decides who reaches whom.
pub(crate) fn owner(root: &Root, path: &Path) -> Option<Finding> {
    let text = path.to_string_lossy();
    let file = Owned::of(root, &text)?;
    file.is_others().then(|| {
        Finding::wrong(
            CHECK,
            format!("others than root may change {text}: they decide who reaches whom"),
        )
        .with(format!("chown root:root {text}"))
        .with(format!("chmod 644 {text}"))
    })
}

/// Its findings, or that there are none.
pub(crate) fn or_right(found: Vec<Finding>, root: &Root, path: &Path) -> Vec<Finding> {
    let what = match root.has(path) {
        true => format!("{} is right", path.display()),
        false => format!("there is no {}, so the defaults hold", path.display()),
    };
    or_ok(found, CHECK, &what)
}
