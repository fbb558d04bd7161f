//! The text of the config, parsed and checked.

use ipnet::IpNet;
use serde::Deserialize;
use toml::Spanned;

use super::{
    error::{ChainFault, ConfigError, ConfigFault, ParseError, Table},
    group::Group,
    location::LineIndex,
    mark::MarkBit,
    model::Config,
    name::is_name,
    on_error::OnError,
    parse_allow::{AllowTable, allow_rules},
    values::{pattern, subnet},
};
use crate::netfilter::{ChainName, Family, TABLE};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    mark: Option<Spanned<i64>>,
    on_error: Option<OnError>,
    metadata: Option<bool>,
    group: Option<Vec<Spanned<GroupTable>>>,
    allow: Option<Vec<Spanned<AllowTable>>>,
    gates: Option<GatesTable>,
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
struct GatesTable {
    extra: Option<Vec<Spanned<String>>>,
}

impl Config {
    /// Parses and checks `text`, the text of the file `path`.
    ///
    /// # Errors
    ///
    /// The first fault of the text, with its line.
    pub fn read(text: &str, path: String) -> Result<Self, ConfigError> {
        match parse(text) {
            Ok(config) => Ok(Self { path, ..config }),
            Err(ParseError { at, fault }) => Err(ConfigError::Wrong {
                path,
                line: LineIndex::new(text).line(at),
                fault,
                on_error: on_error(text),
            }),
        }
    }
}

/// Parses the file's text and checks all of it.
pub(super) fn parse(text: &str) -> Result<Config, ParseError> {
    let file: File = toml::from_str(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        let key = key_at(text, at).map(str::to_owned);
        let message = error.message().trim_end().replace('\n', ", ");
        ParseError::new(at, ConfigFault::Toml { key, message })
    })?;
    let default = Config::default();
    let lines = LineIndex::new(text);
    let groups = groups(&lines, file.group.unwrap_or_default())?;
    Ok(Config {
        mark: file.mark.map_or(Ok(default.mark), |mark| mark_bit(&mark))?,
        on_error: file.on_error.unwrap_or(default.on_error),
        metadata: file.metadata.unwrap_or(default.metadata),
        allows: allow_rules(&lines, file.allow.unwrap_or_default(), &groups)?,
        groups,
        extra: extra(file.gates)?,
        path: default.path,
    })
}

/// The key whose value the byte at `at` belongs to, where both are in one line: the parser reports
/// what is wrong with a value, not its key.
fn key_at(text: &str, at: usize) -> Option<&str> {
    let start = text.get(..at)?.rfind('\n').map_or(0, |newline| newline + 1);
    let (key, _) = text.get(start..)?.lines().next()?.split_once('=')?;
    (at - start > key.len()).then(|| key.trim())
}

/// `on_error` alone, of a file with a fault elsewhere.
pub(super) fn on_error(text: &str) -> OnError {
    let table = text.parse::<toml::Table>().unwrap_or_default();
    match table.get("on_error").and_then(toml::Value::as_str) {
        Some("refuse") => OnError::Refuse,
        _ => OnError::Ignore,
    }
}

fn extra(gates: Option<GatesTable>) -> Result<Vec<ChainName>, ParseError> {
    let names = gates.and_then(|gates| gates.extra).unwrap_or_default();
    names.iter().map(chain).collect()
}

/// Parses `inet filter forward`.
fn chain(name: &Spanned<String>) -> Result<ChainName, ParseError> {
    parse_chain(name.get_ref()).map_err(|reason| {
        let text = name.get_ref().clone();
        ParseError::new(
            name.span().start,
            ConfigFault::InvalidChain { text, reason },
        )
    })
}

fn parse_chain(text: &str) -> Result<ChainName, ChainFault> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let [family, table, chain] = words[..] else {
        return Err(ChainFault::Words);
    };
    let family = match family {
        "ip" => Family::Ip,
        "ip6" => Family::Ip6,
        "inet" => Family::Inet,
        _ => return Err(ChainFault::Family),
    };
    if family == TABLE.family && table == TABLE.name {
        return Err(ChainFault::OwnTable);
    }
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-./\\".contains(c);
    if !table.chars().chain(chain.chars()).all(is_plain) {
        return Err(ChainFault::Characters);
    }
    Ok(ChainName::nft(family, table, chain))
}

fn mark_bit(mark: &Spanned<i64>) -> Result<MarkBit, ParseError> {
    let value = *mark.get_ref();
    MarkBit::new(value).ok_or_else(|| ParseError::new(mark.span().start, ConfigFault::Mark(value)))
}

fn groups(lines: &LineIndex, tables: Vec<Spanned<GroupTable>>) -> Result<Vec<Group>, ParseError> {
    let mut groups: Vec<Group> = Vec::new();
    for table in tables {
        let group = group(lines, table, &groups)?;
        groups.push(group);
    }
    Ok(groups)
}

fn group(
    lines: &LineIndex,
    table: Spanned<GroupTable>,
    earlier: &[Group],
) -> Result<Group, ParseError> {
    let at = table.span().start;
    let missing = |key| {
        let table = Table::Group;
        ParseError::new(at, ConfigFault::MissingKey { table, key })
    };
    let table = table.into_inner();
    let name = table.name.ok_or_else(|| missing("name"))?;
    let networks = table.networks.ok_or_else(|| missing("networks"))?;
    check_name(&name, earlier)?;
    let written = table.peers.unwrap_or_default();
    let mut peers = Vec::new();
    let mut peer_lines = Vec::new();
    for peer in &written {
        let net = subnet(peer, "peers")?;
        peers.push(net);
        peer_lines.push((net, lines.line(peer.span().start)));
    }
    Ok(Group {
        name: name.into_inner(),
        networks: networks
            .into_iter()
            .map(|text| pattern(text, "networks"))
            .collect::<Result<_, _>>()?,
        peers: IpNet::aggregate(&peers),
        peer_lines,
        keep_source: table.keep_source.unwrap_or(false),
    })
}

fn check_name(name: &Spanned<String>, earlier: &[Group]) -> Result<(), ParseError> {
    let table = Table::Group;
    let text = name.get_ref().clone();
    let fault = if earlier.iter().any(|group| group.name == text) {
        ConfigFault::DuplicateName { table, name: text }
    } else if !is_name(&text) {
        ConfigFault::InvalidName { table, name: text }
    } else {
        return Ok(());
    };
    Err(ParseError::new(name.span().start, fault))
}
