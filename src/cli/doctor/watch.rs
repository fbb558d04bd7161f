//! The daemon that puts back what others take away.

use super::{Finding, processes::Process};

const CHECK: &str = "watch";

/// What it is called: the kernel keeps 15 characters.
pub(crate) const NAME: &str = "virt-forward-wa";

pub(crate) fn finding(running: &[Process]) -> Finding {
    match running.first() {
        None => Finding::note(
            CHECK,
            "virt-forward watch does not run: rules that somebody flushes stay away until a network starts",
        )
        .with("systemctl enable --now virt-forward"),
        Some(process) if process.is_outdated => Finding::note(
            CHECK,
            "virt-forward watch runs, but is the program of before the last upgrade",
        )
        .with("systemctl restart virt-forward"),
        Some(_) => Finding::ok(CHECK, "virt-forward watch runs"),
    }
}
