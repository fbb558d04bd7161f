//! The iptables(8) programs, for gates in the tables that they own.
//!
//! Gates are deleted by their text as the program lists it, never by number: meanwhile the number
//! could belong to another rule.

use std::{collections::BTreeMap, fs};

use ipnet::IpNet;

use crate::{Error, Result, paths};
use crate::{deadline::Deadline, exec::command::Program};
use virt_forward_policy::{
    config::MarkBit,
    netfilter::{ChainName, Engine, Family},
};
use virt_forward_ruleset::{
    COMMENT,
    gates::{
        GateVerdict, Insert,
        chain_model::{About, Base, Chain, Rule, Verdict},
        direct::{self, By},
    },
};

/// Seconds to wait for iptables-legacy's lock.
const WAIT: &str = "5";

/// A chain that iptables manages, and the program for it. Plain `iptables` is one backend or the
/// other, as the distribution or the administrator chose.
fn program(name: &ChainName) -> Program {
    let names = match (name.engine, name.family) {
        (Engine::Nft, Family::Ip6) => ["ip6tables-nft", "ip6tables"],
        (Engine::Nft, _) => ["iptables-nft", "iptables"],
        (Engine::Legacy, Family::Ip6) => ["ip6tables-legacy", "ip6tables"],
        (Engine::Legacy, _) => ["iptables-legacy", "iptables"],
    };
    let programs = names.map(|name| Program {
        name,
        package: "iptables",
    });
    let [_, last] = programs;
    let found = programs.into_iter().find(|program| program.is_installed());
    found.unwrap_or(last)
}

/// Whether the program for that chain's backend is installed.
pub fn has_backend(name: &ChainName) -> bool {
    program(name).is_installed()
}

/// Inserts a gate into a chain.
pub fn insert_gate(
    name: &ChainName,
    gate: Insert,
    mark: MarkBit,
    deadline: Deadline,
) -> Result<()> {
    let number = (gate.at + 1).to_string();
    let target = match gate.verdict {
        GateVerdict::Accept => "ACCEPT",
        GateVerdict::Return => "RETURN",
    };
    let mark = format!("{mark}/{mark}");
    // -I FORWARD 1 -m mark --mark 0x10000000/0x10000000 -m comment --comment virt-forward -j ACCEPT
    let args = [
        "-w",
        WAIT,
        "-t",
        &name.table,
        "-I",
        &name.chain,
        &number,
        "-m",
        "mark",
        "--mark",
        &mark,
        "-m",
        "comment",
        "--comment",
        COMMENT,
        "-j",
        target,
    ];
    program(name).run_checked(&args, "", deadline).map(drop)
}

/// Deletes the gates in a chain.
pub fn delete_gates(name: &ChainName, deadline: Deadline) -> Result<()> {
    let program = program(name);
    let list = ["-w", WAIT, "-t", &name.table, "-S", &name.chain];
    let listed = program.run_checked(&list, "", deadline)?;
    for gate in listed.lines().filter_map(parse_gate) {
        let mut args = vec!["-w", WAIT, "-t", &name.table, "-D"];
        args.extend(gate.iter().map(String::as_str));
        program.run_checked(&args, "", deadline)?;
    }
    Ok(())
}

/// The rules of a chain in order, as the program lists them: `-A FORWARD -j DROP`.
pub fn rules(name: &ChainName, deadline: Deadline) -> Result<Vec<String>> {
    let list = ["-w", WAIT, "-t", &name.table, "-S", &name.chain];
    let listed = program(name).run_checked(&list, "", deadline)?;
    let rules = listed.lines().filter(|line| line.starts_with("-A "));
    Ok(rules.map(str::to_owned).collect())
}

/// The packet counters of iptables-legacy's table `filter`, if it is in use: chain, rule or `-P
/// FORWARD DROP`, and number of packets.
pub fn legacy_rule_counters(deadline: Deadline) -> Result<Vec<(ChainName, String, u64)>> {
    let mut counts = Vec::new();
    for name in legacy_tables("filter") {
        let list = ["-w", WAIT, "-t", "filter", "-v", "-S"];
        let listed = program(&name).run_checked(&list, "", deadline)?;
        counts.extend(listed.lines().filter_map(|line| count(line, &name)));
    }
    Ok(counts)
}

