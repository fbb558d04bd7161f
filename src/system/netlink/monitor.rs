//! The kernel's notifications about changes to nf_tables (linux/netfilter/nfnetlink.h, group
//! `NFNLGRP_NFTABLES`), to interfaces and to their sysctls.
//!
//! Each nf_tables transaction ends with a message that carries its generation, a counter, and the
//! process that made it. A reader that dumps the rules at some generation has seen every
//! transaction up to it.

use std::{
    io,
    os::fd::{AsRawFd, RawFd},
};

use rustix::net::{Protocol, netlink};

use crate::netlink::uapi::{
    IFLA_IFNAME, NFNL_SUBSYS_NFTABLES, NFNLGRP_NFTABLES_GROUP, NFT_MSG_DELRULE, NFT_MSG_DELSETELEM,
    NFT_MSG_GETGEN, NFT_MSG_NEWGEN, NFT_MSG_NEWSETELEM, NFT_MSG_NEWTABLE, NFTA_GEN_ID,
    NFTA_GEN_PROC_NAME, NFTA_GEN_PROC_PID, NFTA_TABLE_NAME, RTM_DELLINK, RTM_NEWLINK,
    RTNLGRP_IPV4_NETCONF_GROUP, RTNLGRP_IPV6_NETCONF_GROUP, RTNLGRP_LINK_GROUP, SIZEOF_IFINFOMSG,
};
use crate::{Error, Result};
use crate::{
    deadline::Deadline,
    netlink::{
        channel::{Channel, Taken},
        socket::{self as messages, attribute, be32, string},
    },
};
use virt_forward_policy::netfilter::TABLE;

/// rustix represents NETLINK_ROUTE, protocol 0, as `None`.
const NETLINK_ROUTE: Option<Protocol> = None;

/// An nf_tables transaction of any process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transaction {
    /// The generation of the ruleset after it.
    pub generation: u32,
    /// It changed tables, chains or rules, or elements of our sets. Elements of other tables' sets
    /// do not matter to us, and some programs change them all the time.
    pub matters: bool,
    /// The process that made it, `nft[1234]`. A process chooses its own name, so it can hold any
    /// bytes.
    pub by: String,
}

/// Notifications, or the fact that some were lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changes<T = Transaction> {
    /// In order. More may be pending.
    Made(Vec<T>),
    /// The kernel dropped some, and all that it kept has been read. A caller that now reads the
    /// state itself misses nothing.
    Lost,
}

/// A source of notifications for edge-triggered waiting, as epoll and tokio do it.
pub trait Source: AsRawFd {
    /// The notifications.
    type News;

    /// Takes pending notifications without waiting. Only after `None` may the caller wait for the
    /// next edge: the kernel signals no edge while anything is unread, and after an overrun it
    /// queues nothing until the queue is empty.
    fn take(&mut self) -> Result<Option<Self::News>>;
}

/// Notifications about nf_tables transactions.
#[derive(Debug)]
pub struct Monitor {
    channel: Channel,
    /// The transaction whose end has not arrived yet.
    open: Transaction,
}

impl Monitor {
    /// Subscribes.
    pub fn start() -> Result<Self> {
        Ok(Self {
            channel: Channel::open(Some(netlink::NETFILTER), NFNLGRP_NFTABLES_GROUP)
                .map_err(failed)?,
            open: Transaction::default(),
        })
    }
}

impl Source for Monitor {
    type News = Changes;

    fn take(&mut self) -> Result<Option<Changes>> {
        let mut made = Vec::new();
        let open = &mut self.open;
        let taken = self
            .channel
            .take(|bytes| understand(open, bytes, &mut made));
        Ok(match taken.map_err(failed)? {
            Taken::Some => Some(Changes::Made(made)),
            Taken::Lost => {
                self.open = Transaction::default();
                Some(Changes::Lost)
            }
            Taken::Nothing => None,
        })
    }
}

fn understand(open: &mut Transaction, bytes: &[u8], made: &mut Vec<Transaction>) {
    for message in messages::messages(bytes) {
        if message.kind >> 8 != NFNL_SUBSYS_NFTABLES {
            continue;
        }
        let object = message.object().attributes;
        match message.kind.to_le_bytes()[0] {
            NFT_MSG_NEWGEN => {
                let text = |kind| attribute(&object, kind).map(string);
                let pid = attribute(&object, NFTA_GEN_PROC_PID).map_or(0, be32);
                open.generation = attribute(&object, NFTA_GEN_ID).map_or(0, be32);
                open.by = format!("{}[{pid}]", text(NFTA_GEN_PROC_NAME).unwrap_or_default());
                made.push(std::mem::take(open));
            }
            // Tables, chains and rules, created or deleted.
            NFT_MSG_NEWTABLE..=NFT_MSG_DELRULE => open.matters = true,
            NFT_MSG_NEWSETELEM | NFT_MSG_DELSETELEM => {
                let table = attribute(&object, NFTA_TABLE_NAME).map(string);
                open.matters |= table.as_deref() == Some(TABLE.name);
            }
            _ => {}
        }
    }
}

