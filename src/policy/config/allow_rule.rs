//! `[[allow]]`: what may pass one way, beside what groups open.

use std::fmt;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use toml::{Spanned, Value};

use super::{
    Group, LineIndex, ParseError, Pattern,
    parse::{pattern, subnet},
};

/// New connections from one end to the other: these ports of TCP and UDP, and pings.
#[derive(Clone, Debug, Serialize)]
pub struct AllowRule {
    /// Who opens them.
    pub from: RuleEndpoint,
    /// Who is reached.
    pub to: RuleEndpoint,
    /// Ports of TCP; ascending, none inside another.
    pub tcp: Vec<PortRange>,
    /// Ports of UDP; the same.
    pub udp: Vec<PortRange>,
    /// Echo requests of ICMP and ICMPv6, and the replies to them; no other type.
    pub icmp: bool,
}

/// One end of an [`AllowRule`].
#[derive(Clone, Debug, Serialize)]
pub struct RuleEndpoint {
    /// Who is meant.
    pub selector: Selector,
    /// The line of the file that says so.
    #[serde(skip)]
    pub line: usize,
}

/// Who is meant by one end.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Selector {
    /// The members of a group of the config.
    Group(String),
    /// libvirt networks of that name.
    Networks(Pattern),
    /// Machines with such addresses, outside or in a network.
    Subnet(IpNet),
    /// Machines with such addresses, outside alone: all addresses there are, or a subnet that more
    /// than one may answer to.
    Outside(IpNet),
}

impl RuleEndpoint {
    /// The subnet, where it is one.
    pub fn subnet(&self) -> Option<IpNet> {
        match self.selector {
            Selector::Subnet(net) | Selector::Outside(net) => Some(net),
            Selector::Group(_) | Selector::Networks(_) => None,
        }
    }
}

/// A range of ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct PortRange {
    /// From 1.
    pub first: u16,
    /// Not before the first.
    pub last: u16,
}

/// `6443`, `30000-32767`
impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.first == self.last {
            true => write!(f, "{}", self.first),
            false => write!(f, "{}-{}", self.first, self.last),
        }
    }
}

/// `tcp 6443, 30000-32767; udp 53; icmp`
impl fmt::Display for AllowRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |protocol: &str, ports: &[PortRange]| {
            let ports: Vec<_> = ports.iter().map(ToString::to_string).collect();
            (!ports.is_empty()).then(|| format!("{protocol} {}", ports.join(", ")))
        };
        let icmp = self.icmp.then(|| "icmp".to_owned());
        let parts = [list("tcp", &self.tcp), list("udp", &self.udp), icmp];
        let parts: Vec<_> = parts.into_iter().flatten().collect();
        f.write_str(&parts.join("; "))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AllowTable {
    from: Option<Spanned<String>>,
    to: Option<Spanned<String>>,
    tcp: Option<Vec<Spanned<Value>>>,
    udp: Option<Vec<Spanned<Value>>>,
    icmp: Option<bool>,
}

/// Checks all of them.
pub(super) fn allows(
    lines: &LineIndex,
    tables: Vec<Spanned<AllowTable>>,
    groups: &[Group],
) -> Result<Vec<AllowRule>, ParseError> {
    let allow = |table: Spanned<AllowTable>| {
        let at = table.span().start;
        let wrong = |why: &str| ParseError {
            at,
            why: format!("an [[allow]] {why}"),
        };
        let table = table.into_inner();
        let from = table.from.ok_or_else(|| wrong("without from"))?;
        let to = table.to.ok_or_else(|| wrong("without to"))?;
        let to_span = to.span().start;
        let allow = AllowRule {
            from: end(lines, from, "from", groups)?,
            to: end(lines, to, "to", groups)?,
            tcp: ports(&table.tcp.unwrap_or_default(), "tcp")?,
            udp: ports(&table.udp.unwrap_or_default(), "udp")?,
            icmp: table.icmp.unwrap_or(false),
        };
        if allow.tcp.is_empty() && allow.udp.is_empty() && !allow.icmp {
            return Err(wrong("that lets nothing pass: give it tcp, udp or icmp"));
        }
        match (allow.from.subnet(), allow.to.subnet()) {
            (Some(from), Some(to)) if from.addr().is_ipv4() != to.addr().is_ipv4() => {
                Err(ParseError {
                    at: to_span,
                    why: format!("from {from} to {to}: one is IPv4 and the other IPv6"),
                })
            }
            _ => Ok(allow),
        }
    };
    tables.into_iter().map(allow).collect()
}

