//! fwmarks in the output of `iptables-save`, which nft does not show.

use std::collections::BTreeMap;

use virt_forward_policy::netfilter::{Engine, Family};
use virt_forward_ruleset::COMMENT;
use virt_forward_system::exec::{iptables::words, rule_dump::IptablesSave};

use super::rules::{BaseHook, ChainRef, FwmarkRules, FwmarkUse};

/// The priorities of its tables in the kernel (linux/netfilter_ipv4.h).
const TABLES: [(&str, i32); 5] = [
    ("raw", -300),
    ("mangle", -150),
    ("filter", 0),
    ("security", 50),
    ("nat", 100),
];

/// Adds the rules of `save` to `rules`.
pub(super) fn parse(rules: &mut FwmarkRules, save: &IptablesSave) {
    let family = match (save.engine, save.family) {
        (Engine::Nft, family) => family.word(),
        (Engine::Legacy, Family::Ip6) => "ip6tables-legacy",
        (Engine::Legacy, _) => "iptables-legacy",
    };
    let mut table = "";
    for line in save.text.lines() {
        let chain_ref = |chain: &str| ChainRef {
            family: family.to_owned(),
            table: table.to_owned(),
            chain: chain.to_owned(),
        };
        if let Some(name) = line.strip_prefix('*') {
            table = name;
        } else if let Some(chain) = line.strip_prefix(':') {
            add_chain(rules, chain, chain_ref);
        } else if let Some(rule) = line.strip_prefix("-A ") {
            add_rule(rules, rule, chain_ref);
        }
    }
}

/// `FORWARD ACCEPT [0:0]`, `DOCKER-USER - [0:0]`
fn add_chain(rules: &mut FwmarkRules, line: &str, chain_ref: impl Fn(&str) -> ChainRef) {
    let mut words = line.split(' ');
    let chain = chain_ref(words.next().unwrap_or_default());
    // Only base chains have a policy.
    let is_base = words.next() != Some("-");
    let table = TABLES.iter().find(|(table, _)| *table == chain.table);
    let hook = chain.chain.to_ascii_lowercase();
    let base = table.filter(|_| is_base).map(|(_, priority)| BaseHook {
        hook: &hook,
        priority: *priority,
    });
    rules.add_chain(chain, base);
}

fn add_rule(rules: &mut FwmarkRules, rule: &str, chain_ref: impl Fn(&str) -> ChainRef) {
    let words = words(rule);
    let Some((chain, options)) = words.split_first() else {
        return;
    };
    let options = Options::parse(options);
    if options.last("--comment") == Some(COMMENT) {
        return;
    }
    let chain = chain_ref(chain);
    let target = options
        .last("-j")
        .or(options.last("-g"))
        .unwrap_or_default();
    rules.add_jump(&chain, target);
    rules.add_use(&chain, fwmark_use(&options, target));
}

/// The options of a rule, each with the words that follow it.
struct Options {
    /// Options of all matches together: `--mark` may be of `mark` or of `connmark`.
    words: BTreeMap<String, Vec<String>>,
    /// The value of `--mark` of the match `mark`.
    mark: Option<String>,
    /// The conditions of the rule.
    matches: Vec<String>,
}

impl Options {
    fn parse(list: &[String]) -> Self {
        let mut options = Self {
            words: BTreeMap::new(),
            mark: None,
            matches: Vec::new(),
        };
        let (mut last, mut module) = (String::new(), String::new());
        for word in list {
            if word.starts_with('-') && word.len() > 1 {
                last.clone_from(word);
                options.words.entry(last.clone()).or_default();
                if !["-m", "-j", "-g"].contains(&word.as_str()) && !word.starts_with("--") {
                    options.matches.push(word.clone());
                }
            } else {
                if last == "-m" {
                    module.clone_from(word);
                    options.matches.push(word.clone());
                }
                if last == "--mark" && module == "mark" {
                    options.mark = Some(word.clone());
                }
                options
                    .words
                    .entry(last.clone())
                    .or_default()
                    .push(word.clone());
            }
        }
        options
    }

    fn last(&self, name: &str) -> Option<&str> {
        self.words.get(name)?.last().map(String::as_str)
    }

    fn has(&self, name: &str) -> bool {
        self.words.contains_key(name)
    }

