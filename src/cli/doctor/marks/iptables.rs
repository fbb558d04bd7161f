//! What `iptables-save` lists of marks, which nft does not show.

use std::collections::BTreeMap;

use virt_forward_policy::netfilter::{Engine, Family};
use virt_forward_ruleset::COMMENT;
use virt_forward_system::exec::{iptables::words, rule_dump::Save};

use super::{Place, Rules, Use};

/// The priorities of its tables in the kernel (linux/netfilter_ipv4.h).
const TABLES: [(&str, i32); 5] = [
    ("raw", -300),
    ("mangle", -150),
    ("filter", 0),
    ("security", 50),
    ("nat", 100),
];

/// Adds what is in it to `rules`.
pub(super) fn read(rules: &mut Rules, save: &Save) {
    let family = match (save.engine, save.family) {
        (Engine::Nft, family) => family.word(),
        (Engine::Legacy, Family::Ip6) => "ip6tables-legacy",
        (Engine::Legacy, _) => "iptables-legacy",
    };
    let mut table = "";
    let place = |table: &str, chain: &str| -> Place {
        (family.to_owned(), table.to_owned(), chain.to_owned())
    };
    for line in save.text.lines() {
        if let Some(name) = line.strip_prefix('*') {
            table = name;
        } else if let Some(chain) = line.strip_prefix(':') {
            let mut words = chain.split(' ');
            let name = words.next().unwrap_or_default();
            // Those of a user's own have no policy.
            let is_base = words.next() != Some("-");
            let priority = TABLES.iter().find(|(known, _)| *known == table);
            let hook = name.to_ascii_lowercase();
            let base = priority
                .filter(|_| is_base)
                .map(|(_, priority)| (hook.as_str(), *priority));
            rules.chain(place(table, name), base);
        } else if let Some(rule) = line.strip_prefix("-A ") {
            let words = words(rule);
            let Some((chain, options)) = words.split_first() else {
                continue;
            };
            let from = place(table, chain);
            let options = Options::of(options);
            if options.one("--comment") == Some(COMMENT) {
                continue;
            }
            let target = options.one("-j").or(options.one("-g")).unwrap_or_default();
            rules.jump(&from, target);
            rules.rule(&from, used(&options, target));
        }
    }
}

/// A rule's options, each with the words after it.
struct Options {
    /// Those of a match or target after its name: `-m mark --mark 1`, `-m connmark --mark 1`.
    words: BTreeMap<String, Vec<String>>,
    /// The value of `--mark` of the match `mark`.
    mark: Option<String>,
    matches: Vec<String>,
}

impl Options {
    fn of(list: &[String]) -> Self {
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

    fn one(&self, name: &str) -> Option<&str> {
        self.words.get(name)?.last().map(String::as_str)
    }

    fn has(&self, name: &str) -> bool {
        self.words.contains_key(name)
    }

    fn number(&self, name: &str) -> Option<u32> {
        self.one(name).and_then(number)
    }
}

fn number(word: &str) -> Option<u32> {
    match word.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => word.parse().ok(),
    }
}

/// `0x1/0xff`; without a mask all bits are meant.
fn pair(word: &str) -> Option<(u32, u32)> {
    match word.split_once('/') {
        Some((value, mask)) => Some((number(value)?, number(mask)?)),
        None => Some((number(word)?, u32::MAX)),
    }
}

fn used(options: &Options, target: &str) -> Use {
    let mut found = Use::default();
    let asked = options.mark.as_deref().and_then(pair);
    if let Some((value, mask)) = asked {
        found.bits |= Use::field(value, mask);
    }
    match target {
        "MARK" | "TPROXY" => {
            let options_of = ["--set-xmark", "--tproxy-mark"];
            let set = options_of
                .iter()
                .find_map(|name| options.one(name))
                .and_then(pair);
            if let Some((value, mask)) = set {
                found.bits |= Use::field(value, mask);
                found.changes = mask | value;
                found.sets = value;
            }
        }
        "CONNMARK" if options.has("--restore-mark") => {
            let mask = options.number("--nfmask").unwrap_or(u32::MAX);
            found.bits |= Use::field(0, mask);
            found.changes = mask;
        }
        "CONNMARK" if options.has("--save-mark") => {
            let mask = options.number("--nfmask").unwrap_or(u32::MAX);
            found.bits |= Use::field(0, mask);
            found.saves = mask;
        }
        _ => found.looks_only = asked.is_some(),
    }
    found.is_for_some = options.matches.iter().any(|name| name != "comment");
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uses(rule: &str) -> Use {
        let mut rules = Rules::default();
        let save = Save {
            engine: Engine::Nft,
            family: Family::Ip,
            text: format!("*mangle\n:FORWARD ACCEPT [0:0]\n:own - [0:0]\n-A {rule}\nCOMMIT\n"),
        };
        read(&mut rules, &save);
        rules
            .uses
            .into_iter()
            .map(|(_, one)| one)
            .next()
            .unwrap_or_default()
    }

    #[test]
    fn masks_are_read_as_iptables_lists_them() {
        assert_eq!(
            uses("FORWARD -m mark --mark 0x10000/0x30000 -j DROP").bits,
            0x30000
        );
        assert_eq!(uses("FORWARD -m mark --mark 0xca6c -j DROP").bits, 0xca6c);
        assert_eq!(uses("FORWARD -m connmark --mark 0x1/0x1 -j DROP").bits, 0);
        let set = uses("FORWARD -j MARK --set-xmark 0x1/0xffffffff");
        assert_eq!(
            (set.bits, set.changes, set.is_for_some),
            (1, u32::MAX, false)
        );
        let calico = uses("own -m comment --comment \"a -j b\" -j MARK --set-xmark 0x0/0xffff0000");
        assert_eq!((calico.bits, calico.is_for_some), (0xffff_0000, false));
        assert_eq!((set.sets, calico.sets), (1, 0));
        let save = uses(
            "own -p udp -m mark --mark 0xca6c -j CONNMARK --save-mark --nfmask 0xffffffff --ctmask 0xffffffff",
        );
        assert_eq!(
            (save.bits, save.saves, save.is_for_some),
            (0xca6c, u32::MAX, true)
        );
        let restore = uses("own -j CONNMARK --restore-mark --nfmask 0xf0000000 --ctmask 0xff");
        assert_eq!((restore.bits, restore.changes), (0xf000_0000, 0xf000_0000));
    }

    #[test]
    fn our_gates_are_left_out_and_those_of_admins_look_only() {
        let gate = "FORWARD -m mark --mark 0x10000000/0x10000000 -m comment --comment virt-forward -j ACCEPT";
        assert_eq!(uses(gate), Use::default());
        assert!(uses("FORWARD -m mark --mark 0x10000000/0x10000000 -j ACCEPT").looks_only);
    }
}