/// `-A FORWARD -o virbr0 -c 3 252 -j REJECT`, `-P FORWARD DROP -c 0 0`
fn count(line: &str, table: &ChainName) -> Option<(ChainName, String, u64)> {
    let (before, after) = line.split_once(" -c ")?;
    let mut after = after.splitn(3, ' ');
    let packets = after.next()?.parse().ok()?;
    let rest = after.nth(1).map(|rest| format!(" {rest}"));
    let chain = line.split(' ').nth(1)?;
    let text = format!("{before}{}", rest.unwrap_or_default());
    Some((table.beside(chain), text, packets))
}

/// Whether iptables-nft rejected the table because other programs wrote rules into it that it
/// cannot represent. Then nft has to change it.
pub fn is_incompatible(error: &Error) -> bool {
    match error {
        Error::Failed { stderr, .. } => stderr.contains("incompatible"),
        Error::ProgramNotFound { .. } => true,
        _ => false,
    }
}

/// The rules of iptables-legacy's `raw PREROUTING` for single destination addresses, if the table
/// is in use.
pub(crate) fn legacy_direct_access(deadline: Deadline) -> Result<Vec<direct::DirectAccessRule>> {
    let mut rules = Vec::new();
    for name in legacy_tables("raw") {
        let list = ["-w", WAIT, "-t", "raw", "-S", "PREROUTING"];
        let listed = program(&name).run_checked(&list, "", deadline)?;
        rules.extend(listed.lines().filter_map(direct_access));
    }
    Ok(rules)
}

/// `-A PREROUTING -d 172.17.0.2/32 ! -i docker0 -j DROP`
fn direct_access(line: &str) -> Option<direct::DirectAccessRule> {
    let words = words(line);
    let words: Vec<_> = words.iter().map(String::as_str).skip(2).collect();
    let (to, by, target) = match words[..] {
        ["-d", to, "-i", name, "-j", target] => (to, By::Only([name.to_owned()].into()), target),
        ["-d", to, "!", "-i", name, "-j", target] => {
            (to, By::AllBut([name.to_owned()].into()), target)
        }
        _ => return None,
    };
    let net: IpNet = to.parse().ok()?;
    let is_single = net.prefix_len() == net.max_prefix_len();
    Some(direct::DirectAccessRule {
        to: is_single.then_some(net.addr())?,
        by,
        drops: match target {
            "DROP" => true,
            "ACCEPT" => false,
            _ => return None,
        },
    })
}

/// Whether iptables-legacy has a table `filter`, about whose changes the kernel sends no
/// notification.
pub fn is_legacy_in_use() -> bool {
    has_legacy(Family::Ip, "filter") || has_legacy(Family::Ip6, "filter")
}

fn has_legacy(family: Family, wanted: &str) -> bool {
    let path = match family {
        Family::Ip6 => paths::LEGACY_TABLES6,
        Family::Ip | Family::Inet => paths::LEGACY_TABLES4,
    };
    let tables = fs::read_to_string(path).unwrap_or_default();
    tables.lines().any(|table| table == wanted)
}

/// The chains of iptables-legacy's table `filter`, if it is in use. Listing a table that is not in
/// use would create it.
pub(crate) fn legacy_chains(deadline: Deadline) -> Result<Vec<Chain>> {
    let mut chains = Vec::new();
    for name in legacy_tables("filter") {
        let list = ["-w", WAIT, "-t", "filter", "-S"];
        let listed = program(&name).run_checked(&list, "", deadline)?;
        chains.extend(chains_in(&listed, &name));
    }
    Ok(chains)
}

/// The iptables-legacy tables of that name that are in use, with an empty chain name.
fn legacy_tables(table: &str) -> impl Iterator<Item = ChainName> {
    let families = [Family::Ip, Family::Ip6].into_iter();
    families
        .filter(move |family| has_legacy(*family, table))
        .map(move |family| ChainName {
            engine: Engine::Legacy,
            family,
            table: table.to_owned(),
            chain: String::new(),
        })
}

