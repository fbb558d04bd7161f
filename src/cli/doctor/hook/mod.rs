//! The libvirt hook: installed, current, executable, and writable by root alone.

mod finding;
mod observed;

pub(crate) use finding::HookFinding;
pub(crate) use observed::{Hooks, InstalledHook};
