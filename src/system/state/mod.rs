//! /run/virt-forward: the state of the running host.
//!
//! ```text
//!  lock            held by every run that changes anything
//!  pending         exists while a run changes anything; if it is found, that run was interrupted
//!  layout.json     the config that the table was built for
//!  built           the kernel's handles of what was built then
//!  firewalld.json  the rules that were set in firewalld's policy object
//!  open/BRIDGE.json, closed/BRIDGE.json    one network each, with its access
//!  unconfirmed/BRIDGE.json, unread.json    see [`unconfirmed`]
//!  settings/INTERFACE.json, basis.json     see [`saved_sysctls`]
//! ```
//!
//! There is one file for each network, so that the cost of an event does not depend on their number.
//! Files are named by bridge and not by network: a bridge's name is valid as a file name, and no two
//! networks share one. If a stop was missed, the next network with that bridge replaces the record.

mod layout;
mod lock;
mod record;
mod saved_sysctls;
mod store;
mod unconfirmed;

pub use layout::Layout;
pub use lock::Lock;
pub use record::{NetworkState, Record};
pub use saved_sysctls::{Basis, Switches};
pub use store::{FirewalldRules, Store};
pub use unconfirmed::{START_GRACE, STARTED_GRACE, Unconfirmed, Unread};
