//! The firewalls of this host, as the kernel lists them: base chains of the forward hook, and
//! of their rules what [`gates`](virt_forward_ruleset::gates) asks about (linux/netfilter/nf_tables.h).

use std::collections::{BTreeMap, BTreeSet};

use crate::{Error, Result};
use crate::{
    deadline::Deadline,
    exec::iptables,
    netlink::{
        socket::{attribute, attributes, be32, be64, dump, head, string},
        uapi::{
            ACCEPT, CHAIN_POLICY, CHAIN_TABLE, DATA_VALUE, DROP, GOTO, JUMP, NFT_MSG_GETCHAIN,
            NFT_MSG_GETRULE, NFT_MSG_GETTABLE, RETURN, RULE_CHAIN, RULE_EXPRESSIONS, RULE_HANDLE,
            RULE_TABLE, TABLE_FLAGS, TABLE_NAME, VERDICT_CHAIN, VERDICT_CODE,
        },
    },
};
use virt_forward_policy::netfilter::{ChainName, Family, TABLE};
use virt_forward_ruleset::gates::{
    Firewalls, HEAD, SHOWN,
    chain_model::{About, Base, Chain, Chains, Rule, Verdict},
};

/// `NFT_TABLE_F_DORMANT`: switched off, as if it were not there.
const DORMANT: u32 = 1;
/// `NFT_TABLE_F_OWNER`: only the program that made it can change it.
const OWNER: u32 = 2;

const CHAIN_NAME: u16 = 3;
const CHAIN_HOOK: u16 = 4;
const HOOK_NUMBER: u16 = 1;
const HOOK_PRIORITY: u16 = 2;
/// `NF_INET_FORWARD`, the same for ip, ip6 and inet.
const FORWARD: u32 = 2;

const RULE_USERDATA: u16 = 7;
const EXPR_NAME: u16 = 1;
const EXPR_DATA: u16 = 2;
const IMMEDIATE_DATA: u16 = 2;
const DATA_VERDICT: u16 = 2;
const LOOKUP_DREG: u16 = 3;
const MATCH_NAME: u16 = 1;
const MATCH_INFO: u16 = 3;
const META_KEY: u16 = 2;
/// `NFT_META_MARK`
const MARK: u32 = 3;
/// `NFT_META_NFPROTO`
const NFPROTO: u32 = 15;
/// `NFT_META_L4PROTO`
const L4PROTO: u32 = 16;
const PAYLOAD_BASE: u16 = 2;
const PAYLOAD_OFFSET: u16 = 3;
const PAYLOAD_LENGTH: u16 = 4;
/// Of the network header the tenth byte, of IPv4.
const IP_PROTOCOL: [Option<u32>; 3] = [Some(1), Some(9), Some(1)];
const OBJREF_TYPE: u16 = 1;
/// `NFT_OBJECT_COUNTER`
const OBJECT_COUNTER: u32 = 1;
const BITWISE_MASK: u16 = 4;
const CMP_OP: u16 = 2;
const CMP_DATA: u16 = 3;
/// `NFT_CMP_EQ`
const EQUAL: u32 = 0;
/// `NFT_CMP_NEQ`
const NOT_EQUAL: u32 = 1;
/// libnftnl: `NFTNL_UDATA_RULE_COMMENT`.
const USERDATA_COMMENT: u8 = 0;

/// Of which chains the rules are read.
#[derive(Clone, Copy)]
pub enum Scope<'a> {
    /// The base chains of the forward hook, and what these firewalls ask for: as much with a
    /// thousand networks as with one.
    Near(&'a Firewalls),
    /// All there are.
    All,
}

