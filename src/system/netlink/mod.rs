//! The kernel's own interfaces: nf_tables, conntrack, routes and links.

pub mod addresses;
mod channel;
pub mod conntrack;
pub mod direct_access;
pub mod monitor;
pub mod nft_rules;
pub mod route_changes;
pub mod routes;
pub mod set_elements;
pub(crate) mod socket;
pub mod table_fingerprint;
pub mod trace;
pub(crate) mod uapi;
