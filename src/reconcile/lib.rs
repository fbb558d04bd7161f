//! Reconciliation of the kernel's state with the configuration and libvirt's networks.
//!
//! A [`Session`] holds the lock. An event of libvirt's adds or removes elements of sets in one
//! transaction. Where that is not enough (the table was flushed, the configuration changed, the
//! previous run was interrupted), everything is rebuilt from the records in
//! [`state`](virt_forward_system::state), which is also what `apply` does. `watch` compares the
//! records with the kernel, which yields [`Drift`], and repairs it.

mod apply;
mod config_conflict;
mod connections;
mod drift;
mod error;
mod events;
mod firewalld;
mod gates;
mod host;
mod inspect;
mod leftovers;
mod members;
mod network_state;
mod outcome;
mod plan;
mod remove;
mod repair;
mod report;
mod session;
mod sysctls;
mod unreadable;
mod zones;

pub use config_conflict::{ConfigConflict, config_conflicts, unresolved_names};
pub use drift::{Drift, Subject};
pub use error::{Error, Result};
pub use inspect::{Inspection, Preview, SettingSeen, inspect, preview};
pub use leftovers::leftovers;
pub use outcome::Outcome;
pub use repair::RepairReport;
pub use report::{Report, Warning};
pub use session::{Session, usable};
pub use zones::restore_zones;
