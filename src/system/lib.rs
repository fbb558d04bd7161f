//! Everything that touches the host: netlink sockets, `/proc`, files, and other programs. It reads
//! and writes what it is told and decides nothing.
//!
//! * [`netlink`]: nf_tables, conntrack, routes and links, without another program;
//! * [`exec`]: nft, iptables, tc and busctl, each with a deadline;
//! * [`libvirt`]: libvirt's files and daemon. Nothing here calls libvirt: libvirtd waits for the
//!   hook while it holds the lock of the network (libvirt, docs/hooks.rst: "DO NOT DO THIS!");
//! * [`state`]: what virt-forward remembers about the running host, in `/run/virt-forward`.

pub mod clock;
pub mod config_file;
pub mod deadline;
mod error;
pub mod exec;
pub mod libvirt;
pub mod links;
pub mod netlink;
pub mod netns;
pub mod paths;
pub mod sandbox;
pub mod state;
pub mod sysctl;
pub mod syslog;

pub use error::{Error, Result};