/// The chains of ip, ip6 and inet tables, those of our own left out: base chains of the
/// forward hook, and what `scope` asks for. Beside them what went wrong with those of
/// iptables-legacy, which are left out then.
pub fn chains(scope: Scope<'_>, deadline: Deadline) -> Result<(Chains, Option<Error>)> {
    let failed = |why| Error::Rules {
        what: "the firewalls of this host".to_owned(),
        why,
    };
    let tables = tables(deadline).map_err(failed)?;
    let mut found: Vec<Chain> = Vec::new();
    for object in dump(NFT_MSG_GETCHAIN, 0, &[], deadline).map_err(failed)? {
        if let Some(chain) = chain(&object.attributes, object.family, &tables) {
            found.push(chain);
        }
    }
    let mut chains: Chains = match scope {
        Scope::Near(firewalls) => near(found, firewalls, deadline)?,
        Scope::All => {
            let mut rules = all_rules(deadline).map_err(failed)?;
            for chain in &mut found {
                chain.rules = rules.remove(&chain.name).unwrap_or_default();
            }
            found.into_iter().collect()
        }
    };
    let (legacy, trouble) = match iptables::legacy_chains(deadline) {
        Ok(legacy) => (legacy, None),
        Err(why) => (Vec::new(), Some(why)),
    };
    legacy.into_iter().for_each(|chain| chains.add(chain));
    Ok((chains, trouble))
}

/// The rules of base chains, of what every packet comes to from there, and of what `firewalls`
/// names.
fn near(all: Vec<Chain>, firewalls: &Firewalls, deadline: Deadline) -> Result<Chains> {
    let (inner, heads) = (firewalls.inner(), firewalls.heads());
    let mut unread = BTreeMap::new();
    let mut known = Chains::default();
    for mut chain in all {
        let is_whole = chain.base.is_some() || inner.contains(&chain.name);
        let limit = if is_whole { usize::MAX } else { HEAD };
        if is_whole || heads.contains(&chain.name) {
            chain.rules = rules(&chain.name, limit, deadline)?;
            known.add(chain);
        } else {
            unread.insert(chain.name.clone(), chain);
        }
    }
    loop {
        let missing = firewalls.missing(&known).into_iter();
        let missing: Vec<_> = missing.filter_map(|name| unread.remove(&name)).collect();
        if missing.is_empty() {
            return Ok(known);
        }
        for mut chain in missing {
            chain.rules = rules(&chain.name, SHOWN, deadline)?;
            known.add(chain);
        }
    }
}

/// The flags of every table that is not dormant.
fn tables(deadline: Deadline) -> std::io::Result<BTreeMap<(u8, String), u32>> {
    let objects = dump(NFT_MSG_GETTABLE, 0, &[], deadline)?.into_iter();
    let tables = objects.filter_map(|object| {
        let name = string(attribute(&object.attributes, TABLE_NAME)?);
        let flags = attribute(&object.attributes, TABLE_FLAGS).map_or(0, be32);
        (flags & DORMANT == 0).then_some(((object.family, name), flags))
    });
    Ok(tables.collect())
}

fn chain(object: &[u8], number: u8, tables: &BTreeMap<(u8, String), u32>) -> Option<Chain> {
    let table = string(attribute(object, CHAIN_TABLE)?);
    let family = family(number)?;
    if family == TABLE.family && table == TABLE.name {
        return None;
    }
    let name = string(attribute(object, CHAIN_NAME)?);
    let flags = tables.get(&(number, table.clone()))?;
    let base = attribute(object, CHAIN_HOOK).and_then(|hook| {
        let is_forward = attribute(hook, HOOK_NUMBER).map(be32) == Some(FORWARD);
        is_forward.then(|| Base {
            priority: attribute(hook, HOOK_PRIORITY).map_or(0, be32).cast_signed(),
            drops: attribute(object, CHAIN_POLICY).map(be32) == Some(DROP),
        })
    });
    Some(Chain {
        name: ChainName::nft(family, &table, &name),
        base,
        is_owned: flags & OWNER != 0,
        rules: Vec::new(),
    })
}

/// `NFPROTO_*`; bridged frames and what comes in on a device are never routed packets.
pub(crate) fn family(number: u8) -> Option<Family> {
    match number {
        1 => Some(Family::Inet),
        2 => Some(Family::Ip),
        10 => Some(Family::Ip6),
        _ => None,
    }
}

fn number(family: Family) -> u8 {
    match family {
        Family::Inet => 1,
        Family::Ip => 2,
        Family::Ip6 => 10,
    }
}

