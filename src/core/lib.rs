//! What virt-forward decides, and the few files that carry it out.
//!
//! The way of the data, for the hook and for the command-line tool alike:
//!
//! ```text
//!  hook event / libvirt ─ network::Network ┐
//!  config.toml ────────── config::Config ──┴─ policy ─ table, gates, sysctls   (pure)
//!                                                         │
//!                                       reconcile: lock → kernel::* → state    (the edge)
//! ```
//!
//! Everything above the line takes values and returns values. Only [`kernel`] and
//! [`state`] touch the system, and they decide nothing.
//!
//! Be aware: nothing here may call libvirt. libvirtd waits for the hook while it holds
//! the lock of the network (its docs/hooks.rst: "DO NOT DO THIS!").

pub mod config;
pub mod error;
pub mod event;
pub mod gates;
pub mod kernel;
pub mod names;
pub mod network;
pub mod paths;
pub mod policy;
pub mod reconcile;
pub mod routing;
pub mod state;
pub mod sysctls;
pub mod table;
pub mod text;

pub use error::{Error, Result};

/// What marks everything we write into the kernel outside our own table, and what the
/// contract calls "comment of gates".
pub const COMMENT: &str = "virt-forward";

/// The version of the package, for `--version` and the log.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The text that our hook's program holds and no other does, so that it is known again among
/// an admin's own hooks.
///
/// Kept backwards here: else the command-line tool, which looks for it, would hold it too.
pub fn hook_marker() -> Vec<u8> {
    let backwards = b"kooh krowten trivbil sti si elif siht :drawrof-triv";
    backwards.iter().rev().copied().collect()
}
