//! The chains and rules of other firewalls on this host, read from nf_tables and iptables-legacy
//! and reduced to the model that [`gates`](virt_forward_ruleset::gates) uses
//! (linux/netfilter/nf_tables.h).

use std::collections::{BTreeMap, BTreeSet};

use crate::netlink::uapi::{
    NF_ACCEPT, NF_DROP, NF_INET_FORWARD, NFPROTO_INET, NFPROTO_IPV4, NFPROTO_IPV6, NFT_CMP_EQ,
    NFT_CMP_NEQ, NFT_GOTO, NFT_JUMP, NFT_META_L4PROTO, NFT_META_MARK, NFT_META_NFPROTO,
    NFT_MSG_GETCHAIN, NFT_MSG_GETRULE, NFT_MSG_GETTABLE, NFT_OBJECT_COUNTER, NFT_RETURN,
    NFT_TABLE_F_DORMANT, NFT_TABLE_F_OWNER, NFTA_BITWISE_MASK, NFTA_CHAIN_HOOK, NFTA_CHAIN_NAME,
    NFTA_CHAIN_POLICY, NFTA_CHAIN_TABLE, NFTA_CMP_DATA, NFTA_CMP_OP, NFTA_DATA_VALUE,
    NFTA_DATA_VERDICT, NFTA_EXPR_DATA, NFTA_EXPR_NAME, NFTA_HOOK_HOOKNUM, NFTA_HOOK_PRIORITY,
    NFTA_IMMEDIATE_DATA, NFTA_LOOKUP_DREG, NFTA_MATCH_INFO, NFTA_MATCH_NAME, NFTA_META_KEY,
    NFTA_OBJREF_IMM_TYPE, NFTA_PAYLOAD_BASE, NFTA_PAYLOAD_LEN, NFTA_PAYLOAD_OFFSET,
    NFTA_RULE_CHAIN, NFTA_RULE_EXPRESSIONS, NFTA_RULE_HANDLE, NFTA_RULE_TABLE, NFTA_RULE_USERDATA,
    NFTA_TABLE_FLAGS, NFTA_TABLE_NAME, NFTA_VERDICT_CHAIN, NFTA_VERDICT_CODE,
    NFTNL_UDATA_RULE_COMMENT,
};
use crate::{Error, Result};
use crate::{
    deadline::Deadline,
    exec::iptables,
    netlink::socket::{attribute, attributes, be32, be64, dump, dump_limited, string},
};
use virt_forward_policy::netfilter::{ChainName, Family, TABLE};
use virt_forward_ruleset::gates::{
    CHAIN_SCAN_LIMIT, Firewalls, SHORTCUT_SCAN_LIMIT,
    chain_model::{About, Base, Chain, Chains, Rule, Verdict},
};

/// `ip protocol`: base, offset and length of the load, the tenth byte of the network header.
const IP_PROTOCOL: [Option<u32>; 3] = [Some(1), Some(9), Some(1)];

/// The chains whose rules are read.
#[derive(Clone, Copy)]
pub enum Scope<'a> {
    /// The base chains of the forward hook and the chains that these firewalls ask for. Their
    /// number does not depend on the number of networks.
    Near(&'a Firewalls),
    /// All chains.
    All,
}

/// The chains in `scope` of all ip, ip6 and inet tables except our own, and the error that kept
/// those of iptables-legacy from being read, if any; they are left out then.
///
/// # Errors
///
/// [`Error::Rules`] if the kernel does not list its chains or rules.
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

/// Reads the rules of base chains, of the chains that every packet reaches from there, and of those
/// that `firewalls` names.
fn near(all: Vec<Chain>, firewalls: &Firewalls, deadline: Deadline) -> Result<Chains> {
    let (inner, heads) = (firewalls.inner(), firewalls.heads());
    let mut unread = BTreeMap::new();
    let mut known = Chains::default();
    for mut chain in all {
        let is_whole = chain.base.is_some() || inner.contains(&chain.name);
        let limit = if is_whole {
            usize::MAX
        } else {
            SHORTCUT_SCAN_LIMIT
        };
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
            chain.rules = rules(&chain.name, CHAIN_SCAN_LIMIT, deadline)?;
            known.add(chain);
        }
    }
}

/// The flags of every table that is not dormant.
fn tables(deadline: Deadline) -> std::io::Result<BTreeMap<(u8, String), u32>> {
    let objects = dump(NFT_MSG_GETTABLE, 0, &[], deadline)?.into_iter();
    let tables = objects.filter_map(|object| {
        let name = string(attribute(&object.attributes, NFTA_TABLE_NAME)?);
        let flags = attribute(&object.attributes, NFTA_TABLE_FLAGS).map_or(0, be32);
        (flags & NFT_TABLE_F_DORMANT == 0).then_some(((object.family, name), flags))
    });
    Ok(tables.collect())
}

