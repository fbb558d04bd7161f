//! The configuration of the routing daemon on this host, which announces the networks to the LAN
//! and learns those of other hosts. One file for each daemon.
//!
//! The daemon announces only the subnets of libvirt networks, while their bridges have a carrier:
//! it follows the kernel's routes. It rejects routes of others within these networks or the LAN,
//! and default routes.

mod announcement;
mod bird;
mod daemon;
mod frr;
mod neighbor;

pub(crate) use announcement::{AnnounceError, Announcement, AnnouncementOptions, Protocol};
pub(crate) use daemon::RoutingDaemon;
pub(crate) use neighbor::{Neighbor, NeighborError};