/// The rules of one chain, first to last, at least `limit` if there are so many; none where it is
/// gone by now. Tables of iptables-nft are tables like any other here.
fn rules(name: &ChainName, limit: usize, deadline: Deadline) -> Result<Vec<Rule>> {
    let chain = [(RULE_TABLE, &*name.table), (RULE_CHAIN, &*name.chain)];
    let family = number(name.family);
    match head(NFT_MSG_GETRULE, family, &chain, limit, deadline) {
        Ok(objects) => Ok(objects
            .iter()
            .map(|object| rule(&object.attributes))
            .collect()),
        Err(why) if why.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(why) => Err(Error::Rules {
            what: name.to_string(),
            why,
        }),
    }
}

fn all_rules(deadline: Deadline) -> std::io::Result<BTreeMap<ChainName, Vec<Rule>>> {
    let mut rules: BTreeMap<ChainName, Vec<Rule>> = BTreeMap::new();
    for object in dump(NFT_MSG_GETRULE, 0, &[], deadline)? {
        let named = |kind| attribute(&object.attributes, kind).map(string);
        if let (Some(family), Some(table), Some(chain)) =
            (family(object.family), named(RULE_TABLE), named(RULE_CHAIN))
        {
            let name = ChainName::nft(family, &table, &chain);
            rules
                .entry(name)
                .or_default()
                .push(rule(&object.attributes));
        }
    }
    Ok(rules)
}

fn rule(object: &[u8]) -> Rule {
    let mut reading = Reading {
        rule: Rule {
            // One beyond 32 bits cannot be named to nft through the crate; it then says so.
            handle: attribute(object, RULE_HANDLE)
                .map_or(0, |handle| be64(handle).try_into().unwrap_or(u32::MAX)),
            comment: attribute(object, RULE_USERDATA).and_then(userdata_comment),
            about: About::All,
            ..Rule::default()
        },
        ..Reading::default()
    };
    let mut seen = BTreeSet::new();
    let expressions = attribute(object, RULE_EXPRESSIONS).unwrap_or_default();
    for (_, expression) in attributes(expressions) {
        let name = attribute(expression, EXPR_NAME)
            .map(string)
            .unwrap_or_default();
        let data = attribute(expression, EXPR_DATA).unwrap_or_default();
        reading.understand(&name, data);
        seen.insert(name);
    }
    let Reading {
        mut rule, answers, ..
    } = reading;
    if rule.about == About::Protocol && !answers {
        rule.about = About::Some;
    }
    // meta mark & bit != 0 accept, with or without a counter, and nothing else.
    let plain = ["meta", "bitwise", "cmp", "counter", "immediate"];
    if !seen.iter().all(|name| plain.contains(&name.as_str())) || !seen.contains("cmp") {
        rule.mark = 0;
    }
    rule
}

