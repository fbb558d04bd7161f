//! Conflicts between virt-forward's fwmark bit and other programs.

use std::fmt::{self, Display, Formatter};

use strum::IntoStaticStr;
use virt_forward_policy::config::MarkBit;
use virt_forward_system::exec::rule_dump::IptablesSave;

use super::rules::{FwmarkRules, FwmarkUse, FwmarkUsers, SET_AT};
use crate::doctor::diagnosis::{Diagnosis, Fix, Severity, Subject, passed_unless_error};

#[derive(Clone, Debug, PartialEq, Eq, IntoStaticStr)]
#[cfg_attr(test, derive(strum::VariantNames))]
#[strum(serialize_all = "kebab-case")]
pub(crate) enum FwmarkFinding {
    /// No other program uses the bit.
    Exclusive { mark: MarkBit },
    /// Rules set the bit after virt-forward's table has cleared it, so their packets pass every
    /// gate.
    PassesGates {
        mark: MarkBit,
        places: Vec<String>,
        unused: Option<MarkBit>,
    },
    /// Rules match or set the bit.
    Shared {
        mark: MarkBit,
        places: Vec<String>,
        unused: Option<MarkBit>,
    },
    /// Rules overwrite the whole fwmark of all forwarded packets.
    Overwritten { mark: MarkBit, places: Vec<String> },
    /// Rules overwrite or save the whole fwmark of some forwarded packets.
    PartlyOverwritten { mark: MarkBit, places: Vec<String> },
    /// The bit is within the mask of an installed program.
    InKnownMask {
        mark: MarkBit,
        unused: Option<MarkBit>,
    },
    /// The users of the fwmark could not be read.
    Unreadable { cause: String },
}

impl Diagnosis for FwmarkFinding {
    fn subject(&self) -> Subject {
        Subject::Mark
    }

    fn kind(&self) -> &'static str {
        self.into()
    }

    fn severity(&self) -> Severity {
        match self {
            Self::Exclusive { .. } => Severity::Ok,
            Self::PartlyOverwritten { .. } | Self::InKnownMask { .. } | Self::Unreadable { .. } => {
                Severity::Note
            }
            Self::PassesGates { .. } | Self::Shared { .. } | Self::Overwritten { .. } => {
                Severity::Error
            }
        }
    }

    fn fix(&self) -> Vec<Fix> {
        match self {
            Self::Exclusive { .. } | Self::PartlyOverwritten { .. } | Self::Unreadable { .. } => {
                Vec::new()
            }
            Self::PassesGates { unused, .. } => {
                let before = format!(
                    "or let that rule run before virt-forward's table clears the bit (priority \
                     below {SET_AT})"
                );
                let mut fix = use_other_bit(*unused);
                fix.push(Fix::advice(before));
                fix
            }
            Self::Shared { unused, .. } | Self::InKnownMask { unused, .. } => {
                use_other_bit(*unused)
            }
            Self::Overwritten { mark, .. } => vec![Fix::advice(format!(
                "let it set its own bits only: nft … meta mark set meta mark | BITS, or iptables … \
                 -j MARK --set-xmark BITS/BITS; or let it run before {mark} is set (priority below \
                 {SET_AT})"
            ))],
        }
    }
}

fn use_other_bit(unused: Option<MarkBit>) -> Vec<Fix> {
    let Some(unused) = unused else {
        return vec![Fix::advice(
            "every bit is in use: configure one of the other programs to use fewer",
        )];
    };
    vec![
        Fix::advice("in the config, choose a bit that no program here uses:"),
        Fix::Config(format!("mark = {unused}")),
        Fix::advice("then run:"),
        Fix::apply(),
    ]
}

impl Display for FwmarkFinding {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exclusive { mark } => write!(f, "no other program uses fwmark {mark}"),
            Self::PassesGates { mark, places, .. } => write!(
                f,
                "other programs use fwmark {mark}, in {}: packets marked there, after \
                 virt-forward's table has cleared the bit, pass every gate, whatever the config \
                 says",
                abridged(places)
            ),
            Self::Shared { mark, places, .. } => {
                write!(
                    f,
                    "other programs use fwmark {mark}, in {}",
                    abridged(places)
                )
            }
            Self::Overwritten { mark, places } => write!(
                f,
                "{} overwrites the whole fwmark of forwarded packets, {mark} included, so allowed \
                 traffic is blocked",
                abridged(places)
            ),
            Self::PartlyOverwritten { mark, places } => write!(
                f,
                "{} overwrites or saves the whole fwmark of some forwarded packets, {mark} included",
                abridged(places)
            ),
            Self::InKnownMask { mark, .. } => write!(
                f,
                "fwmark {mark} is within the mask of an installed program; no rule uses it at present"
            ),
            Self::Unreadable { cause } => {
                write!(
                    f,
                    "cannot check which other programs use the fwmark: {cause}"
                )
            }
        }
    }
}

