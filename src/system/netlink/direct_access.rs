//! Rules that drop packets to single addresses by the interface that they come in by: Docker's
//! own, in the chains that it keeps them in (moby, libnetwork/drivers/bridge, `filterDirectAccess`).

use std::{collections::BTreeSet, io, net::IpAddr};

use crate::{Error, Result};
use crate::{
    deadline::Deadline,
    exec::iptables,
    netlink::{
        nft_rules::verdict,
        set_elements::names_in,
        socket::{attribute, attributes, be32, dump, string},
        uapi::{DATA_VALUE, NFT_MSG_GETRULE, RULE_CHAIN, RULE_EXPRESSIONS, RULE_TABLE},
    },
};
use virt_forward_ruleset::gates::{
    chain_model::Verdict,
    direct::{By, Rule},
};

/// `NFPROTO_IPV4`, `NFPROTO_IPV6`
const FAMILIES: [u8; 2] = [2, 10];
/// Of iptables-nft, and of Docker since 29 where it uses nftables.
const CHAINS: [(&str, &str); 2] = [("raw", "PREROUTING"), ("docker-bridges", "raw-PREROUTING")];

const EXPR_NAME: u16 = 1;
const EXPR_DATA: u16 = 2;
const PAYLOAD_BASE: u16 = 2;
const PAYLOAD_OFFSET: u16 = 3;
const PAYLOAD_LENGTH: u16 = 4;
/// `NFT_PAYLOAD_NETWORK_HEADER`
const NETWORK_HEADER: u32 = 1;
const META_KEY: u16 = 2;
/// `NFT_META_IIFNAME`
const IIFNAME: u32 = 6;
const CMP_OP: u16 = 2;
const CMP_DATA: u16 = 3;
/// `NFT_CMP_EQ`, `NFT_CMP_NEQ`
const EQUAL: u32 = 0;
const NOT_EQUAL: u32 = 1;
const LOOKUP_SET: u16 = 1;
const LOOKUP_FLAGS: u16 = 5;
/// `NFT_LOOKUP_F_INV`
const INVERTED: u32 = 1;

/// All of them, those of iptables-legacy too; each chain from its first rule to its last.
pub fn rules(deadline: Deadline) -> Result<Vec<Rule>> {
    let mut all = Vec::new();
    for family in FAMILIES {
        for (table, chain) in CHAINS {
            match rules_of(family, table, chain, deadline) {
                Ok(rules) => all.extend(rules),
                Err(why) if why.kind() == io::ErrorKind::NotFound => {}
                Err(why) => {
                    let what = format!("{table} {chain}");
                    return Err(Error::Rules { what, why });
                }
            }
        }
    }
    all.extend(iptables::legacy_direct_access(deadline)?);
    Ok(all)
}

fn rules_of(family: u8, table: &str, chain: &str, deadline: Deadline) -> io::Result<Vec<Rule>> {
    let named = [(RULE_TABLE, table), (RULE_CHAIN, chain)];
    let objects = dump(NFT_MSG_GETRULE, family, &named, deadline)?;
    let in_set = |set: &str| names_in(family, table, set, deadline).ok();
    let rules = objects.iter();
    let rules = rules.filter_map(|object| rule(&object.attributes, in_set));
    Ok(rules.collect())
}

/// What the next comparison is about.
#[derive(Clone, Copy)]
enum Loaded {
    Nothing,
    Target,
    Interface,
}

/// `ip daddr 172.17.0.2 iifname != "docker0" counter drop`; nothing where it is any other rule.
fn rule(object: &[u8], in_set: impl Fn(&str) -> Option<BTreeSet<String>>) -> Option<Rule> {
    let (mut to, mut by, mut said) = (None, None, None);
    let mut loaded = Loaded::Nothing;
    for (_, expression) in attributes(attribute(object, RULE_EXPRESSIONS)?) {
        let data = attribute(expression, EXPR_DATA).unwrap_or_default();
        let number = |kind| attribute(data, kind).map(be32);
        let name = attribute(expression, EXPR_NAME).map(string)?;
        match (name.as_str(), loaded) {
            ("counter" | "match", _) => {}
            ("payload", _) => {
                let place = [PAYLOAD_BASE, PAYLOAD_OFFSET, PAYLOAD_LENGTH].map(number);
                let target = |offset, length| [NETWORK_HEADER, offset, length].map(Some);
                (place == target(16, 4) || place == target(24, 16)).then_some(())?;
                loaded = Loaded::Target;
            }
            ("meta", _) => {
                (number(META_KEY) == Some(IIFNAME)).then_some(())?;
                loaded = Loaded::Interface;
            }
            ("cmp", Loaded::Target) => {
                (number(CMP_OP) == Some(EQUAL)).then_some(())?;
                to = Some(address(compared(data)?)?);
            }
            ("cmp", Loaded::Interface) => {
                let name = string(compared(data)?);
                by = Some(match number(CMP_OP)? {
                    EQUAL => By::Only([name].into()),
                    NOT_EQUAL => By::AllBut([name].into()),
                    _ => return None,
                });
            }
            ("lookup", Loaded::Interface) => {
                let names = in_set(&attribute(data, LOOKUP_SET).map(string)?)?;
                by = Some(match number(LOOKUP_FLAGS).unwrap_or(0) & INVERTED {
                    0 => By::Only(names),
                    _ => By::AllBut(names),
                });
            }
            ("immediate", _) => said = verdict(data),
            _ => return None,
        }
    }
    Some(Rule {
        to: to?,
        by: by?,
        drops: match said? {
            Verdict::Refuse => true,
            Verdict::Accept => false,
            _ => return None,
        },
    })
}

fn compared(data: &[u8]) -> Option<&[u8]> {
    attribute(attribute(data, CMP_DATA)?, DATA_VALUE)
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let ipv4 = || Some(IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?));
    ipv4().or_else(|| Some(IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?)))
}
