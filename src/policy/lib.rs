//! The forwarding policy: decisions about values, without a file, a socket or a program.
//!
//! ```text
//!  config.toml ── config::Config ┐
//!  libvirt's XML ─ network::Network ─┴─ access_of, matrix, evaluate, conflicts
//! ```
//!
//! Start with [`evaluate`], which decides about one packet; the rules of `virt-forward-ruleset` have
//! to decide the same. [`matrix`] and [`external_matrix`] decide about pairs of networks, and of
//! networks and external subnets. [`denied`] lists the addresses that networks claim in vain, and
//! [`conflicts`] the parts of the config that are ignored, as they could mean two different hosts.

mod access;
pub mod config;
mod conflict;
mod conflicts;
mod decision;
mod evaluate;
mod external;
#[cfg(test)]
mod fixtures;
mod flow;
mod grants;
pub mod hook_event;
mod libvirt;
mod matrix;
mod membership;
pub mod netfilter;
pub mod network;
mod own_addresses;
mod packet;
mod reachability;
mod reason;
pub mod sanitize;
mod subnets;
mod unknown_groups;

pub use access::Access;
pub use conflict::{Clash, Conflicts, HostSubnet, PeerOverlap, Rival};
pub use conflicts::{conflicts, may_conflict, overlaps, without};
pub use decision::{Decision, Denial, ExampleRule, Grant};
pub use evaluate::{evaluate, libvirt_allows};
pub use external::{external_endpoints, external_matrix};
pub use flow::{Flow, Policy};
pub use grants::{InboundGrant, external_subnets, inbound_grants};
pub use libvirt::LibvirtVerdict;
pub use matrix::{MatrixCell, matrix};
pub use membership::{access_of, without_outside};
pub use own_addresses::{Claim, Denied, denied};
pub use packet::{Endpoint, Packet};
pub use reachability::{MatrixEndpoint, Reachability};
pub use reason::{LibvirtEffect, Reason, RuleGrant};
pub use subnets::overlap;
pub use unknown_groups::{UnknownGroup, unknown_groups};

/// The version of the package, for `--version` and the log.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A text that only the hook's program contains, which identifies it among an administrator's own
/// hooks.
///
/// It is kept reversed, as the command-line tool, which searches for it, would contain it otherwise.
pub fn hook_marker() -> Vec<u8> {
    let backwards = b"kooh krowten trivbil sti si elif siht :drawrof-triv";
    backwards.iter().rev().copied().collect()
}
