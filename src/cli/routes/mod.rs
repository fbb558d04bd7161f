//! Routes to the networks for hosts and routers of the LAN.
//!
//! [`plan`] decides which routes are needed and [`checks`] what will not work with them, from
//! values alone; [`lan`] finds the addresses of this host and of the router. [`formats`] writes a
//! plan for the program that takes it. [`routing_daemon`] configures FRR or BIRD on this host
//! instead, which announce the networks. [`text`] words warnings and errors.

mod checks;
mod family;
mod formats;
mod lan;
mod model;
mod plan;
mod routing_daemon;
mod text;
mod warning;

#[cfg(test)]
mod fixtures;

pub(crate) use formats::RouteFormat as Format;
pub(crate) use model::{Gateway, Plan, RouteOptions};
pub(crate) use routing_daemon::{
    Announcement, AnnouncementOptions, Neighbor, Protocol, RoutingDaemon,
};
