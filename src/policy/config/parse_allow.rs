//! The `[[allow]]` tables of the config, parsed and checked.

use serde::Deserialize;
use toml::{Spanned, Value};

use super::{
    allow_rule::{AllowRule, RuleEndpoint, Selector},
    error::{ConfigFault, ParseError, Table},
    group::Group,
    location::LineIndex,
    name::is_name,
    rule_id::{RuleId, is_numeric},
    traffic::{PortRange, Traffic},
    values::{pattern, subnet},
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AllowTable {
    name: Option<Spanned<String>>,
    from: Option<Spanned<String>>,
    to: Option<Spanned<String>>,
    tcp: Option<Vec<Spanned<Value>>>,
    udp: Option<Vec<Spanned<Value>>>,
    icmp: Option<bool>,
}

/// Checks all rules; `groups` are those of the config.
pub(super) fn allow_rules(
    lines: &LineIndex,
    tables: Vec<Spanned<AllowTable>>,
    groups: &[Group],
) -> Result<Vec<AllowRule>, ParseError> {
    let mut rules: Vec<AllowRule> = Vec::new();
    for mut table in tables {
        let id = match table.get_mut().name.take() {
            Some(name) => rule_name(name, &rules)?,
            None => RuleId::Number(rules.len() + 1),
        };
        let rule = allow_rule(lines, table, groups, id)?;
        rules.push(rule);
    }
    Ok(rules)
}

fn rule_name(name: Spanned<String>, earlier: &[AllowRule]) -> Result<RuleId, ParseError> {
    let table = Table::Allow;
    let at = name.span().start;
    let name = name.into_inner();
    if !is_name(&name) {
        let fault = ConfigFault::InvalidName { table, name };
        return Err(ParseError::new(at, fault));
    }
    if is_numeric(&name) {
        return Err(ParseError::new(at, ConfigFault::NumericName { name }));
    }
    let id = RuleId::Name(name);
    if earlier.iter().any(|rule| rule.id == id) {
        let name = id.to_string();
        let fault = ConfigFault::DuplicateName { table, name };
        return Err(ParseError::new(at, fault));
    }
    Ok(id)
}

fn allow_rule(
    lines: &LineIndex,
    table: Spanned<AllowTable>,
    groups: &[Group],
    id: RuleId,
) -> Result<AllowRule, ParseError> {
    let at = table.span().start;
    let missing = |key| {
        let table = Table::Allow;
        ParseError::new(at, ConfigFault::MissingKey { table, key })
    };
    let table = table.into_inner();
    let from = table.from.ok_or_else(|| missing("from"))?;
    let to = table.to.ok_or_else(|| missing("to"))?;
    let to_at = to.span().start;
    let rule = AllowRule {
        id,
        from: endpoint(lines, from, "from", groups)?,
        to: endpoint(lines, to, "to", groups)?,
        traffic: Traffic {
            tcp: ports(&table.tcp.unwrap_or_default(), "tcp")?,
            udp: ports(&table.udp.unwrap_or_default(), "udp")?,
            icmp: table.icmp.unwrap_or(false),
        },
    };
    if rule.traffic.is_empty() {
        return Err(ParseError::new(at, ConfigFault::EmptyRule));
    }
    if let (Some(from), Some(to)) = (rule.from.subnet(), rule.to.subnet())
        && from.addr().is_ipv4() != to.addr().is_ipv4()
    {
        return Err(ParseError::new(
            to_at,
            ConfigFault::MixedFamilies { from, to },
        ));
    }
    Ok(rule)
}

fn endpoint(
    lines: &LineIndex,
    value: Spanned<String>,
    key: &'static str,
    groups: &[Group],
) -> Result<RuleEndpoint, ParseError> {
    let line = lines.line(value.span().start);
    let selector = if is_address(value.get_ref()) {
        match subnet(&value, key)? {
            all if all.prefix_len() == 0 => Selector::Outside(all),
            net => Selector::Subnet(net),
        }
    } else if groups.iter().any(|group| group.name == *value.get_ref()) {
        Selector::Group(value.into_inner())
    } else {
        Selector::Networks(pattern(value, key)?)
    };
    Ok(RuleEndpoint { selector, line })
}

/// Whether `text` is meant as an address or a subnet. A network's name has no `/` (libvirt,
/// src/conf/network_conf.c). Text that looks like an address is taken for one, so that a typing
/// error does not make it a network's name.
fn is_address(text: &str) -> bool {
    let has_only = |more: &str| text.chars().all(|c| c.is_ascii_digit() || more.contains(c));
    text.contains('/')
        || text.contains('.') && has_only(".")
        || text.contains(':') && has_only("abcdefABCDEF:.")
}

/// Parses a list of ports; sorts and merges it, as the intervals of a set must not overlap, and nft
/// joins adjacent ones.
fn ports(values: &[Spanned<Value>], key: &'static str) -> Result<Vec<PortRange>, ParseError> {
    let mut ports = Vec::new();
    for value in values {
        let range = parse_range(value.get_ref(), key)
            .map_err(|fault| ParseError::new(value.span().start, fault))?;
        ports.push(range);
    }
    ports.sort_unstable();
    let mut merged: Vec<PortRange> = Vec::new();
    for next in ports {
        match merged.last_mut() {
            Some(last) if u32::from(next.first) <= u32::from(last.last) + 1 => {
                last.last = last.last.max(next.last);
            }
            _ => merged.push(next),
        }
    }
    Ok(merged)
}

/// Parses `6443`, `"6443"`, `"30000-32767"`.
fn parse_range(value: &Value, key: &'static str) -> Result<PortRange, ConfigFault> {
    let text = match value {
        Value::Integer(number) => number.to_string(),
        Value::String(text) => text.clone(),
        other => {
            let value = other.to_string();
            return Err(ConfigFault::PortType { key, value });
        }
    };
    let (first, last) = match text.split_once('-') {
        // Without a first port it is a minus sign.
        Some((first, last)) if !first.is_empty() => (first, last),
        _ => (text.as_str(), text.as_str()),
    };
    let (first, last) = (parse_port(first, key)?, parse_port(last, key)?);
    if first > last {
        return Err(ConfigFault::EmptyRange { key, text });
    }
    Ok(PortRange { first, last })
}

fn parse_port(text: &str, key: &'static str) -> Result<u16, ConfigFault> {
    match text.trim().parse() {
        Ok(port) if port > 0 => Ok(port),
        _ => {
            let text = text.to_owned();
            Err(ConfigFault::InvalidPort { key, text })
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, parse::parse};

    fn allow(lines: &str) -> Config {
        parse(&format!("[[allow]]\nfrom = 'a'\nto = 'b'\n{lines}")).unwrap()
    }

    #[test]
    fn ends_are_networks_groups_and_subnets() {
        let text = "[[group]]\nname = 'kube'\nnetworks = []\n\
            [[allow]]\nfrom = 'kube'\nto = 'dmz*'\nicmp = true\n\
            [[allow]]\nfrom = '192.168.0.30'\nto = 'fd.00'\nudp = [53]\n\
            [[allow]]\nfrom = 'fd00::/8'\nto = 'kubes'\nudp = [53]";
        let config = parse(text).unwrap();
        let ends: Vec<_> = config
            .allows
            .iter()
            .flat_map(|allow| [&allow.from, &allow.to])
            .map(|end| (serde_json::to_string(&end.selector).unwrap(), end.line))
            .collect();
        let expected = [
            (r#"{"group":"kube"}"#, 5),
            (r#"{"networks":"dmz*"}"#, 6),
            (r#"{"subnet":"192.168.0.30/32"}"#, 9),
            (r#"{"networks":"fd.00"}"#, 10),
            (r#"{"subnet":"fd00::/8"}"#, 13),
            (r#"{"networks":"kubes"}"#, 14),
        ];
        let expected: Vec<_> = expected
            .map(|(selector, line)| (selector.to_owned(), line))
            .to_vec();
        assert_eq!(ends, expected);
    }

    #[test]
    fn ports_are_sorted_and_merged() {
        let config = allow("tcp = [8080, '80-90', 91, '443', '85-88', 65535]\nudp = [1]");
        assert_eq!(
            config.allows[0].traffic.to_string(),
            "tcp 80-91, 443, 8080, 65535; udp 1"
        );
        assert_eq!(allow("icmp = true").allows[0].traffic.to_string(), "icmp");
        assert_eq!(allow("icmp = true").allows[0].id.to_string(), "1");
    }

    #[test]
    fn a_rule_is_identified_by_its_name_or_its_number() {
        let ids = |text: &str| {
            let config = parse(text).unwrap();
            let ids = config.allows.iter().map(|rule| rule.id.to_string());
            ids.collect::<Vec<_>>()
        };
        let rule = |name: &str| format!("[[allow]]\n{name}\nfrom = 'a'\nto = 'b'\nicmp = true\n");
        let named = rule("name = 'api'");
        let unnamed = rule("");
        assert_eq!(ids(&format!("{named}{unnamed}")), ["api", "2"]);
        // A rule above a named one changes the numbers of the others only.
        let above = format!("{unnamed}{named}{unnamed}");
        assert_eq!(ids(&above), ["1", "api", "3"]);
        let longest = "x".repeat(32);
        assert_eq!(ids(&rule(&format!("name = '{longest}'"))), [longest]);
    }
}
