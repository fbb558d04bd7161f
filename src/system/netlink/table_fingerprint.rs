//! A fingerprint of our table in the kernel, which reveals changes by other programs at the price
//! of a few system calls (linux/netfilter/nf_tables.h).

use std::{fmt::Write, io};

use crate::netlink::uapi::{
    NFPROTO_INET, NFT_MSG_GETCHAIN, NFT_MSG_GETRULE, NFT_MSG_GETTABLE, NFTA_CHAIN_HANDLE,
    NFTA_CHAIN_POLICY, NFTA_CHAIN_TABLE, NFTA_RULE_HANDLE, NFTA_RULE_TABLE, NFTA_TABLE_FLAGS,
    NFTA_TABLE_HANDLE, NFTA_TABLE_NAME,
};
use crate::{Error, Result};
use crate::{
    deadline::Deadline,
    netlink::socket::{attribute, be32, be64, dump, string},
};
use virt_forward_policy::netfilter::TABLE;

/// The handles of the table, its chains and its rules; `None` if the table does not exist. The
/// kernel never reuses a handle and never changes the content of a rule, so two equal fingerprints
/// mean an unchanged table, except for set elements.
pub fn fingerprint(deadline: Deadline) -> Result<Option<String>> {
    read_fingerprint(deadline).map_err(failed)
}

fn read_fingerprint(deadline: Deadline) -> io::Result<Option<String>> {
    let tables = dump(NFT_MSG_GETTABLE, NFPROTO_INET, &[], deadline)?;
    let is_ours = |object: &[u8], kind| attribute(object, kind).map(string);
    let is_ours = |object: &[u8], kind| is_ours(object, kind).as_deref() == Some(TABLE.name);
    let mut tables = tables.iter().map(|table| &table.attributes[..]);
    let Some(table) = tables.find(|table| is_ours(table, NFTA_TABLE_NAME)) else {
        return Ok(None);
    };
    let number = |object: &[u8], kind| attribute(object, kind).map_or(0, be64);
    let mut text = format!("table {}", number(table, NFTA_TABLE_HANDLE));
    let flags = attribute(table, NFTA_TABLE_FLAGS).map_or(0, be32);
    // Writing to a String cannot fail.
    let _ = write!(text, " flags {flags} chains");
    let chains = dump(NFT_MSG_GETCHAIN, NFPROTO_INET, &[], deadline)?;
    for chain in chains.iter().map(|chain| &chain.attributes[..]) {
        if is_ours(chain, NFTA_CHAIN_TABLE) {
            let policy = attribute(chain, NFTA_CHAIN_POLICY).map_or(0, be32);
            let _ = write!(text, " {}:{policy}", number(chain, NFTA_CHAIN_HANDLE));
        }
    }
    text.push_str(" rules");
    let rules = dump(
        NFT_MSG_GETRULE,
        NFPROTO_INET,
        &[(NFTA_RULE_TABLE, TABLE.name)],
        deadline,
    )?;
    for rule in rules {
        let _ = write!(text, " {}", number(&rule.attributes, NFTA_RULE_HANDLE));
    }
    Ok(Some(text))
}

pub(crate) fn failed(why: io::Error) -> Error {
    Error::Rules {
        what: format!("{} {}", TABLE.family.word(), TABLE.name),
        why,
    }
}
