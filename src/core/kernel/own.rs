//! Our own table, as the kernel has it: enough to see that somebody changed it, at the price
//! of some system calls (linux/netfilter/nf_tables.h).

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    io,
};

use super::{
    deadline::Deadline,
    netlink::{attribute, attributes, be32, be64, dump, string},
    numbers::{
        CHAIN_POLICY, CHAIN_TABLE, DATA_VALUE, INET, NFT_MSG_GETCHAIN, NFT_MSG_GETRULE,
        NFT_MSG_GETTABLE, RULE_HANDLE, RULE_TABLE, TABLE_FLAGS, TABLE_HANDLE, TABLE_NAME,
    },
};
use crate::{Error, Result, names::TABLE, table::Key};

const NFT_MSG_GETSETELEM: u8 = 13;

const CHAIN_HANDLE: u16 = 2;
const LIST_TABLE: u16 = 1;
const LIST_SET: u16 = 2;
const LIST_ELEMENTS: u16 = 3;
const ELEMENT_KEY: u16 = 1;
const ELEMENT_FLAGS: u16 = 3;
const ELEMENT_KEY_END: u16 = 10;
/// `NFT_SET_ELEM_INTERVAL_END`
const END: u32 = 1;

/// Which chains and rules there are, by the numbers that the kernel gave them. It gives none
/// twice, and a rule has no other content than the one it was made with: while this is the
/// same, so is the table, but for the elements of its sets. Nothing where there is no table.
pub fn fingerprint(deadline: Deadline) -> Result<Option<String>> {
    read_fingerprint(deadline).map_err(failed)
}

fn read_fingerprint(deadline: Deadline) -> io::Result<Option<String>> {
    let tables = dump(NFT_MSG_GETTABLE, INET, &[], deadline)?;
    let is_ours = |object: &[u8], kind| attribute(object, kind).map(string);
    let is_ours = |object: &[u8], kind| is_ours(object, kind).as_deref() == Some(TABLE.name);
    let mut tables = tables.iter().map(|table| &table.attributes[..]);
    let Some(table) = tables.find(|table| is_ours(table, TABLE_NAME)) else {
        return Ok(None);
    };
    let number = |object: &[u8], kind| attribute(object, kind).map_or(0, be64);
    let mut text = format!("table {}", number(table, TABLE_HANDLE));
    let flags = attribute(table, TABLE_FLAGS).map_or(0, be32);
    // Writing to a String cannot fail.
    let _ = write!(text, " flags {flags} chains");
    let chains = dump(NFT_MSG_GETCHAIN, INET, &[], deadline)?;
    for chain in chains.iter().map(|chain| &chain.attributes[..]) {
        if is_ours(chain, CHAIN_TABLE) {
            let policy = attribute(chain, CHAIN_POLICY).map_or(0, be32);
            let _ = write!(text, " {}:{policy}", number(chain, CHAIN_HANDLE));
        }
    }
    text.push_str(" rules");
    let rules = dump(NFT_MSG_GETRULE, INET, &[(RULE_TABLE, TABLE.name)], deadline)?;
    for rule in rules {
        let _ = write!(text, " {}", number(&rule.attributes, RULE_HANDLE));
    }
    Ok(Some(text))
}

/// The elements of those sets; a set that is not there has none.
pub fn elements<'a>(
    sets: impl Iterator<Item = &'a str>,
    deadline: Deadline,
) -> Result<BTreeMap<String, BTreeSet<Key>>> {
    let read = |set: &str| match read_elements(set, deadline) {
        Ok(keys) => Ok((set.to_owned(), keys)),
        Err(why) if why.kind() == io::ErrorKind::NotFound => Ok((set.to_owned(), BTreeSet::new())),
        Err(why) => Err(failed(why)),
    };
    sets.map(read).collect()
}

fn read_elements(set: &str, deadline: Deadline) -> io::Result<BTreeSet<Key>> {
    let named = [(LIST_TABLE, TABLE.name), (LIST_SET, set)];
    let mut keys = BTreeSet::new();
    for part in dump(NFT_MSG_GETSETELEM, INET, &named, deadline)? {
        let list = attribute(&part.attributes, LIST_ELEMENTS).unwrap_or_default();
        for (_, element) in attributes(list) {
            let value = |kind| {
                let data = attribute(element, kind)?;
                attribute(data, DATA_VALUE).map(<[u8]>::to_vec)
            };
            let from = value(ELEMENT_KEY).unwrap_or_default();
            let is_end = attribute(element, ELEMENT_FLAGS).map_or(0, be32) & END != 0;
            // nft begins a set of intervals with the end of one before it
            // (src/segtree.c, `set_to_intervals`).
            if is_end && from.iter().all(|byte| *byte == 0) {
                continue;
            }
            let to = value(ELEMENT_KEY_END).unwrap_or_else(|| from.clone());
            keys.insert(Key { from, to });
        }
    }
    Ok(keys)
}

fn failed(why: io::Error) -> Error {
    Error::Rules {
        what: format!("{} {}", TABLE.family.word(), TABLE.name),
        why,
    }
}