/// The first places, and how many more there are.
fn abridged(places: &[String]) -> String {
    const SHOWN: usize = 4;
    match places.split_at_checked(SHOWN) {
        Some((first, more)) if !more.is_empty() => {
            format!("{} and {} more", first.join(", "), more.len())
        }
        _ => places.join(", "),
    }
}

/// A finding for users of the fwmark that could not be read.
pub(crate) fn unreadable(cause: &str) -> FwmarkFinding {
    let cause = cause.to_owned();
    FwmarkFinding::Unreadable { cause }
}

/// The places of rules that conflict with the bit, by the kind of conflict.
#[derive(Default)]
struct Conflicts {
    passing_gates: Vec<String>,
    sharing: Vec<String>,
    overwriting: Vec<String>,
    partly_overwriting: Vec<String>,
}

impl Conflicts {
    fn of(users: &FwmarkUsers, mark: MarkBit) -> Self {
        let bit = mark.bit();
        let marked = users.rules.marked_chains();
        let before_gates = users.rules.chains_before_gates();
        let mut conflicts = Self::default();
        for (chain, found) in &users.rules.uses {
            let is_marked = marked.contains(chain);
            let is_gate = found.only_matches && found.owned == bit;
            let place = chain.to_string();
            if found.set & bit != 0 && before_gates.contains(chain) {
                conflicts.passing_gates.push(place);
            } else if found.owned & bit != 0 && !is_gate {
                conflicts.sharing.push(place);
            } else if is_marked && found.changed & bit != 0 && !found.is_conditional {
                conflicts.overwriting.push(place);
            } else if is_marked && overwrites_or_saves_some(found, bit) {
                conflicts.partly_overwriting.push(place);
            }
        }
        let routing = users.routing.iter();
        let matching = routing.filter(|rule| rule.owned_bits() & bit != 0);
        let places = matching.map(|rule| format!("ip rule {}", rule.priority));
        conflicts.sharing.extend(places);
        conflicts
    }
}

fn overwrites_or_saves_some(found: &FwmarkUse, bit: u32) -> bool {
    found.changed & bit != 0 || found.saved & bit != 0 && !found.is_conditional
}

/// Each place once, in order.
fn distinct(mut places: Vec<String>) -> Option<Vec<String>> {
    places.sort();
    places.dedup();
    (!places.is_empty()).then_some(places)
}

pub(crate) fn check(mark: MarkBit, users: &FwmarkUsers) -> Vec<FwmarkFinding> {
    let conflicts = Conflicts::of(users, mark);
    let unused = users.unused_bit(mark);
    let mut findings = Vec::new();
    if let Some(places) = distinct(conflicts.passing_gates) {
        findings.push(FwmarkFinding::PassesGates {
            mark,
            places,
            unused,
        });
    }
    if let Some(places) = distinct(conflicts.sharing) {
        findings.push(FwmarkFinding::Shared {
            mark,
            places,
            unused,
        });
    }
    if let Some(places) = distinct(conflicts.overwriting) {
        findings.push(FwmarkFinding::Overwritten { mark, places });
    }
    if let Some(places) = distinct(conflicts.partly_overwriting) {
        findings.push(FwmarkFinding::PartlyOverwritten { mark, places });
    }
    if findings.is_empty() && users.rules.known_masks() & mark.bit() != 0 {
        findings.push(FwmarkFinding::InKnownMask { mark, unused });
    }
    passed_unless_error(findings, FwmarkFinding::Exclusive { mark })
}