fn chain(object: &[u8], number: u8, tables: &BTreeMap<(u8, String), u32>) -> Option<Chain> {
    let table = string(attribute(object, NFTA_CHAIN_TABLE)?);
    let family = family(number)?;
    if family == TABLE.family && table == TABLE.name {
        return None;
    }
    let name = string(attribute(object, NFTA_CHAIN_NAME)?);
    let flags = tables.get(&(number, table.clone()))?;
    let base = attribute(object, NFTA_CHAIN_HOOK).and_then(|hook| {
        let is_forward = attribute(hook, NFTA_HOOK_HOOKNUM).map(be32) == Some(NF_INET_FORWARD);
        is_forward.then(|| Base {
            priority: attribute(hook, NFTA_HOOK_PRIORITY)
                .map_or(0, be32)
                .cast_signed(),
            drops: attribute(object, NFTA_CHAIN_POLICY).map(be32) == Some(NF_DROP),
        })
    });
    Some(Chain {
        name: ChainName::nft(family, &table, &name),
        base,
        is_owned: flags & NFT_TABLE_F_OWNER != 0,
        rules: Vec::new(),
    })
}

/// The family of an `NFPROTO_*`; `None` for bridge and netdev, whose chains do not see routed
/// packets.
pub(crate) fn family(number: u8) -> Option<Family> {
    match number {
        NFPROTO_INET => Some(Family::Inet),
        NFPROTO_IPV4 => Some(Family::Ip),
        NFPROTO_IPV6 => Some(Family::Ip6),
        _ => None,
    }
}

fn number(family: Family) -> u8 {
    match family {
        Family::Inet => NFPROTO_INET,
        Family::Ip => NFPROTO_IPV4,
        Family::Ip6 => NFPROTO_IPV6,
    }
}

/// The first rules of a chain in order, at least `limit` of them if it has so many; none if the
/// chain was deleted meanwhile. Tables of iptables-nft are read like any other.
fn rules(name: &ChainName, limit: usize, deadline: Deadline) -> Result<Vec<Rule>> {
    let chain = [
        (NFTA_RULE_TABLE, &*name.table),
        (NFTA_RULE_CHAIN, &*name.chain),
    ];
    let family = number(name.family);
    match dump_limited(NFT_MSG_GETRULE, family, &chain, limit, deadline) {
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
        if let (Some(family), Some(table), Some(chain)) = (
            family(object.family),
            named(NFTA_RULE_TABLE),
            named(NFTA_RULE_CHAIN),
        ) {
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
            // The nftables crate has 32 bits for a handle; nft rejects a wrong one.
            handle: attribute(object, NFTA_RULE_HANDLE)
                .map_or(0, |handle| be64(handle).try_into().unwrap_or(u32::MAX)),
            comment: attribute(object, NFTA_RULE_USERDATA).and_then(userdata_comment),
            about: About::All,
            ..Rule::default()
        },
        ..Reading::default()
    };
    let mut seen = BTreeSet::new();
    let expressions = attribute(object, NFTA_RULE_EXPRESSIONS).unwrap_or_default();
    for (_, expression) in attributes(expressions) {
        let name = attribute(expression, NFTA_EXPR_NAME)
            .map(string)
            .unwrap_or_default();
        let data = attribute(expression, NFTA_EXPR_DATA).unwrap_or_default();
        reading.understand(&name, data);
        seen.insert(name);
    }
    let Reading {
        mut rule, answers, ..
    } = reading;
    if rule.about == About::Protocol && !answers {
        rule.about = About::Some;
    }
    // meta mark & bit != 0 accept, with or without a counter and nothing else
    let plain = ["meta", "bitwise", "cmp", "counter", "immediate"];
    if !seen.iter().all(|name| plain.contains(&name.as_str())) || !seen.contains("cmp") {
        rule.mark = 0;
    }
    rule
}

