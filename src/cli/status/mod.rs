//! The status of this host: networks, gates, sysctls and reachability.
//!
//! [`observe`] makes the values of [`model`] from observations; programs get them as JSON, and
//! [`text`], [`matrix`] and [`explain`] print them for people.

mod compact;
mod endpoint;
mod explain;
mod fault;
#[cfg(test)]
pub(crate) mod fixtures;
mod gate;
mod matrix;
mod model;
mod observe;
mod reachability;
mod reason;
#[cfg(test)]
mod tests;
mod text;

pub(crate) use endpoint::short;
pub(crate) use fault::NetworkState;
pub(crate) use model::{NetworkStatus, Status, StatusInput};