/// Parses the output of `iptables -S`.
pub fn chains_in(listed: &str, table: &ChainName) -> Vec<Chain> {
    let mut chains: Vec<Chain> = Vec::new();
    // A host may have tens of thousands of rules.
    let mut places = BTreeMap::new();
    for line in listed.lines() {
        let mut words = line.split_whitespace();
        let (Some(what), Some(chain)) = (words.next(), words.next()) else {
            continue;
        };
        match what {
            "-P" | "-N" => {
                places.insert(chain, chains.len());
                chains.push(Chain {
                    name: table.beside(chain),
                    // `filter` is at priority 0.
                    base: (what == "-P" && chain == "FORWARD").then(|| Base {
                        priority: 0,
                        drops: words.next() == Some("DROP"),
                    }),
                    is_owned: false,
                    rules: Vec::new(),
                });
            }
            _ => {
                let known = places.get(chain).and_then(|at| chains.get_mut(*at));
                if let Some(chain) = known {
                    chain.rules.push(rule(line));
                }
            }
        }
    }
    for rule in chains.iter_mut().flat_map(|chain| &mut chain.rules) {
        if let Verdict::Jump(to) = rule.verdict.clone()
            && !places.contains_key(&*to)
        {
            rule.verdict = Verdict::Continue;
            target(rule, &to);
        }
    }
    chains
}

/// Parses the arguments of a rule in `iptables -S`. [`target`] interprets a target that is not a
/// chain.
fn rule(line: &str) -> Rule {
    let words = words(line);
    let jump = after(&words, &["-j"]).map(str::to_owned);
    let verdict = match (jump.as_deref(), after(&words, &["-g"])) {
        (Some("ACCEPT"), _) => Verdict::Accept,
        (Some("DROP" | "REJECT"), _) => Verdict::Refuse,
        (Some("RETURN"), _) => Verdict::Return,
        (Some(chain), _) => Verdict::Jump(chain.to_owned()),
        (None, Some(chain)) => Verdict::Goto(chain.to_owned()),
        (None, None) => Verdict::Continue,
    };
    Rule {
        comment: after(&words, &["--comment"]).map(str::to_owned),
        about: about(&words, jump.as_deref() == Some("REJECT")),
        verdict,
        ..Rule::default()
    }
}

/// The packets that a rule matches; `answers` is true for a rule that rejects.
fn about(words: &[String], answers: bool) -> About {
    let matches = words.iter().map(String::as_str).skip(2);
    let matches = matches.take_while(|word| !["-j", "-g"].contains(word));
    let matches: Vec<_> = matches.collect();
    // A comment matches every packet.
    match (&matches[..], answers) {
        ([] | ["-m", "comment", "--comment", _], _) => About::All,
        (["-p", _] | ["-p", _, "-m", "comment", "--comment", _], true) => About::Protocol,
        _ => About::Some,
    }
}

/// Interprets a target of iptables-extensions(8). An unknown one may drop packets.
pub(crate) fn target(rule: &mut Rule, name: &str) {
    const HARMLESS: [&str; 22] = [
        "AUDIT",
        "CHECKSUM",
        "CLASSIFY",
        "CONNMARK",
        "CONNSECMARK",
        "CT",
        "DSCP",
        "ECN",
        "HL",
        "HMARK",
        "IDLETIMER",
        "LED",
        "MARK",
        "NOTRACK",
        "RATEEST",
        "SECMARK",
        "SET",
        "TCPMSS",
        "TCPOPTSTRIP",
        "TEE",
        "TOS",
        "TTL",
    ];
    match name {
        "REJECT" => rule.verdict = Verdict::Refuse,
        "LOG" | "NFLOG" | "ULOG" => rule.logs = true,
        "TRACE" => {}
        _ if HARMLESS.contains(&name) => {}
        _ => rule.verdict = Verdict::Unknown,
    }
}

