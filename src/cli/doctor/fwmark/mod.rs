//! The fwmark bit, and other programs that use it.
//!
//! Rules of other programs are read from `nft -j` ([`nft`]) and `iptables-save` ([`iptables`]),
//! each as a [`rules::FwmarkUse`]; routing rules that match a fwmark count, too. A program owns the
//! bits in the mask of its rules. A program that sets the whole fwmark of forwarded packets clears
//! the bit after virt-forward's table has set it.

mod finding;
mod iptables;
mod nft;
mod rules;

pub(crate) use finding::{FwmarkFinding, check, described, unreadable};
pub(crate) use rules::{FwmarkRules, FwmarkUsers, RoutingRule};
