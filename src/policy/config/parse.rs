//! What the admin wrote, before and while it is checked.

use std::net::IpAddr;

use globset::{GlobBuilder, GlobSet};
use ipnet::IpNet;
use serde::Deserialize;
use toml::Spanned;

use super::{
    Config, Group, LineIndex, MarkBit, OnError, ParseError, Pattern,
    allow_rule::{AllowTable, allows},
};
use crate::netfilter::{ChainName, Family, TABLE};

/// A group's name becomes part of a set's name; nft takes far longer ones.
const LONGEST_GROUP: usize = 32;
/// Of a network's name, or a glob on it, in bytes. A name is also a file's, with 255 at most.
const LONGEST_PATTERN: usize = 1024;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    mark: Option<Spanned<i64>>,
    on_error: Option<OnErrorWord>,
    metadata: Option<bool>,
    group: Option<Vec<Spanned<GroupTable>>>,
    allow: Option<Vec<Spanned<AllowTable>>>,
    gates: Option<Gates>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum OnErrorWord {
    Ignore,
    Refuse,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GroupTable {
    name: Option<Spanned<String>>,
    networks: Option<Vec<Spanned<String>>>,
    peers: Option<Vec<Spanned<String>>>,
    keep_source: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Gates {
    extra: Option<Vec<Spanned<String>>>,
}

/// Reads the file's text and checks all of it.
pub(super) fn parse(text: &str) -> Result<Config, ParseError> {
    let file: File = toml::from_str(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        let why = error.message().trim_end().replace('\n', ", ");
        let why = match key_at(text, at) {
            Some(key) if !why.contains(key) => format!("{key}: {why}"),
            _ => why,
        };
        ParseError { at, why }
    })?;
    let default = Config::default();
    let lines = LineIndex::of(text);
    let groups = groups(&lines, file.group.unwrap_or_default())?;
    Ok(Config {
        mark: file.mark.map_or(Ok(default.mark), |mark| mark_bit(&mark))?,
        on_error: match file.on_error {
            Some(OnErrorWord::Refuse) => OnError::Refuse,
            Some(OnErrorWord::Ignore) | None => OnError::Ignore,
        },
        metadata: file.metadata.unwrap_or(default.metadata),
        allows: allows(&lines, file.allow.unwrap_or_default(), &groups)?,
        groups,
        extra: extra(file.gates)?,
        path: default.path,
    })
}

/// The key that the line of the byte at `at` gives a value to: the parser says what is wrong
/// with a value, not whose it is.
fn key_at(text: &str, at: usize) -> Option<&str> {
    let start = text.get(..at)?.rfind('\n').map_or(0, |newline| newline + 1);
    let (key, _) = text.get(start..)?.lines().next()?.split_once('=')?;
    Some(key.trim())
}

/// `on_error` alone, of a file that is wrong elsewhere.
pub(super) fn on_error(text: &str) -> OnError {
    let table = text.parse::<toml::Table>();
    let refuse = table
        .is_ok_and(|table| table.get("on_error").and_then(toml::Value::as_str) == Some("refuse"));
    if refuse {
        OnError::Refuse
    } else {
        OnError::Ignore
    }
}

fn extra(gates: Option<Gates>) -> Result<Vec<ChainName>, ParseError> {
    let names = gates.and_then(|gates| gates.extra).unwrap_or_default();
    names.iter().map(chain).collect()
}

/// `inet filter forward`
fn chain(name: &Spanned<String>) -> Result<ChainName, ParseError> {
    let text = name.get_ref();
    let wrong = |what: &str| {
        Err(ParseError {
            at: name.span().start,
            why: format!("\"{text}\" in extra of [gates]: {what}"),
        })
    };
    let words: Vec<&str> = text.split_whitespace().collect();
    let [family, table, chain] = words[..] else {
        return wrong("a chain is FAMILY TABLE CHAIN, like \"inet filter forward\"");
    };
    let family = match family {
        "ip" => Family::Ip,
        "ip6" => Family::Ip6,
        "inet" => Family::Inet,
        _ => return wrong("the family is none of ip, ip6, inet"),
    };
    if family == TABLE.family && table == TABLE.name {
        return wrong("virt_forward is virt-forward's own table");
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./\\".contains(c);
    if !table.chars().chain(chain.chars()).all(plain) {
        return wrong("names have letters, digits, '_', '-', '.', '/' and '\\' only");
    }
    Ok(ChainName::nft(family, table, chain))
}

fn mark_bit(mark: &Spanned<i64>) -> Result<MarkBit, ParseError> {
    let value = *mark.get_ref();
    MarkBit::new(value).ok_or_else(|| ParseError {
        at: mark.span().start,
        why: format!("mark = {value:#x} is not one bit of 32, like 0x10000000"),
    })
}

fn groups(
    lines_of: &LineIndex,
    tables: Vec<Spanned<GroupTable>>,
) -> Result<Vec<Group>, ParseError> {
    let mut groups: Vec<Group> = Vec::new();
    for table in tables {
        let at = table.span().start;
        let missing = |key| ParseError {
            at,
            why: format!("a [[group]] without {key}"),
        };
        let table = table.into_inner();
        let name = table.name.ok_or_else(|| missing("name"))?;
        let networks = table.networks.ok_or_else(|| missing("networks"))?;
        check_name(&name, &groups)?;
        let written = table.peers.unwrap_or_default();
        let peers: Vec<_> = written
            .iter()
            .map(|one| subnet(one, "peers"))
            .collect::<Result<_, _>>()?;
        let lines = written.iter().map(|one| lines_of.at(one.span().start));
        groups.push(Group {
            name: name.into_inner(),
            networks: networks
                .into_iter()
                .map(|text| pattern(text, "networks"))
                .collect::<Result<_, _>>()?,
            peers: IpNet::aggregate(&peers),
            peer_lines: peers.iter().copied().zip(lines).collect(),
            keep_source: table.keep_source.unwrap_or(false),
        });
    }
    Ok(groups)
}

fn check_name(name: &Spanned<String>, before: &[Group]) -> Result<(), ParseError> {
    let text = name.get_ref();
    let why = if before.iter().any(|group| group.name == *text) {
        format!("the group name \"{text}\" is there twice")
    } else if !is_group_name(text) {
        format!(
            "the group name \"{text}\" is not 1 to {LONGEST_GROUP} letters, digits, '_', '-' or '.'"
        )
    } else {
        return Ok(());
    };
    let at = name.span().start;
    Err(ParseError { at, why })
}

/// Whether that may be part of a set's name in our table.
pub(crate) fn is_group_name(name: &str) -> bool {
    let plain = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'_' | b'-' | b'.');
    (1..=LONGEST_GROUP).contains(&name.len()) && name.bytes().all(plain)
}

/// `192.168.0.0/24`, `fd00:1::/64`, or one address.
pub(super) fn subnet(text: &Spanned<String>, key: &str) -> Result<IpNet, ParseError> {
    let wrong = |what: String| ParseError {
        at: text.span().start,
        why: format!("\"{}\" in {key} {what}", text.get_ref()),
    };
    let address = text.get_ref().parse::<IpAddr>().map(IpNet::from);
    let subnet = address.or_else(|_| text.get_ref().parse::<IpNet>());
    let subnet = subnet.map_err(|_| {
        wrong("is no subnet: write it like \"192.168.0.0/24\" or \"fd00:1::/64\"".to_owned())
    })?;
    match subnet.trunc() == subnet {
        true => Ok(subnet),
        false => Err(wrong(format!(
            "is an address in {}: write the one or the other",
            subnet.trunc()
        ))),
    }
}

pub(super) fn pattern(text: Spanned<String>, key: &str) -> Result<Pattern, ParseError> {
    let at = text.span().start;
    let text = text.into_inner();
    if text.is_empty() {
        let why = format!("an empty name in {key}: name a network, or \"*\" for all");
        return Err(ParseError { at, why });
    }
    if text.len() > LONGEST_PATTERN {
        let why = format!("a name in {key} is longer than {LONGEST_PATTERN} bytes: \"{text}\"");
        return Err(ParseError { at, why });
    }
    if !text.contains(['*', '?', '[', ']', '{', '}', '\\']) {
        return Ok(Pattern { text, glob: None });
    }
    match glob(&text) {
        Ok(glob) => Ok(Pattern {
            glob: Some(glob),
            text,
        }),
        Err(error) => Err(ParseError {
            at,
            why: format!("\"{text}\" in {key} is no glob: {}", error.kind()),
        }),
    }
}

/// As a set of one: a glob on its own is made with a panic where its regular expression is too
/// deeply nested.
pub(super) fn glob(text: &str) -> Result<GlobSet, globset::Error> {
    let glob = GlobBuilder::new(text).backslash_escape(true).build()?;
    GlobSet::builder().add(glob).build()
}
