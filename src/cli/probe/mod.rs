//! `check --probe`: sends a real packet and traces it, and its reply, from rule to rule.
//!
//! ```text
//!  plan       source, destination and ingress interface
//!  prepare    unused addresses to send from and to, and the cleanup journal
//!  cleanup    the journal of what the kernel remembers of a probe, which is deleted again
//!  netns      a network namespace with a veth pair into the bridge or the uplink
//!  packet     the sockets that send and respond
//!  rules      the table that traces the packet and its reply
//!  trace      nftables' trace events, as a forward and a reply path
//!  legacy     counters of iptables-legacy, which no trace shows
//!  run        sends the packet
//!  report     its outcome; text and json render it
//! ```
//!
//! The namespaces have no name and the table has an owner: the kernel deletes both, and every
//! interface with them, when this process ends, however it ends. Neighbour and conntrack entries
//! would stay: they are in the journal before the packet is sent, and the next run deletes them if
//! this one could not.

mod cleanup;
mod json;
mod legacy;
mod netns;
mod packet;
mod plan;
mod prepare;
mod report;
mod rules;
mod run;
#[cfg(test)]
mod tests;
mod text;
mod trace;

pub(crate) use cleanup::clear;
pub(crate) use json::ProbeJson;
pub(crate) use prepare::prepare;
pub(crate) use report::ProbeReport;
pub(crate) use run::probe;
