//! `check`: why a packet passes or does not, from the configuration and the state of the host.
//!
//! [`evaluate_path`] turns values into findings; [`text`] and [`json`] render them.

mod context;
mod endpoints;
mod finding;
mod firewalls;
mod json;
mod path;
mod report;
mod routing;
#[cfg(test)]
mod tests;
mod text;

pub(crate) use context::{CheckContext, KernelLookup};
pub(crate) use endpoints::{NamedEndpoint, ResolveError, resolve_endpoints};
pub(crate) use path::evaluate_path;
pub(crate) use report::Verdict;