    fn number(&self, name: &str) -> Option<u32> {
        self.last(name).and_then(number)
    }
}

fn number(word: &str) -> Option<u32> {
    match word.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => word.parse().ok(),
    }
}

/// `0x1/0xff`; a value without a mask is compared with all bits.
fn pair(word: &str) -> Option<(u32, u32)> {
    match word.split_once('/') {
        Some((value, mask)) => Some((number(value)?, number(mask)?)),
        None => Some((number(word)?, u32::MAX)),
    }
}

fn fwmark_use(options: &Options, target: &str) -> FwmarkUse {
    let mut found = FwmarkUse::default();
    let matched = options.mark.as_deref().and_then(pair);
    if let Some((value, mask)) = matched {
        found.owned |= FwmarkUse::owned_bits(value, mask);
    }
    match target {
        "MARK" | "TPROXY" => {
            let options_of = ["--set-xmark", "--tproxy-mark"];
            let set = options_of
                .iter()
                .find_map(|name| options.last(name))
                .and_then(pair);
            if let Some((value, mask)) = set {
                found.owned |= FwmarkUse::owned_bits(value, mask);
                found.changed = mask | value;
                found.set = value;
            }
        }
        "CONNMARK" if options.has("--restore-mark") => {
            let mask = options.number("--nfmask").unwrap_or(u32::MAX);
            found.owned |= FwmarkUse::owned_bits(0, mask);
            found.changed = mask;
        }
        "CONNMARK" if options.has("--save-mark") => {
            let mask = options.number("--nfmask").unwrap_or(u32::MAX);
            found.owned |= FwmarkUse::owned_bits(0, mask);
            found.saved = mask;
        }
        _ => found.only_matches = matched.is_some(),
    }
    found.is_conditional = options.matches.iter().any(|name| name != "comment");
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uses(rule: &str) -> FwmarkUse {
        let mut rules = FwmarkRules::default();
        let save = IptablesSave {
            engine: Engine::Nft,
            family: Family::Ip,
            text: format!("*mangle\n:FORWARD ACCEPT [0:0]\n:own - [0:0]\n-A {rule}\nCOMMIT\n"),
        };
        parse(&mut rules, &save);
        rules
            .uses
            .into_iter()
            .map(|(_, one)| one)
            .next()
            .unwrap_or_default()
    }

    #[test]
    fn masks_are_parsed_as_iptables_lists_them() {
        assert_eq!(
            uses("FORWARD -m mark --mark 0x10000/0x30000 -j DROP").owned,
            0x30000
        );
        assert_eq!(uses("FORWARD -m mark --mark 0xca6c -j DROP").owned, 0xca6c);
        assert_eq!(uses("FORWARD -m connmark --mark 0x1/0x1 -j DROP").owned, 0);
        let set = uses("FORWARD -j MARK --set-xmark 0x1/0xffffffff");
        assert_eq!(
            (set.owned, set.changed, set.is_conditional),
            (1, u32::MAX, false)
        );
        let calico = uses("own -m comment --comment \"a -j b\" -j MARK --set-xmark 0x0/0xffff0000");
        assert_eq!((calico.owned, calico.is_conditional), (0xffff_0000, false));
        assert_eq!((set.set, calico.set), (1, 0));
        let save = uses(
            "own -p udp -m mark --mark 0xca6c -j CONNMARK --save-mark --nfmask 0xffffffff --ctmask 0xffffffff",
        );
        assert_eq!(
            (save.owned, save.saved, save.is_conditional),
            (0xca6c, u32::MAX, true)
        );
        let restore = uses("own -j CONNMARK --restore-mark --nfmask 0xf0000000 --ctmask 0xff");
        assert_eq!((restore.owned, restore.changed), (0xf000_0000, 0xf000_0000));
    }

    #[test]
    fn own_gates_are_skipped_and_those_of_the_administrator_only_match() {
        let gate = "FORWARD -m mark --mark 0x10000000/0x10000000 -m comment --comment virt-forward -j ACCEPT";
        assert_eq!(uses(gate), FwmarkUse::default());
        assert!(uses("FORWARD -m mark --mark 0x10000000/0x10000000 -j ACCEPT").only_matches);
    }
}