/// A network's name holds no `/` (libvirt, src/conf/network_conf.c), so a subnet is none. What
/// looks like an address is taken for one: a typo in it must not become a name.
fn end(
    lines: &LineIndex,
    name: Spanned<String>,
    key: &str,
    groups: &[Group],
) -> Result<RuleEndpoint, ParseError> {
    let line = lines.at(name.span().start);
    let is_address = |name: &str| {
        let of = |more: &str| name.chars().all(|c| c.is_ascii_digit() || more.contains(c));
        name.contains('/')
            || name.contains('.') && of(".")
            || name.contains(':') && of("abcdefABCDEF:.")
    };
    let selector = if is_address(name.get_ref()) {
        match subnet(&name, key)? {
            all if all.prefix_len() == 0 => Selector::Outside(all),
            net => Selector::Subnet(net),
        }
    } else if groups.iter().any(|group| group.name == *name.get_ref()) {
        Selector::Group(name.into_inner())
    } else {
        Selector::Networks(pattern(name, key)?)
    };
    Ok(RuleEndpoint { selector, line })
}

fn ports(list: &[Spanned<Value>], key: &str) -> Result<Vec<PortRange>, ParseError> {
    let mut ports: Vec<_> = list
        .iter()
        .map(|one| range(one, key))
        .collect::<Result<_, _>>()?;
    ports.sort_unstable();
    let mut merged: Vec<PortRange> = Vec::new();
    for next in ports {
        match merged.last_mut() {
            // Intervals of a set must not overlap; adjacent ones are one to nft.
            Some(last) if u32::from(next.first) <= u32::from(last.last) + 1 => {
                last.last = last.last.max(next.last);
            }
            _ => merged.push(next),
        }
    }
    Ok(merged)
}

