//! `virt-forward watch`: a daemon that repairs drift.
//!
//! ```text
//!  nf_tables' notifications   ─┐
//!  interfaces, their sysctls   ├─ EventSources ─ Debouncer: when to check ─ Reconciler: check and repair
//!  libvirt's status files     ─┘
//! ```
//!
//! A check takes a few milliseconds and changes nothing without drift, so every event that may matter
//! leads to one. Each transaction of nf_tables has a number: those up to the last one that a check has
//! seen, its own among them, lead to no other check.
//!
//! The daemon reads libvirt's status files and does not use its API: the files are written at each
//! start, update and stop, whether the daemon runs or not; a client would keep a daemon of libvirt's
//! running that exits when idle, or start one that was stopped; and the client library loads some
//! fifty others (`ldd virt-forward`).

mod blocking_chains;
mod daemon;
mod debounce;
mod event_sources;
mod firewalld_zones;
mod libvirt_repair;
mod libvirt_rules;
mod log_text;
mod lost_notifications;
mod network_tracker;
mod reconciler;
mod repair_log;
mod routing;
mod stopping_networks;

pub use daemon::watch;
