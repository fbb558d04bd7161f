//! Forwarding sysctls, and their effect on router advertisements.

mod accept_ra;
mod finding;
mod observed;

pub(crate) use accept_ra::{AcceptRaFinding, check as check_accept_ra};
pub(crate) use finding::{ForwardingFinding, check as check_forwarding};
pub(crate) use observed::ForwardingSysctls;