/// `6443`, `"6443"`, `"30000-32767"`
fn range(value: &Spanned<Value>, key: &str) -> Result<PortRange, ParseError> {
    let wrong = |why: String| ParseError {
        at: value.span().start,
        why: format!("{key}: {why}"),
    };
    let port = |text: &str| match text.trim().parse::<u16>() {
        Ok(port) if port > 0 => Ok(port),
        _ => Err(wrong(format!(
            "\"{text}\" is no port: write a number from 1 to 65535, or a range like \"30000-32767\""
        ))),
    };
    let text = match value.get_ref() {
        Value::Integer(number) => number.to_string(),
        Value::String(text) => text.clone(),
        other => return Err(wrong(format!("{other} is neither a port nor a range"))),
    };
    // A minus sign is none between two ports.
    let (first, last) = match text.split_once('-') {
        Some((first, last)) if !first.is_empty() => (port(first)?, port(last)?),
        _ => (port(&text)?, port(&text)?),
    };
    match first <= last {
        true => Ok(PortRange { first, last }),
        false => Err(wrong(format!(
            "\"{text}\" is an empty range: it ends before it begins"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Config, LineIndex};

    fn allow(lines: &str) -> Config {
        Config::parse(&format!("[[allow]]\nfrom = 'a'\nto = 'b'\n{lines}")).unwrap()
    }

    #[test]
    fn ends_are_networks_groups_and_subnets() {
        let text = "[[group]]\nname = 'kube'\nnetworks = []\n\
            [[allow]]\nfrom = 'kube'\nto = 'dmz*'\nicmp = true\n\
            [[allow]]\nfrom = '192.168.0.30'\nto = 'fd.00'\nudp = [53]\n\
            [[allow]]\nfrom = 'fd00::/8'\nto = 'kubes'\nudp = [53]";
        let config = Config::parse(text).unwrap();
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
        let expected: Vec<_> = expected.map(|(who, line)| (who.to_owned(), line)).to_vec();
        assert_eq!(ends, expected);
    }

    #[test]
    fn ports_are_sorted_and_merged() {
        let config = allow("tcp = [8080, '80-90', 91, '443', '85-88', 65535]\nudp = [1]");
        assert_eq!(
            config.allows[0].to_string(),
            "tcp 80-91, 443, 8080, 65535; udp 1"
        );
        assert_eq!(allow("icmp = true").allows[0].to_string(), "icmp");
        assert_eq!(allow("icmp = true").numbered_allows().next().unwrap().0, 1);
    }

    #[test]
    fn a_fault_names_its_line_its_key_and_what_is_allowed() {
        for (lines, line, words) in [
            ("to = 'b'", 1, ["[[allow]]", "without from"]),
            ("from = 'b'", 1, ["[[allow]]", "without to"]),
            ("from = 'a'\nto = 'b'", 1, ["nothing", "tcp, udp or icmp"]),
            ("from = 'a'\nto = 'b'\ntcp = []", 1, ["nothing", "icmp"]),
            ("from = 'a'\nto = ''", 3, ["to", "empty name"]),
            ("from = 'a'\nto = '['", 3, ["\"[\" in to", "glob"]),
            (
                "from = '10.0.0.0/33'\nto = 'b'",
                2,
                ["10.0.0.0/33", "in from is no subnet"],
            ),
            ("from = '10.0.0.300'\nto = 'b'", 2, ["10.0.0.300", "from"]),
            ("from = 'a'\nto = 'fd00::g/64'", 3, ["fd00::g/64", "in to"]),
            (
                "from = 'a'\nto = '10.0.0.1/24'",
                3,
                ["10.0.0.1/24", "10.0.0.0/24"],
            ),
            (
                "from = '10.0.0.1'\nto = 'fd00::1'\nicmp = true",
                3,
                ["IPv4", "IPv6"],
            ),
            (
                "from = 'a'\nto = 'b'\ntcp = [80,\n70000]",
                5,
                ["tcp", "70000"],
            ),
            ("from = 'a'\nto = 'b'\nudp = [0]", 4, ["udp", "1 to 65535"]),
            ("from = 'a'\nto = 'b'\nudp = [-1]", 4, ["udp", "1 to 65535"]),
            (
                "from = 'a'\nto = 'b'\ntcp = ['30-20']",
                4,
                ["30-20", "empty range"],
            ),
            ("from = 'a'\nto = 'b'\ntcp = ['30-']", 4, ["tcp", "no port"]),
            ("from = 'a'\nto = 'b'\ntcp = ['']", 4, ["tcp", "no port"]),
            (
                "from = 'a'\nto = 'b'\ntcp = ['http']",
                4,
                ["http", "no port"],
            ),
            ("from = 'a'\nto = 'b'\ntcp = [true]", 4, ["tcp", "true"]),
            ("from = 'a'\nto = 'b'\ntcp = 80", 4, ["tcp", "sequence"]),
            ("from = 'a'\nto = 'b'\nicmp = 1", 4, ["icmp", "boolean"]),
            ("from = 'a'\nto = 'b'\nsctp = [1]", 4, ["sctp", "udp"]),
            ("from = ['a']\nto = 'b'", 2, ["from", "string"]),
        ] {
            let text = format!("[[allow]]\n{lines}");
            let fault = Config::parse(&text).expect_err(&text);
            assert_eq!(
                LineIndex::of(&text).at(fault.at),
                line,
                "{text}: {}",
                fault.why
            );
            for word in words {
                assert!(fault.why.contains(word), "{text}: {}", fault.why);
            }
        }
    }
}
