//! The rules of a foreign chain, as the kernel lists them: their handles, comments and
//! jumps, and nothing of what else they say (linux/netfilter/nf_tables.h).

use super::{
    deadline::Deadline,
    netlink::{attribute, attributes, dump, string},
};
use crate::{
    Error, Result,
    gates::{Place, Rule},
    table::Family,
};

const NFT_MSG_GETRULE: u8 = 7;

const RULE_TABLE: u16 = 1;
const RULE_CHAIN: u16 = 2;
const RULE_HANDLE: u16 = 3;
const RULE_EXPRESSIONS: u16 = 4;
const RULE_USERDATA: u16 = 7;
const EXPR_NAME: u16 = 1;
const EXPR_DATA: u16 = 2;
const IMMEDIATE_DATA: u16 = 2;
const DATA_VERDICT: u16 = 2;
const VERDICT_CHAIN: u16 = 2;
const MATCH_NAME: u16 = 1;
const MATCH_INFO: u16 = 3;
/// libnftnl: `NFTNL_UDATA_RULE_COMMENT`.
const USERDATA_COMMENT: u8 = 0;

/// The rules at `place`, first to last; none where there is no such table or chain. Tables
/// of iptables-nft are tables like any other here; those of iptables-legacy are not seen.
pub fn rules(place: &Place, deadline: Deadline) -> Result<Vec<Rule>> {
    let family = match place.family {
        Family::Ip => 2,
        Family::Ip6 => 10,
        Family::Inet => 1,
    };
    let chain = [(RULE_TABLE, place.table), (RULE_CHAIN, place.chain)];
    match dump(NFT_MSG_GETRULE, family, &chain, deadline) {
        Ok(objects) => Ok(objects.iter().map(|object| rule(object)).collect()),
        Err(why) if why.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(why) => Err(Error::Rules {
            what: place.path(),
            why,
        }),
    }
}

fn rule(object: &[u8]) -> Rule {
    let handle = attribute(object, RULE_HANDLE).and_then(|bytes| bytes.first_chunk());
    let mut rule = Rule {
        // One beyond 32 bits cannot be named to nft through the crate; it then says so.
        handle: handle.map_or(0, |eight| {
            u64::from_be_bytes(*eight).try_into().unwrap_or(u32::MAX)
        }),
        comment: attribute(object, RULE_USERDATA).and_then(userdata_comment),
        jump: None,
    };
    let expressions = attribute(object, RULE_EXPRESSIONS).unwrap_or_default();
    for (_, expression) in attributes(expressions) {
        let name = attribute(expression, EXPR_NAME).map(string);
        let data = attribute(expression, EXPR_DATA).unwrap_or_default();
        match name.as_deref() {
            Some("immediate") => rule.jump = rule.jump.or_else(|| jump(data)),
            Some("match") => rule.comment = rule.comment.or_else(|| match_comment(data)),
            _ => {}
        }
    }
    rule
}

/// The chain of a jump or goto.
fn jump(immediate: &[u8]) -> Option<String> {
    let data = attribute(immediate, IMMEDIATE_DATA)?;
    let verdict = attribute(data, DATA_VERDICT)?;
    attribute(verdict, VERDICT_CHAIN).map(string)
}

/// iptables' `-m comment`: the text is all of the match's data.
fn match_comment(expression: &[u8]) -> Option<String> {
    let is_comment = attribute(expression, MATCH_NAME).map(string)? == "comment";
    let info = attribute(expression, MATCH_INFO)?;
    is_comment.then(|| string(info))
}

/// nft's own comments: one byte type, one byte length, the text.
fn userdata_comment(mut bytes: &[u8]) -> Option<String> {
    while let [kind, length, rest @ ..] = bytes {
        let (value, rest) = rest.split_at_checked(usize::from(*length))?;
        if *kind == USERDATA_COMMENT {
            return Some(string(value));
        }
        bytes = rest;
    }
    None
}
