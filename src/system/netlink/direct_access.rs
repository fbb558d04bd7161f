//! Docker's rules that drop packets to a container's address unless they come in through certain
//! interfaces (moby, libnetwork/drivers/bridge, `filterDirectAccess`).

use std::{collections::BTreeSet, io, net::IpAddr};

use crate::netlink::uapi::{
    NFPROTO_IPV4, NFPROTO_IPV6, NFT_CMP_EQ, NFT_CMP_NEQ, NFT_LOOKUP_F_INV, NFT_META_IIFNAME,
    NFT_MSG_GETRULE, NFT_PAYLOAD_NETWORK_HEADER, NFTA_CMP_DATA, NFTA_CMP_OP, NFTA_DATA_VALUE,
    NFTA_EXPR_DATA, NFTA_EXPR_NAME, NFTA_LOOKUP_FLAGS, NFTA_LOOKUP_SET, NFTA_META_KEY,
    NFTA_PAYLOAD_BASE, NFTA_PAYLOAD_LEN, NFTA_PAYLOAD_OFFSET, NFTA_RULE_CHAIN,
    NFTA_RULE_EXPRESSIONS, NFTA_RULE_TABLE,
};
use crate::{Error, Result};
use crate::{
    deadline::Deadline,
    exec::iptables,
    netlink::{
        nft_rules::verdict,
        set_elements::names_in,
        socket::{attribute, attributes, be32, dump, string},
    },
};
use virt_forward_ruleset::gates::{
    chain_model::Verdict,
    direct::{By, DirectAccessRule},
};

const FAMILIES: [u8; 2] = [NFPROTO_IPV4, NFPROTO_IPV6];
/// The chain of iptables-nft, and the one of Docker 29 and later with its nftables backend.
const CHAINS: [(&str, &str); 2] = [("raw", "PREROUTING"), ("docker-bridges", "raw-PREROUTING")];

/// All such rules, including those of iptables-legacy, each chain in order.
///
/// # Errors
///
/// [`Error::Rules`] if the kernel does not list a chain.
pub fn rules(deadline: Deadline) -> Result<Vec<DirectAccessRule>> {
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

fn rules_of(
    family: u8,
    table: &str,
    chain: &str,
    deadline: Deadline,
) -> io::Result<Vec<DirectAccessRule>> {
    let named = [(NFTA_RULE_TABLE, table), (NFTA_RULE_CHAIN, chain)];
    let objects = dump(NFT_MSG_GETRULE, family, &named, deadline)?;
    let in_set = |set: &str| names_in(family, table, set, deadline).ok();
    let rules = objects.iter();
    let rules = rules.filter_map(|object| rule(&object.attributes, in_set));
    Ok(rules.collect())
}

/// What the next comparison compares.
#[derive(Clone, Copy)]
enum Loaded {
    Nothing,
    Target,
    Interface,
}

/// Parses `ip daddr 172.17.0.2 iifname != "docker0" counter drop`; `None` for any other rule.
fn rule(
    object: &[u8],
    in_set: impl Fn(&str) -> Option<BTreeSet<String>>,
) -> Option<DirectAccessRule> {
    let (mut to, mut by, mut said) = (None, None, None);
    let mut loaded = Loaded::Nothing;
    for (_, expression) in attributes(attribute(object, NFTA_RULE_EXPRESSIONS)?) {
        let data = attribute(expression, NFTA_EXPR_DATA).unwrap_or_default();
        let number = |kind| attribute(data, kind).map(be32);
        let name = attribute(expression, NFTA_EXPR_NAME).map(string)?;
        match (name.as_str(), loaded) {
            ("counter" | "match", _) => {}
            ("payload", _) => {
                let place = [NFTA_PAYLOAD_BASE, NFTA_PAYLOAD_OFFSET, NFTA_PAYLOAD_LEN].map(number);
                let target =
                    |offset, length| [NFT_PAYLOAD_NETWORK_HEADER, offset, length].map(Some);
                (place == target(16, 4) || place == target(24, 16)).then_some(())?;
                loaded = Loaded::Target;
            }
            ("meta", _) => {
                (number(NFTA_META_KEY) == Some(NFT_META_IIFNAME)).then_some(())?;
                loaded = Loaded::Interface;
            }
            ("cmp", Loaded::Target) => {
                (number(NFTA_CMP_OP) == Some(NFT_CMP_EQ)).then_some(())?;
                to = Some(address(compared(data)?)?);
            }
            ("cmp", Loaded::Interface) => {
                let name = string(compared(data)?);
                by = Some(match number(NFTA_CMP_OP)? {
                    NFT_CMP_EQ => By::Only([name].into()),
                    NFT_CMP_NEQ => By::AllBut([name].into()),
                    _ => return None,
                });
            }
            ("lookup", Loaded::Interface) => {
                let names = in_set(&attribute(data, NFTA_LOOKUP_SET).map(string)?)?;
                by = Some(
                    match number(NFTA_LOOKUP_FLAGS).unwrap_or(0) & NFT_LOOKUP_F_INV {
                        0 => By::Only(names),
                        _ => By::AllBut(names),
                    },
                );
            }
            ("immediate", _) => said = verdict(data),
            _ => return None,
        }
    }
    Some(DirectAccessRule {
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
    attribute(attribute(data, NFTA_CMP_DATA)?, NFTA_DATA_VALUE)
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let ipv4 = || Some(IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?));
    ipv4().or_else(|| Some(IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?)))
}
