//! The edge: the files that touch the kernel, each one part of it. They decide nothing.

pub mod chains;
mod channel;
pub mod clock;
pub mod conntrack;
pub mod deadline;
pub mod elements;
pub mod firewalld;
pub mod hook;
pub mod host;
pub mod iptables;
pub mod listed;
pub mod log;
pub mod monitor;
pub mod namespace;
mod netlink;
pub mod nft;
mod numbers;
pub mod own;
pub mod privileges;
mod program;
pub mod rules;
pub mod scratch;
pub mod status;
pub mod subnets;
pub mod sysctl;
pub mod tc;
pub mod trace;
