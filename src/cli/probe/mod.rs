//! `check --probe`: the packet itself, sent, and followed from rule to rule.
//!
//! ```text
//!  seats      who sends from where to whom: free addresses, the bridge or the LAN's interface
//!  stage      makes that: a namespace with a cable into the bridge, or onto the interface
//!  shot       the packet
//!  tracks     what the kernel told of it, as a way there and a way back
//!  findings   what that means, in steps like those of `check`
//!  remains    what the kernel keeps of it, and forgets again
//! ```
//!
//! The namespaces have no name and the table has an owner: the kernel takes both away, and with
//! them every interface, once this process ends, however it does. What it would keep, neighbours
//! and the connection, is written down before the packet is sent; the next run reads it if this
//! one could not tidy up.

mod findings;
mod remains;
mod run;
mod seats;
mod shot;
mod stage;
mod tracks;

pub(crate) use findings::Findings;
pub(crate) use remains::clear;
pub(crate) use run::{probe, settled};