/// A rule, as far as its expressions are read.
#[derive(Default)]
struct Reading {
    rule: Rule,
    /// What the last expression has loaded, to be compared.
    loaded: Loaded,
    /// It refuses with an answer.
    answers: bool,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Loaded {
    #[default]
    Other,
    Family,
    Protocol,
}

impl Reading {
    /// What one expression adds to what is known of the rule.
    fn understand(&mut self, name: &str, data: &[u8]) {
        let rule = &mut self.rule;
        match name {
            "immediate" => {
                if let Some(verdict) = verdict(data) {
                    rule.verdict = verdict;
                }
            }
            "reject" => {
                rule.verdict = Verdict::Refuse;
                self.answers = true;
            }
            // Targets of iptables' own; ACCEPT, DROP and jumps are verdicts here too.
            "target" => {
                let target = attribute(data, MATCH_NAME).map(string).unwrap_or_default();
                iptables::target(rule, &target);
                self.answers |= target == "REJECT";
            }
            "match" => match match_comment(data) {
                Some(comment) => rule.comment = Some(comment),
                None => rule.about = About::Some,
            },
            "lookup" => {
                rule.about = About::Some;
                // Into the verdict's register: a map decides.
                if attribute(data, LOOKUP_DREG).map(be32) == Some(0) {
                    rule.verdict = Verdict::Unknown;
                }
            }
            // To a program, which answers for the kernel.
            "queue" | "synproxy" => rule.verdict = Verdict::Unknown,
            "log" => rule.logs = true,
            "objref" if attribute(data, OBJREF_TYPE).map(be32) == Some(OBJECT_COUNTER) => {}
            "cmp" => rule.about = narrowed(rule.about, self.loaded, data),
            "counter" | "last" | "bitwise" | "meta" | "payload" | "ct" => {}
            _ => rule.about = About::Some,
        }
        mark(rule, name, data);
        if name == "cmp" && !is_not_zero(data) {
            rule.mark = 0;
        }
        self.loaded = loaded(name, data);
    }
}

/// What an expression loads that all packets of a family or a protocol have in common.
fn loaded(name: &str, data: &[u8]) -> Loaded {
    let number = |kind| attribute(data, kind).map(be32);
    match name {
        "meta" if number(META_KEY) == Some(NFPROTO) => Loaded::Family,
        "meta" if number(META_KEY) == Some(L4PROTO) => Loaded::Protocol,
        // `ip protocol`
        "payload" if [PAYLOAD_BASE, PAYLOAD_OFFSET, PAYLOAD_LENGTH].map(number) == IP_PROTOCOL => {
            Loaded::Protocol
        }
        _ => Loaded::Other,
    }
}

/// Which packets are left after a comparison.
fn narrowed(about: About, loaded: Loaded, comparison: &[u8]) -> About {
    let is_equal = attribute(comparison, CMP_OP).map(be32) == Some(EQUAL);
    let value = attribute(comparison, CMP_DATA).and_then(|data| attribute(data, DATA_VALUE));
    match (about, loaded) {
        (About::Some, _) | (_, Loaded::Other) => About::Some,
        _ if !is_equal => About::Some,
        (_, Loaded::Protocol) => About::Protocol,
        (About::All, Loaded::Family) => {
            let number = value.and_then(|bytes| bytes.first());
            number
                .and_then(|number| family(*number))
                .map_or(About::Some, About::Family)
        }
        (_, Loaded::Family) => About::Some,
    }
}

/// Which bits of the mark are looked at, if it is the mark: a rule with a comparison after
/// that is about some packets only, which `cmp` says.
fn mark(rule: &mut Rule, name: &str, data: &[u8]) {
    match name {
        "meta" => {
            let is_mark = attribute(data, META_KEY).map(be32) == Some(MARK);
            rule.mark = if is_mark { u32::MAX } else { 0 };
        }
        "bitwise" if rule.mark != 0 => {
            let mask = attribute(data, BITWISE_MASK);
            let mask = mask.and_then(|mask| attribute(mask, DATA_VALUE));
            let mask = mask.and_then(|mask| mask.first_chunk());
            rule.mark = mask.map_or(0, |four| u32::from_ne_bytes(*four));
        }
        _ => {}
    }
}

/// `… != 0`
fn is_not_zero(comparison: &[u8]) -> bool {
    let operator = attribute(comparison, CMP_OP).map(be32);
    let value = attribute(comparison, CMP_DATA).and_then(|data| attribute(data, DATA_VALUE));
    operator == Some(NOT_EQUAL) && value.is_some_and(|bytes| bytes.iter().all(|byte| *byte == 0))
}

/// What an immediate says, where it is a verdict.
pub(crate) fn verdict(immediate: &[u8]) -> Option<Verdict> {
    let data = attribute(immediate, IMMEDIATE_DATA)?;
    let verdict = attribute(data, DATA_VERDICT)?;
    let chain = || attribute(verdict, VERDICT_CHAIN).map(string);
    match be32(attribute(verdict, VERDICT_CODE)?) {
        ACCEPT => Some(Verdict::Accept),
        DROP => Some(Verdict::Refuse),
        RETURN => Some(Verdict::Return),
        JUMP => Some(Verdict::Jump(chain()?)),
        GOTO => Some(Verdict::Goto(chain()?)),
        _ => None,
    }
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
