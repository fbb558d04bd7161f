//! What the kernel tells of changes to the rules of nf_tables, whoever makes them
//! (linux/netfilter/nfnetlink.h, group `NFNLGRP_NFTABLES`).
//!
//! Each transaction ends with a message that has its number, the next higher for each, and
//! who made it. Who has looked at the rules at some number has seen all up to it.

use std::{
    io,
    os::fd::{AsRawFd, OwnedFd, RawFd},
};

use rustix::{
    io::Errno,
    net::{AddressFamily, Protocol, RecvFlags, SocketFlags, SocketType, netlink},
};

use super::{
    deadline::Deadline,
    netlink::{self as messages, BUFFER, NFNL_SUBSYS_NFTABLES, attribute, be32, string},
};
use crate::{Error, Result, names::TABLE};

const NFT_MSG_NEWTABLE: u8 = 0;
const NFT_MSG_DELRULE: u8 = 8;
const NFT_MSG_NEWSETELEM: u8 = 12;
const NFT_MSG_DELSETELEM: u8 = 14;
const NFT_MSG_NEWGEN: u8 = 15;
const NFT_MSG_GETGEN: u8 = 16;
/// `NFTA_TABLE_NAME`, `NFTA_CHAIN_TABLE`, `NFTA_RULE_TABLE`, `NFTA_SET_ELEM_LIST_TABLE`…: the
/// table's name comes first in all of them.
const TABLE_NAME: u16 = 1;
const GEN_ID: u16 = 1;
const GEN_PROC_PID: u16 = 2;
const GEN_PROC_NAME: u16 = 3;
/// `NFNLGRP_NFTABLES` is group 7.
const NFTABLES: u32 = 1 << (7 - 1);
/// `RTNLGRP_IPV4_NETCONF`, `RTNLGRP_IPV6_NETCONF`
const IPV4_NETCONF: u32 = 1 << (24 - 1);
const IPV6_NETCONF: u32 = 1 << (25 - 1);
/// Its number is 0, which the crate writes as none.
const NETLINK_ROUTE: Option<Protocol> = None;

/// A transaction that somebody made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transaction {
    /// Its number.
    pub generation: u32,
    /// It changed tables, chains or rules of others, or something of ours. Elements of others'
    /// sets say nothing to us, and some programs change them all the time.
    pub matters: bool,
    /// Who made it: `nft[1234]`.
    pub by: String,
}

/// What came since it was asked last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changes {
    /// These.
    Made(Vec<Transaction>),
    /// More than the kernel keeps for us: some are lost.
    Lost,
}

/// Listens.
#[derive(Debug)]
pub struct Monitor {
    socket: OwnedFd,
    /// What is known of the transaction that has not ended yet.
    open: Transaction,
}

impl Monitor {
    /// From now on.
    pub fn start() -> Result<Self> {
        Ok(Self {
            socket: listen(Some(netlink::NETFILTER), NFTABLES).map_err(failed)?,
            open: Transaction::default(),
        })
    }

    /// Does not wait: nothing where nothing came.
    pub fn changes(&mut self) -> Result<Changes> {
        let mut buffer = vec![0; BUFFER];
        let mut made = Vec::new();
        loop {
            match rustix::net::recv(&self.socket, &mut buffer[..], RecvFlags::empty()) {
                Ok((received, _)) => {
                    let bytes = buffer.get(..received).unwrap_or_default();
                    self.understand(bytes, &mut made);
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(Changes::Made(made)),
                Err(Errno::NOBUFS) => {
                    self.open = Transaction::default();
                    return Ok(Changes::Lost);
                }
                Err(why) => return Err(failed(why.into())),
            }
        }
    }

    fn understand(&mut self, bytes: &[u8], made: &mut Vec<Transaction>) {
        for message in messages::messages(bytes) {
            if message.kind >> 8 != NFNL_SUBSYS_NFTABLES {
                continue;
            }
            let object = message.object().attributes;
            match message.kind.to_le_bytes()[0] {
                NFT_MSG_NEWGEN => {
                    let text = |kind| attribute(&object, kind).map(string);
                    let pid = attribute(&object, GEN_PROC_PID).map_or(0, be32);
                    self.open.generation = attribute(&object, GEN_ID).map_or(0, be32);
                    self.open.by = format!("{}[{pid}]", text(GEN_PROC_NAME).unwrap_or_default());
                    made.push(std::mem::take(&mut self.open));
                }
                // Tables, chains and rules, made and deleted.
                NFT_MSG_NEWTABLE..=NFT_MSG_DELRULE => self.open.matters = true,
                NFT_MSG_NEWSETELEM | NFT_MSG_DELSETELEM => {
                    let table = attribute(&object, TABLE_NAME).map(string);
                    self.open.matters |= table.as_deref() == Some(TABLE.name);
                }
                _ => {}
            }
        }
    }
}

impl AsRawFd for Monitor {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

/// Listens to settings of interfaces, forwarding among them, whoever changes them
/// (linux/netconf.h; net/ipv4/devinet.c, `inet_netconf_notify_devconf`).
#[derive(Debug)]
pub struct Settings {
    socket: OwnedFd,
}

impl Settings {
    /// From now on.
    pub fn start() -> Result<Self> {
        let socket = listen(NETLINK_ROUTE, IPV4_NETCONF | IPV6_NETCONF);
        Ok(Self {
            socket: socket.map_err(failed)?,
        })
    }

    /// Takes what came. What it says does not matter: who looks at the settings sees more.
    pub fn drain(&self) -> Result<()> {
        let mut buffer = vec![0; BUFFER];
        loop {
            match rustix::net::recv(&self.socket, &mut buffer[..], RecvFlags::empty()) {
                // Some were lost: one is as good as many.
                Ok(_) | Err(Errno::INTR | Errno::NOBUFS) => {}
                Err(Errno::AGAIN) => return Ok(()),
                Err(why) => return Err(failed(why.into())),
            }
        }
    }
}

impl AsRawFd for Settings {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

pub(super) fn listen(protocol: Option<Protocol>, groups: u32) -> io::Result<OwnedFd> {
    let socket = rustix::net::socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        protocol,
    )?;
    rustix::net::bind(&socket, &netlink::SocketAddrNetlink::new(0, groups))?;
    Ok(socket)
}

/// The number of the last transaction.
pub fn generation(deadline: Deadline) -> Result<u32> {
    let object = messages::get(NFT_MSG_GETGEN, deadline).map_err(failed)?;
    Ok(attribute(&object.attributes, GEN_ID).map_or(0, be32))
}

fn failed(why: io::Error) -> Error {
    Error::Rules {
        what: "changes".to_owned(),
        why,
    }
}