/// A rule whose expressions are being read.
#[derive(Default)]
struct Reading {
    rule: Rule,
    /// What the last expression loaded into the register that the next one compares.
    loaded: Loaded,
    /// The rule rejects, that is, it drops and sends an error.
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
    /// Adds one expression to the rule.
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
            // iptables extensions; ACCEPT, DROP and jumps are verdicts of nf_tables here, too.
            "target" => {
                let target = attribute(data, NFTA_MATCH_NAME)
                    .map(string)
                    .unwrap_or_default();
                iptables::target(rule, &target);
                self.answers |= target == "REJECT";
            }
            "match" => match match_comment(data) {
                Some(comment) => rule.comment = Some(comment),
                None => rule.about = About::Some,
            },
            "lookup" => {
                rule.about = About::Some;
                // Into the verdict register: a verdict map decides.
                if attribute(data, NFTA_LOOKUP_DREG).map(be32) == Some(0) {
                    rule.verdict = Verdict::Unknown;
                }
            }
            // A program decides, or the kernel answers in the destination's place.
            "queue" | "synproxy" => rule.verdict = Verdict::Unknown,
            "log" => rule.logs = true,
            "objref"
                if attribute(data, NFTA_OBJREF_IMM_TYPE).map(be32) == Some(NFT_OBJECT_COUNTER) => {}
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

/// Whether an expression loads the address family or the protocol of a packet.
fn loaded(name: &str, data: &[u8]) -> Loaded {
    let number = |kind| attribute(data, kind).map(be32);
    match name {
        "meta" if number(NFTA_META_KEY) == Some(NFT_META_NFPROTO) => Loaded::Family,
        "meta" if number(NFTA_META_KEY) == Some(NFT_META_L4PROTO) => Loaded::Protocol,
        // `ip protocol`
        "payload"
            if [NFTA_PAYLOAD_BASE, NFTA_PAYLOAD_OFFSET, NFTA_PAYLOAD_LEN].map(number)
                == IP_PROTOCOL =>
        {
            Loaded::Protocol
        }
        _ => Loaded::Other,
    }
}

/// The packets that a rule matches after a comparison.
fn narrowed(about: About, loaded: Loaded, comparison: &[u8]) -> About {
    let is_equal = attribute(comparison, NFTA_CMP_OP).map(be32) == Some(NFT_CMP_EQ);
    let value =
        attribute(comparison, NFTA_CMP_DATA).and_then(|data| attribute(data, NFTA_DATA_VALUE));
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

/// Tracks which bits of the mark the rule compares.
fn mark(rule: &mut Rule, name: &str, data: &[u8]) {
    match name {
        "meta" => {
            let is_mark = attribute(data, NFTA_META_KEY).map(be32) == Some(NFT_META_MARK);
            rule.mark = if is_mark { u32::MAX } else { 0 };
        }
        "bitwise" if rule.mark != 0 => {
            let mask = attribute(data, NFTA_BITWISE_MASK);
            let mask = mask.and_then(|mask| attribute(mask, NFTA_DATA_VALUE));
            let mask = mask.and_then(|mask| mask.first_chunk());
            rule.mark = mask.map_or(0, |four| u32::from_ne_bytes(*four));
        }
        _ => {}
    }
}

/// `… != 0`
fn is_not_zero(comparison: &[u8]) -> bool {
    let operator = attribute(comparison, NFTA_CMP_OP).map(be32);
    let value =
        attribute(comparison, NFTA_CMP_DATA).and_then(|data| attribute(data, NFTA_DATA_VALUE));
    operator == Some(NFT_CMP_NEQ) && value.is_some_and(|bytes| bytes.iter().all(|byte| *byte == 0))
}

/// The verdict of an immediate expression, if it is one.
pub(crate) fn verdict(immediate: &[u8]) -> Option<Verdict> {
    let data = attribute(immediate, NFTA_IMMEDIATE_DATA)?;
    let verdict = attribute(data, NFTA_DATA_VERDICT)?;
    let chain = || attribute(verdict, NFTA_VERDICT_CHAIN).map(string);
    match be32(attribute(verdict, NFTA_VERDICT_CODE)?) {
        NF_ACCEPT => Some(Verdict::Accept),
        NF_DROP => Some(Verdict::Refuse),
        NFT_RETURN => Some(Verdict::Return),
        NFT_JUMP => Some(Verdict::Jump(chain()?)),
        NFT_GOTO => Some(Verdict::Goto(chain()?)),
        _ => None,
    }
}

/// The text of iptables' `-m comment`, which is the whole data of the match.
fn match_comment(expression: &[u8]) -> Option<String> {
    let is_comment = attribute(expression, NFTA_MATCH_NAME).map(string)? == "comment";
    let info = attribute(expression, NFTA_MATCH_INFO)?;
    is_comment.then(|| string(info))
}

/// The comment in a rule's user data: type and length of one byte each, then the text.
fn userdata_comment(mut bytes: &[u8]) -> Option<String> {
    while let [kind, length, rest @ ..] = bytes {
        let (value, rest) = rest.split_at_checked(usize::from(*length))?;
        if *kind == NFTNL_UDATA_RULE_COMMENT {
            return Some(string(value));
        }
        bytes = rest;
    }
    None
}
