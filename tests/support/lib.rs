//! What property tests of several crates share.
//!
//! * [`generate`]: proptest strategies of configs, networks and orders of events.

pub mod generate;
