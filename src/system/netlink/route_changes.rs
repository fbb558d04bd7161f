//! Notifications about changes to routing rules and routes (linux/rtnetlink.h, `RTNLGRP_*`).

use std::os::fd::{AsRawFd, RawFd};

use rustix::net::Protocol;

use crate::netlink::channel::{Channel, Taken};
use crate::netlink::uapi::{
    RTNLGRP_IPV4_ROUTE_GROUP, RTNLGRP_IPV4_RULE_GROUP, RTNLGRP_IPV6_ROUTE_GROUP,
    RTNLGRP_IPV6_RULE_GROUP,
};
use crate::{Error, Result};

const GROUPS: u32 = RTNLGRP_IPV4_ROUTE_GROUP
    | RTNLGRP_IPV4_RULE_GROUP
    | RTNLGRP_IPV6_ROUTE_GROUP
    | RTNLGRP_IPV6_RULE_GROUP;
/// rustix represents NETLINK_ROUTE, protocol 0, as `None`.
const NETLINK_ROUTE: Option<Protocol> = None;

/// A subscription.
#[derive(Debug)]
pub struct RoutingChanges(Channel);

impl RoutingChanges {
    /// Subscribes.
    pub fn start() -> Result<Self> {
        let channel = Channel::open(NETLINK_ROUTE, GROUPS);
        channel.map(Self).map_err(failed)
    }

    /// Discards all pending notifications. Neither their content nor a lost one matters, because
    /// the caller reads the routing itself.
    pub fn drain(&mut self) -> Result<()> {
        while self.0.take(|_| {}).map_err(failed)? != Taken::Nothing {}
        Ok(())
    }
}

impl AsRawFd for RoutingChanges {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

fn failed(why: std::io::Error) -> Error {
    Error::Rules {
        what: "routing".to_owned(),
        why,
    }
}
