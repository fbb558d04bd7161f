//! Reads and changes the elements of our table's sets (linux/netfilter/nf_tables.h).
//!
//! An event of the libvirt hook changes nothing else. It does not run nft for that, which would
//! take longer than all the rest of the event. If the kernel rejects a change it reports only an
//! errno; the caller then rebuilds the table with nft, whose message names the cause.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
};

use crate::Result;
use crate::netlink::uapi::{
    NFPROTO_INET, NFT_MSG_DELSETELEM, NFT_MSG_GETSETELEM, NFT_MSG_NEWSETELEM,
    NFT_SET_ELEM_INTERVAL_END, NFTA_DATA_VALUE, NFTA_LIST_ELEM, NFTA_SET_ELEM_FLAGS,
    NFTA_SET_ELEM_KEY, NFTA_SET_ELEM_KEY_END, NFTA_SET_ELEM_LIST_ELEMENTS, NFTA_SET_ELEM_LIST_SET,
    NFTA_SET_ELEM_LIST_TABLE, NFTA_SET_ELEM_USERDATA, NFTNL_UDATA_SET_ELEM_COMMENT,
};
use crate::{
    deadline::Deadline,
    netlink::{
        socket::{attr, attribute, attributes, be32, dump, nested, string, text, transaction},
        table_fingerprint::failed,
    },
};
use virt_forward_policy::netfilter::TABLE;
use virt_forward_ruleset::table::{Element, Op, SetKey};

/// Applies all of `changes` in one transaction, or none.
pub fn apply(changes: &[(Op, Element)], deadline: Deadline) -> Result<()> {
    if changes.is_empty() {
        return Ok(());
    }
    let messages = changes.iter().map(|(verb, element)| match verb {
        // add element inet virt_forward bridges { "virbr_kube02" comment "kube02" }
        Op::Add => (NFT_MSG_NEWSETELEM, message(element)),
        // delete element inet virt_forward bridges { "virbr_kube02" }
        Op::Delete => (NFT_MSG_DELSETELEM, message(element)),
    });
    transaction(NFPROTO_INET, messages, deadline).map_err(failed)
}

fn message(element: &Element) -> Vec<u8> {
    let Element { set, key, comment } = element;
    let value = |kind, bytes: &[u8]| nested(kind, &attr(NFTA_DATA_VALUE, bytes));
    let mut content = value(NFTA_SET_ELEM_KEY, &key.from);
    if let Some(to) = &key.to {
        content.extend(value(NFTA_SET_ELEM_KEY_END, to));
    }
    if let Some(comment) = comment {
        content.extend(attr(NFTA_SET_ELEM_USERDATA, &userdata(comment)));
    }
    let list = nested(
        NFTA_SET_ELEM_LIST_ELEMENTS,
        &nested(NFTA_LIST_ELEM, &content),
    );
    [
        text(NFTA_SET_ELEM_LIST_TABLE, TABLE.name),
        text(NFTA_SET_ELEM_LIST_SET, set),
        list,
    ]
    .concat()
}

/// A comment as nft encodes it: type and length of one byte each, then the text with its NUL.
fn userdata(comment: &str) -> Vec<u8> {
    let text = [comment.as_bytes(), &[0]].concat();
    let length = u8::try_from(text.len()).unwrap_or(u8::MAX);
    [&[NFTNL_UDATA_SET_ELEM_COMMENT, length], &text[..]].concat()
}

/// The elements of those sets; a missing set has none.
pub fn read<'a>(
    sets: impl Iterator<Item = &'a str>,
    deadline: Deadline,
) -> Result<BTreeMap<String, BTreeSet<SetKey>>> {
    let of = |set: &str| match read_set(set, deadline) {
        Ok(keys) => Ok((set.to_owned(), keys)),
        Err(why) if why.kind() == io::ErrorKind::NotFound => Ok((set.to_owned(), BTreeSet::new())),
        Err(why) => Err(failed(why)),
    };
    sets.map(of).collect()
}

/// The interface names in a set of any table.
pub(crate) fn names_in(
    family: u8,
    table: &str,
    set: &str,
    deadline: Deadline,
) -> io::Result<BTreeSet<String>> {
    let named = [
        (NFTA_SET_ELEM_LIST_TABLE, table),
        (NFTA_SET_ELEM_LIST_SET, set),
    ];
    let mut names = BTreeSet::new();
    for part in dump(NFT_MSG_GETSETELEM, family, &named, deadline)? {
        let list = attribute(&part.attributes, NFTA_SET_ELEM_LIST_ELEMENTS).unwrap_or_default();
        let keys = attributes(list).filter_map(|(_, element)| {
            let data = attribute(element, NFTA_SET_ELEM_KEY)?;
            attribute(data, NFTA_DATA_VALUE).map(string)
        });
        names.extend(keys);
    }
    Ok(names)
}

fn read_set(set: &str, deadline: Deadline) -> io::Result<BTreeSet<SetKey>> {
    let named = [
        (NFTA_SET_ELEM_LIST_TABLE, TABLE.name),
        (NFTA_SET_ELEM_LIST_SET, set),
    ];
    let mut keys = BTreeSet::new();
    for part in dump(NFT_MSG_GETSETELEM, NFPROTO_INET, &named, deadline)? {
        let list = attribute(&part.attributes, NFTA_SET_ELEM_LIST_ELEMENTS).unwrap_or_default();
        for (_, element) in attributes(list) {
            let value = |kind| {
                let data = attribute(element, kind)?;
                attribute(data, NFTA_DATA_VALUE).map(<[u8]>::to_vec)
            };
            let from = value(NFTA_SET_ELEM_KEY).unwrap_or_default();
            let is_end = attribute(element, NFTA_SET_ELEM_FLAGS).map_or(0, be32)
                & NFT_SET_ELEM_INTERVAL_END
                != 0;
            // nft begins an interval set with the end of the interval before the first
            // (src/segtree.c, `set_to_intervals`).
            if is_end && from.iter().all(|byte| *byte == 0) {
                continue;
            }
            keys.insert(SetKey {
                from,
                to: value(NFTA_SET_ELEM_KEY_END),
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
            key: SetKey {
                from: address.clone(),
                to,
                is_end: false,
            },
            comment: None,
        };
        let ends = |message: &[u8]| {
            let list = attribute(message, NFTA_SET_ELEM_LIST_ELEMENTS).unwrap();
            let one = attribute(list, NFTA_LIST_ELEM).unwrap();
            let end = attribute(one, NFTA_SET_ELEM_KEY_END)?;
            attribute(end, NFTA_DATA_VALUE).map(<[u8]>::to_vec)
        };
        assert_eq!(
            ends(&message(&element(Some(address.clone())))),
            Some(address.clone())
        );
        assert_eq!(ends(&message(&element(None))), None);
    }
}
