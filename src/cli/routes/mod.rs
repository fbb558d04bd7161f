//! What machines outside need to reach the networks: [`plan`] finds out which routes, from
//! values, [`warnings`] what will not work with them, and [`formats`] writes them down for a
//! program. [`announce`] is for hosts that tell their routes to each other.

pub(crate) mod announce;
pub(crate) mod formats;
mod plan;
mod warnings;

pub(crate) use plan::{Gateway, Plan, Wish, listed, own_address};
