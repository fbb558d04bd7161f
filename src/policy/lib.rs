//! Who may open connections to whom: decisions about values, without a file, a socket or a program.
//!
//! ```text
//!  config.toml ── config::Config ┐
//!  libvirt's XML ─ network::Network ─┴─ access_of, matrix, evaluate, conflicts
//! ```
//!
//! Start with [`evaluate`]: it decides about one packet, and the rules of `virt-forward-ruleset` have
//! to decide the same. [`matrix`] and [`external`] do it for pairs of networks and for addresses
//! outside of them, [`own`](denied) says which addresses are a network's, and [`conflicts`] which
//! parts of the config are ignored because they could mean two different hosts.

pub mod config;
mod conflicts;
mod evaluate;
mod external;
#[cfg(test)]
mod fixtures;
mod flow;
pub mod hook_event;
mod matrix;
mod membership;
pub mod netfilter;
pub mod network;
mod own_addresses;
pub mod sanitize;

pub use conflicts::{
    Clash, Conflicts, HostSubnet, PeerOverlap, Rival, Side, conflicts, may_conflict, overlaps,
    without,
};
pub use evaluate::{Decision, Endpoint, Packet, evaluate, libvirt_allows};
pub use external::{NO_PEER, external_endpoints, external_matrix};
pub use flow::{Flow, Policy};
pub use matrix::{MatrixCell, NO_GROUP, Reachability, matrix};
pub use membership::*;
pub use own_addresses::{Claim, Denied, denied};

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