impl AsRawFd for Monitor {
    fn as_raw_fd(&self) -> RawFd {
        self.channel.as_raw_fd()
    }
}

/// An interface that was created, changed or deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The name.
    pub name: String,
    /// The interface was deleted.
    pub is_gone: bool,
}

/// Notifications about interfaces (linux/rtnetlink.h).
#[derive(Debug)]
pub struct Links(Channel);

impl Links {
    /// Subscribes.
    pub fn start() -> Result<Self> {
        let channel = Channel::open(NETLINK_ROUTE, RTNLGRP_LINK_GROUP);
        channel.map(Self).map_err(failed)
    }
}

impl Source for Links {
    type News = Changes<Link>;

    fn take(&mut self) -> Result<Option<Changes<Link>>> {
        let mut links = Vec::new();
        let taken = self.0.take(|bytes| links.extend(links_in(bytes)));
        Ok(match taken.map_err(failed)? {
            Taken::Some => Some(Changes::Made(links)),
            Taken::Lost => Some(Changes::Lost),
            Taken::Nothing => None,
        })
    }
}

fn links_in(bytes: &[u8]) -> impl Iterator<Item = Link> {
    messages::messages(bytes).filter_map(|message| {
        let is_gone = match message.kind {
            RTM_NEWLINK => false,
            RTM_DELLINK => true,
            _ => return None,
        };
        // With family AF_BRIDGE a port leaves its bridge; the interface stays.
        let body = message.body;
        let attributes = body
            .get(SIZEOF_IFINFOMSG..)
            .filter(|_| body.first() == Some(&0))?;
        let name = string(attribute(attributes, IFLA_IFNAME)?);
        Some(Link { name, is_gone })
    })
}

impl AsRawFd for Links {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// Notifications about sysctls of interfaces, including forwarding (linux/netconf.h;
/// net/ipv4/devinet.c, `inet_netconf_notify_devconf`).
#[derive(Debug)]
pub struct Settings(Channel);

impl Settings {
    /// Subscribes.
    pub fn start() -> Result<Self> {
        let channel = Channel::open(
            NETLINK_ROUTE,
            RTNLGRP_IPV4_NETCONF_GROUP | RTNLGRP_IPV6_NETCONF_GROUP,
        );
        channel.map(Self).map_err(failed)
    }
}

impl Source for Settings {
    /// A sysctl changed. The message is not parsed and a lost one does not matter, because the
    /// caller reads the sysctls itself.
    type News = ();

    fn take(&mut self) -> Result<Option<()>> {
        let taken = self.0.take(|_| {}).map_err(failed)?;
        Ok((taken != Taken::Nothing).then_some(()))
    }
}

impl AsRawFd for Settings {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// The generation of the ruleset, which each transaction increments.
pub fn generation(deadline: Deadline) -> Result<u32> {
    let object = messages::get(NFT_MSG_GETGEN, deadline).map_err(failed)?;
    Ok(attribute(&object.attributes, NFTA_GEN_ID).map_or(0, be32))
}

fn failed(why: io::Error) -> Error {
    Error::Rules {
        what: "changes".to_owned(),
        why,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::socket::text;

    fn message(kind: u16, body: &[u8]) -> Vec<u8> {
        let length = (16 + body.len()) as u32;
        let header = [&length.to_ne_bytes()[..], &kind.to_ne_bytes(), &[0; 10]];
        [&header.concat()[..], body].concat()
    }

    #[test]
    fn interfaces_come_and_go_and_a_port_that_leaves_its_bridge_is_neither() {
        let body = |family: u8| {
            let mut body = vec![0; SIZEOF_IFINFOMSG];
            body[0] = family;
            [body, text(IFLA_IFNAME, "virbr0")].concat()
        };
        let bytes = [
            message(RTM_NEWLINK, &body(0)),
            message(RTM_DELLINK, &body(7)),
            message(RTM_DELLINK, &body(0)),
            message(RTM_DELLINK, &[0; 4]),
            message(20, &body(0)),
        ]
        .concat();
        let found: Vec<_> = links_in(&bytes)
            .map(|link| (link.name, link.is_gone))
            .collect();
        let name = || "virbr0".to_owned();
        assert_eq!(found, [(name(), false), (name(), true)]);
    }
}
