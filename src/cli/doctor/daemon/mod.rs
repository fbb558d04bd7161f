//! libvirt's daemon: whether it runs the hook.
//!
//! The daemon looks for network hooks when it starts, and when it reloads its settings; if there
//! was one, it looks again before each event (libvirt, src/util/virhook.c). So a hook that
//! replaces another runs at once, and the first one runs only after a restart.

mod finding;
mod observed;

pub(crate) use finding::{DaemonFinding, Recovery};
pub(crate) use observed::Daemon;