/// The sentences and fixes for a host with these rules, for fuzzing: nft's JSON, and the output of
/// `iptables-save`.
pub(crate) fn described(
    mark: MarkBit,
    nft: &str,
    saves: &[IptablesSave],
) -> serde_json::Result<Vec<String>> {
    let users = FwmarkUsers {
        rules: FwmarkRules::parse(nft, saves)?,
        routing: Vec::new(),
    };
    let mut lines = Vec::new();
    for finding in check(mark, &users) {
        lines.push(finding.to_string());
        lines.extend(finding.fix().iter().map(ToString::to_string));
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::super::rules::{BaseHook, ChainRef, RoutingRule};
    use super::*;

    const MARK: MarkBit = MarkBit::DEFAULT;
    const BIT: u32 = 0x1000_0000;

    fn chain(name: &str) -> ChainRef {
        ChainRef {
            family: "ip".to_owned(),
            table: "mangle".to_owned(),
            chain: name.to_owned(),
        }
    }

    fn base(hook: &str, priority: i32) -> Option<BaseHook<'_>> {
        Some(BaseHook { hook, priority })
    }

    fn owning(owned: u32) -> FwmarkUse {
        FwmarkUse {
            owned,
            ..FwmarkUse::default()
        }
    }

    fn overwriting() -> FwmarkUse {
        FwmarkUse {
            changed: u32::MAX,
            ..owning(1)
        }
    }

    fn users(rules: FwmarkRules, routing: Vec<RoutingRule>) -> FwmarkUsers {
        FwmarkUsers { rules, routing }
    }

    fn found(rules: FwmarkRules) -> Vec<FwmarkFinding> {
        check(MARK, &users(rules, vec![]))
    }

    fn bit(bit: i64) -> Option<MarkBit> {
        MarkBit::new(bit)
    }

    #[test]
    fn names_of_chains_are_escaped() {
        let mut rules = FwmarkRules::default();
        rules.add_use(&chain("a\u{1b}[2J"), owning(BIT));
        let text = found(rules)[0].to_string();
        assert!(text.contains("a\\u{1b}[2J"), "{text}");
    }

    #[test]
    fn a_mask_with_the_bit_is_reported_with_an_unused_bit() {
        let mut rules = FwmarkRules::default();
        let prerouting = chain("PREROUTING");
        rules.add_chain(prerouting.clone(), base("prerouting", -150));
        rules.add_use(&prerouting, owning(0x0fff_0000));
        let exclusive = FwmarkFinding::Exclusive { mark: MARK };
        assert_eq!(found(rules.clone()), [exclusive]);
        rules.add_use(&prerouting, owning(0x1c00_0000));
        let shared = FwmarkFinding::Shared {
            mark: MARK,
            places: vec!["ip mangle PREROUTING".to_owned()],
            unused: bit(0x2000_0000),
        };
        assert_eq!(found(rules), [shared]);
    }

    #[test]
    fn a_rule_that_sets_the_bit_between_the_table_and_the_gates_is_an_error() {
        let setting = FwmarkUse {
            changed: BIT,
            set: BIT,
            ..owning(BIT)
        };
        let kind = |hook: &str, priority| {
            let mut rules = FwmarkRules::default();
            rules.add_chain(chain("base"), base(hook, priority));
            rules.add_jump(&chain("base"), "inner");
            rules.add_use(&chain("inner"), setting.clone());
            found(rules)[0].kind()
        };
        for priority in [SET_AT, -5, 0] {
            assert_eq!(kind("forward", priority), "passes-gates", "{priority}");
        }
        for (hook, priority) in [("forward", -150), ("postrouting", 0), ("prerouting", 0)] {
            assert_eq!(kind(hook, priority), "shared", "{hook} {priority}");
        }
    }

    #[test]
    fn routing_rules_count() {
        let rule = |value, mask| RoutingRule {
            priority: 100,
            value,
            mask,
        };
        let found = |rule| check(MARK, &users(FwmarkRules::default(), vec![rule]));
        // wg-quick: a whole mark of another value.
        let other = found(rule(51820, u32::MAX));
        assert_eq!(other, [FwmarkFinding::Exclusive { mark: MARK }]);
        let shared = FwmarkFinding::Shared {
            mark: MARK,
            places: vec!["ip rule 100".to_owned()],
            unused: bit(0x0800_0000),
        };
        assert_eq!(found(rule(BIT, BIT)), [shared]);
    }

    #[test]
    fn overwriting_the_whole_mark_matters_between_the_table_and_its_end() {
        let mut rules = FwmarkRules::default();
        rules.add_chain(chain("FORWARD"), base("forward", -150));
        rules.add_use(&chain("FORWARD"), overwriting());
        assert_eq!(found(rules.clone())[0].severity(), Severity::Ok);
        rules.add_chain(chain("POSTROUTING"), base("postrouting", -150));
        rules.add_jump(&chain("POSTROUTING"), "inner");
        rules.add_use(&chain("inner"), overwriting());
        let overwritten = FwmarkFinding::Overwritten {
            mark: MARK,
            places: vec!["ip mangle inner".to_owned()],
        };
        assert_eq!(found(rules), [overwritten]);
    }

    #[test]
    fn overwriting_the_mark_of_some_packets_is_noted() {
        let mut rules = FwmarkRules::default();
        rules.add_chain(chain("POSTROUTING"), base("postrouting", -150));
        let conditional = FwmarkUse {
            is_conditional: true,
            ..overwriting()
        };
        rules.add_use(&chain("POSTROUTING"), conditional);
        assert_eq!(found(rules)[1].kind(), "partly-overwritten");
    }

    #[test]
    fn a_gate_of_the_administrator_is_not_a_conflict() {
        let mut rules = FwmarkRules::default();
        let gate = FwmarkUse {
            only_matches: true,
            ..owning(BIT)
        };
        rules.add_use(&chain("FORWARD"), gate);
        assert_eq!(found(rules), [FwmarkFinding::Exclusive { mark: MARK }]);
    }

    #[test]
    fn a_program_is_known_by_its_chains() {
        let mut rules = FwmarkRules::default();
        rules.add_chain(chain("cali-FORWARD"), None);
        let known = FwmarkFinding::InKnownMask {
            mark: MARK,
            unused: bit(0x0000_8000),
        };
        assert_eq!(found(rules)[1], known);
    }

    #[test]
    fn long_lists_are_abridged() {
        let places: Vec<_> = (1..=6).map(|number| number.to_string()).collect();
        assert_eq!(abridged(&places[..2]), "1, 2");
        assert_eq!(abridged(&places[..4]), "1, 2, 3, 4");
        assert_eq!(abridged(&places), "1, 2, 3, 4 and 2 more");
    }
}
