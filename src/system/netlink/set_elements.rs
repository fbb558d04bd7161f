//! The elements of our table's sets, read and changed (linux/netfilter/nf_tables.h).
//!
//! An event changes nothing else, and does so without nft, as to run that takes longer than all
//! the rest of an event. Of a change that the kernel refuses it says a number and no more: the
//! table is built anew then, by nft, which says what is wrong.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
};

use crate::Result;
use crate::{
    deadline::Deadline,
    netlink::{
        socket::{attribute, attributes, be32, dump, nested, string, text, transaction, written},
        table_fingerprint::failed,
        uapi::{DATA_VALUE, INET},
    },
};
use virt_forward_policy::netfilter::TABLE;
use virt_forward_ruleset::table::{Element, Key, Verb};

const NFT_MSG_NEWSETELEM: u8 = 12;
const NFT_MSG_GETSETELEM: u8 = 13;
const NFT_MSG_DELSETELEM: u8 = 14;

const LIST_TABLE: u16 = 1;
const LIST_SET: u16 = 2;
const LIST_ELEMENTS: u16 = 3;
/// `NFTA_LIST_ELEM`
const ONE: u16 = 1;
const ELEMENT_KEY: u16 = 1;
const ELEMENT_FLAGS: u16 = 3;
const ELEMENT_USERDATA: u16 = 6;
const ELEMENT_KEY_END: u16 = 10;
/// `NFT_SET_ELEM_INTERVAL_END`
const END: u32 = 1;
/// libnftnl: `NFTNL_UDATA_SET_ELEM_COMMENT`.
const USERDATA_COMMENT: u8 = 0;

/// Carries out all of `changes` at once, or nothing.
pub fn change(changes: &[(Verb, Element)], deadline: Deadline) -> Result<()> {
    if changes.is_empty() {
        return Ok(());
    }
    let messages = changes.iter().map(|(verb, element)| match verb {
        // add element inet virt_forward bridges { "virbr_kube02" comment "kube02" }
        Verb::Add => (NFT_MSG_NEWSETELEM, message(element)),
        // delete element inet virt_forward bridges { "virbr_kube02" }
        Verb::Delete => (NFT_MSG_DELSETELEM, message(element)),
    });
    transaction(INET, messages, deadline).map_err(failed)
}

fn message(element: &Element) -> Vec<u8> {
    let Element { set, key, comment } = element;
    let value = |kind, bytes: &[u8]| nested(kind, &written(DATA_VALUE, bytes));
    let mut content = value(ELEMENT_KEY, &key.from);
    if let Some(to) = &key.to {
        content.extend(value(ELEMENT_KEY_END, to));
    }
    if let Some(comment) = comment {
        content.extend(written(ELEMENT_USERDATA, &userdata(comment)));
    }
    let list = nested(LIST_ELEMENTS, &nested(ONE, &content));
    [text(LIST_TABLE, TABLE.name), text(LIST_SET, set), list].concat()
}

/// As nft writes a comment: a byte for what it is, one for how long, the text with its NUL.
fn userdata(comment: &str) -> Vec<u8> {
    let text = [comment.as_bytes(), &[0]].concat();
    let length = u8::try_from(text.len()).unwrap_or(u8::MAX);
    [&[USERDATA_COMMENT, length], &text[..]].concat()
}

/// The elements of those sets; a set that is not there has none.
pub fn read<'a>(
    sets: impl Iterator<Item = &'a str>,
    deadline: Deadline,
) -> Result<BTreeMap<String, BTreeSet<Key>>> {
    let of = |set: &str| match read_set(set, deadline) {
        Ok(keys) => Ok((set.to_owned(), keys)),
        Err(why) if why.kind() == io::ErrorKind::NotFound => Ok((set.to_owned(), BTreeSet::new())),
        Err(why) => Err(failed(why)),
    };
    sets.map(of).collect()
}

/// The interfaces in a set of names, which may be another's.
pub(crate) fn names_in(
    family: u8,
    table: &str,
    set: &str,
    deadline: Deadline,
) -> io::Result<BTreeSet<String>> {
    let named = [(LIST_TABLE, table), (LIST_SET, set)];
    let mut names = BTreeSet::new();
    for part in dump(NFT_MSG_GETSETELEM, family, &named, deadline)? {
        let list = attribute(&part.attributes, LIST_ELEMENTS).unwrap_or_default();
        let keys = attributes(list).filter_map(|(_, element)| {
            let data = attribute(element, ELEMENT_KEY)?;
            attribute(data, DATA_VALUE).map(string)
        });
        names.extend(keys);
    }
    Ok(names)
}

fn read_set(set: &str, deadline: Deadline) -> io::Result<BTreeSet<Key>> {
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
            keys.insert(Key {
                from,
                to: value(ELEMENT_KEY_END),
                is_end,
            });
        }
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_single_address_is_written_with_its_end() {
        let address = vec![198, 51, 100, 5];
        let element = |to| Element {
            set: "subnets4".to_owned(),
            key: Key {
                from: address.clone(),
                to,
                is_end: false,
            },
            comment: None,
        };
        let ends = |message: &[u8]| {
            let list = attribute(message, LIST_ELEMENTS).unwrap();
            let one = attribute(list, ONE).unwrap();
            let end = attribute(one, ELEMENT_KEY_END)?;
            attribute(end, DATA_VALUE).map(<[u8]>::to_vec)
        };
        assert_eq!(
            ends(&message(&element(Some(address.clone())))),
            Some(address.clone())
        );
        assert_eq!(ends(&message(&element(None))), None);
    }
}