/// The argument that follows the first of these options.
fn after<'a>(words: &'a [String], options: &[&str]) -> Option<&'a str> {
    let mut words = words.iter().map(String::as_str);
    words.find(|word| options.contains(word))?;
    words.next()
}

/// The chain and the text of a line of `iptables -S`, if it is a gate.
pub fn parse_gate(line: &str) -> Option<Vec<String>> {
    let words = words(line.strip_prefix("-A ")?);
    (after(&words, &["--comment"]) == Some(COMMENT)).then_some(words)
}

/// Splits a line of `iptables -S` into arguments. They are quoted as for a shell, so that the
/// comment or log prefix of another program is one argument, whatever it contains.
pub fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut is_quoted) = (Vec::new(), None::<String>, false);
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => {
                is_quoted = !is_quoted;
                // An empty argument in quotes.
                word.get_or_insert_default();
            }
            '\\' => word.get_or_insert_default().extend(characters.next()),
            ' ' if !is_quoted => words.extend(word.take()),
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_rules_are_gates() {
        let gate = "-A FORWARD -m mark --mark 0x10000000/0x10000000 -m comment --comment virt-forward -j ACCEPT";
        let words = parse_gate(gate).unwrap();
        assert_eq!(words.join(" "), &gate[3..]);
        assert!(parse_gate(&gate.replace("virt-forward", "\"virt-forward\"")).is_some());
        for other in [
            "-P FORWARD ACCEPT",
            "-A FORWARD -j LIBVIRT_FWX",
            "-A FORWARD -m comment --comment \"not virt-forward\" -j ACCEPT",
            "-A FORWARD -m comment --comment virt-forwarder -j ACCEPT",
            "-A FORWARD -m comment --comment",
            // The content of other programs' rules is not interpreted.
            "-A FORWARD -j LOG --log-prefix \"a --comment virt-forward \"",
            "-A FORWARD -m comment --comment \"a \\\" --comment virt-forward\" -j DROP",
        ] {
            assert!(parse_gate(other).is_none(), "{other}");
        }
    }

    #[test]
    fn what_is_quoted_is_one_word() {
        let words = words("-A a -m comment --comment \"b \\\"c\\\\ -j\" --log-prefix \"\" d");
        let expected = [
            "-A",
            "a",
            "-m",
            "comment",
            "--comment",
            "b \"c\\ -j",
            "--log-prefix",
            "",
            "d",
        ];
        assert_eq!(words, expected);
        let drop = rule("-A FORWARD -m comment --comment \"see -j ACCEPT\" -j DROP");
        assert!(drop.refuses_all(), "{drop:?}");
    }

    #[test]
    fn dockers_rules_of_x_tables_are_read() {
        let read =
            |line| direct_access(line).map(|rule| (rule.to.to_string(), rule.by, rule.drops));
        let by = |name: &str| [name.to_owned()].into();
        let to = || "172.17.0.2".to_owned();
        assert_eq!(
            read("-A PREROUTING -d 172.17.0.2/32 ! -i docker0 -j DROP"),
            Some((to(), By::AllBut(by("docker0")), true))
        );
        assert_eq!(
            read("-A PREROUTING -d 172.17.0.2/32 -i virbr0 -j ACCEPT"),
            Some((to(), By::Only(by("virbr0")), false))
        );
        for other in [
            "-P PREROUTING ACCEPT",
            "-A PREROUTING -d 172.17.0.0/16 ! -i docker0 -j DROP",
            "-A PREROUTING -d 172.17.0.2/32 ! -i docker0 -p tcp -j DROP",
            "-A PREROUTING -d 172.17.0.2/32 ! -i docker0 -j LOG",
        ] {
            assert_eq!(read(other), None, "{other}");
        }
    }

    #[test]
    fn counts_are_told_from_rules() {
        let table = ChainName {
            engine: Engine::Legacy,
            ..ChainName::nft(Family::Ip, "filter", "")
        };
        let said = |line| {
            let (chain, text, packets) = count(line, &table)?;
            Some(format!("{chain}: {text}: {packets}"))
        };
        for (line, meant) in [
            (
                "-A FORWARD -o virbr0 -c 3 252 -j REJECT --reject-with icmp-port-unreachable",
                "iptables-legacy filter FORWARD: -A FORWARD -o virbr0 -j REJECT --reject-with \
                 icmp-port-unreachable: 3",
            ),
            (
                "-P FORWARD DROP -c 7 9",
                "iptables-legacy filter FORWARD: -P FORWARD DROP: 7",
            ),
        ] {
            assert_eq!(said(line).as_deref(), Some(meant));
        }
        assert_eq!(said("-N LIBVIRT_FWI"), None);
    }

    #[test]
    fn a_legacy_table_is_read_as_any_other() {
        let table = ChainName {
            engine: Engine::Legacy,
            ..ChainName::nft(Family::Ip, "filter", "")
        };
        let listed = "-P INPUT ACCEPT\n-P FORWARD DROP\n-P OUTPUT ACCEPT\n-N DOCKER-USER\n\
            -A FORWARD -j DOCKER-USER\n\
            -A FORWARD -m mark --mark 0x10000000/0x10000000 -m comment --comment virt-forward -j ACCEPT\n\
            -A FORWARD -i docker0 -j REJECT --reject-with icmp-port-unreachable\n\
            -A DOCKER-USER -j RETURN\n";
        let chains = chains_in(listed, &table);
        let bases: Vec<_> = chains.iter().filter_map(|chain| chain.base).collect();
        assert_eq!(
            bases,
            [Base {
                priority: 0,
                drops: true
            }]
        );
        let forward = &chains[1];
        assert_eq!(forward.name.to_string(), "iptables-legacy filter FORWARD");
        assert_eq!(forward.first_jump(|to| to == "DOCKER-USER"), Some(0));
        assert!(forward.rules[1].is_ours());
        assert_eq!(forward.rules[2].verdict, Verdict::Refuse);
        assert!(!forward.rules[2].is_for_all());
        assert!(chains[3].rules[0].is_for_all());
    }

    #[test]
    fn a_target_is_told_from_a_chain() {
        let table = ChainName {
            engine: Engine::Legacy,
            ..ChainName::nft(Family::Ip, "filter", "")
        };
        let rules = |lines: &str| {
            let listed = format!("-P FORWARD DROP\n-N LOG\n-N BANS\n-A FORWARD {lines}\n");
            chains_in(&listed, &table)[0].rules[0].clone()
        };
        for (line, verdict, about, logs) in [
            ("-j BANS", Verdict::Jump("BANS".into()), About::All, false),
            ("-g BANS", Verdict::Goto("BANS".into()), About::All, false),
            // A chain of that name.
            ("-j LOG", Verdict::Jump("LOG".into()), About::All, false),
            (
                "-j NFLOG --nflog-group 2",
                Verdict::Continue,
                About::All,
                true,
            ),
            (
                "-m limit --limit 3/min -j NFLOG",
                Verdict::Continue,
                About::Some,
                true,
            ),
            (
                "-j NFQUEUE --queue-num 1",
                Verdict::Unknown,
                About::All,
                false,
            ),
            (
                "-j MARK --set-xmark 0x1/0x1",
                Verdict::Continue,
                About::All,
                false,
            ),
            (
                "-s 10.0.0.1/32 -j DROP",
                Verdict::Refuse,
                About::Some,
                false,
            ),
            (
                "-p tcp -j REJECT --reject-with tcp-reset",
                Verdict::Refuse,
                About::Protocol,
                false,
            ),
            ("-p tcp -j DROP", Verdict::Refuse, About::Some, false),
            ("-p tcp -j ACCEPT", Verdict::Accept, About::Some, false),
            (
                "-p tcp -m tcp --dport 22 -j REJECT",
                Verdict::Refuse,
                About::Some,
                false,
            ),
        ] {
            let seen = rules(line);
            assert_eq!(
                (seen.verdict, seen.about, seen.logs),
                (verdict, about, logs),
                "{line}"
            );
        }
    }
}
