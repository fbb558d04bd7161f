//! The edge: the files that touch the kernel, each one part of it. They decide nothing.

pub mod deadline;
pub mod host;
pub mod iptables;
mod netlink;
pub mod nft;
mod program;
pub mod rules;
pub mod scratch;
pub mod sysctl;
