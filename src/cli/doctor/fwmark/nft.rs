//! fwmarks in the output of `nft -j list ruleset`. The parser is lenient: it skips expressions that
//! it does not know.

use serde_json::Value;
use virt_forward_policy::netfilter::TABLE;
use virt_forward_ruleset::COMMENT;

use super::rules::{BaseHook, ChainRef, FwmarkRules, FwmarkUse};

/// Adds the rules in `json` to `rules`, without the tables for which `is_parsed` holds.
pub(super) fn parse(
    rules: &mut FwmarkRules,
    json: &str,
    is_parsed: impl Fn(&str, &str) -> bool,
) -> serde_json::Result<()> {
    let all: Value = serde_json::from_str(json)?;
    let objects = all.get("nftables").and_then(Value::as_array);
    let is_relevant = |chain: &ChainRef| {
        let (family, table) = (chain.family.as_str(), chain.table.as_str());
        let is_own = (family, table) == (TABLE.family.word(), TABLE.name);
        // Packets in the bridge and netdev families do not meet virt-forward's chains.
        ["ip", "ip6", "inet"].contains(&family) && !is_own && !is_parsed(family, table)
    };
    for object in objects.into_iter().flatten() {
        if let Some(chain) = object.get("chain") {
            if let Some(name) = chain_ref(chain, "name").filter(is_relevant) {
                rules.add_chain(name, base_hook(chain));
            }
        } else if let Some(rule) = object.get("rule")
            && let Some(chain) = chain_ref(rule, "chain").filter(is_relevant)
        {
            add_rule(rules, &chain, rule);
        }
    }
    Ok(())
}

fn text<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key)?.as_str()
}

/// The chain of an object that has the chain's name in `key`.
fn chain_ref(value: &Value, key: &str) -> Option<ChainRef> {
    let word = |key| text(value, key).map(str::to_owned);
    Some(ChainRef {
        family: word("family")?,
        table: word("table")?,
        chain: word(key)?,
    })
}

fn base_hook(chain: &Value) -> Option<BaseHook<'_>> {
    let priority = chain.get("prio").and_then(Value::as_i64)?;
    Some(BaseHook {
        hook: text(chain, "hook")?,
        priority: priority.try_into().ok()?,
    })
}

fn add_rule(rules: &mut FwmarkRules, chain: &ChainRef, rule: &Value) {
    if text(rule, "comment") == Some(COMMENT) {
        return;
    }
    let mut found = FwmarkUse {
        only_matches: true,
        ..FwmarkUse::default()
    };
    let statements = rule.get("expr").and_then(Value::as_array);
    let statements = statements.into_iter().flatten();
    for statement in statements.filter_map(Value::as_object) {
        for (keyword, value) in statement {
            match keyword.as_str() {
                "match" => add_match(&mut found, value),
                "mangle" => add_mangle(&mut found, value),
                "jump" | "goto" => {
                    if let Some(to) = text(value, "target") {
                        rules.add_jump(chain, to);
                    }
                }
                "vmap" => add_verdict_map(rules, chain, &mut found, value),
                // A match of iptables. It may be a comment, which is not a condition.
                "xt" if text(value, "type") == Some("match") => found.is_conditional = true,
                _ => {}
            }
        }
    }
    rules.add_use(chain, found);
}

/// `meta mark & MASK == VALUE`
fn add_match(found: &mut FwmarkUse, value: &Value) {
    found.is_conditional = true;
    let (Some(left), Some(right)) = (value.get("left"), value.get("right")) else {
        return;
    };
    let Some(MarkExpr {
        from: Source::Mark,
        keeps,
        ..
    }) = mark_expr(left)
    else {
        return;
    };
    found.owned |= match operand(right) {
        // nft 1.0.6 takes `& 0xf0000000 == 0x10000000` for a prefix.
        Operand::Prefix(value, length) => {
            let mask = u32::MAX.checked_shl(32 - length).unwrap_or(0);
            FwmarkUse::owned_bits(value, mask & keeps)
        }
        Operand::Value(value) => FwmarkUse::owned_bits(value, keeps),
    };
}

/// `meta mark set …`, `ct mark set meta mark …`
fn add_mangle(found: &mut FwmarkUse, value: &Value) {
    let key = value.get("key").and_then(mark_expr);
    let new = value.get("value").and_then(mark_expr);
    match (key.map(|key| key.from), new) {
        (Some(Source::Mark), new) => {
            found.only_matches = false;
            // An unknown expression may change any bit.
            let new = new.unwrap_or(MarkExpr::NOTHING);
            let (value, mask) = match new.from {
                Source::Mark => (new.sets | new.flips, !new.keeps | new.sets | new.flips),
                Source::Connection => (new.sets, u32::MAX),
                Source::Nothing => (new.sets, u32::MAX),
            };
            found.changed |= mask;
            found.set |= value;
            found.owned |= FwmarkUse::owned_bits(value, mask);
        }
        (Some(Source::Connection), Some(new)) if new.from == Source::Mark => {
            found.only_matches = false;
            found.saved |= new.keeps;
            found.owned |= FwmarkUse::owned_bits(0, new.keeps);
        }
        _ => {}
    }
}

/// `meta mark vmap { 1 : jump a }`
fn add_verdict_map(
    rules: &mut FwmarkRules,
    chain: &ChainRef,
    found: &mut FwmarkUse,
    value: &Value,
) {
    found.is_conditional = true;
    if let Some(MarkExpr {
        from: Source::Mark,
        keeps,
        ..
    }) = value.get("key").and_then(mark_expr)
    {
        found.owned |= FwmarkUse::owned_bits(0, keeps);
    }
    for to in targets(value) {
        rules.add_jump(chain, &to);
    }
}

/// The chains that verdicts anywhere in `value` jump to.
fn targets(value: &Value) -> Vec<String> {
    match value {
        Value::Object(map) => {
            let own = map.get("target").and_then(Value::as_str).map(str::to_owned);
            own.into_iter()
                .chain(map.values().flat_map(targets))
                .collect()
        }
        Value::Array(list) => list.iter().flat_map(targets).collect(),
        _ => Vec::new(),
    }
}

enum Operand {
    Value(u32),
    Prefix(u32, u32),
}

/// The bits of the right-hand side: of a number, or of all numbers in a range or set.
fn operand(value: &Value) -> Operand {
    if let Some(prefix) = value.get("prefix") {
        let number = |key| prefix.get(key).and_then(Value::as_u64).unwrap_or(0);
        return Operand::Prefix(number("addr") as u32, (number("len") as u32).min(32));
    }
    fn bits(value: &Value) -> u32 {
        match value {
            Value::Number(number) => number.as_u64().unwrap_or(0) as u32,
            Value::Array(list) => list.iter().fold(0, |all, one| all | bits(one)),
            Value::Object(map) => map.values().fold(0, |all, one| all | bits(one)),
            _ => 0,
        }
    }
    Operand::Value(bits(value))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Mark,
    Connection,
    Nothing,
}

/// A value computed from a mark: the bits that it keeps of the mark, those that it sets, and those
/// that it flips.
#[derive(Clone, Copy, Debug)]
struct MarkExpr {
    from: Source,
    keeps: u32,
    sets: u32,
    flips: u32,
}

impl MarkExpr {
    const NOTHING: Self = Self {
        from: Source::Nothing,
        keeps: 0,
        sets: 0,
        flips: 0,
    };
}

fn mark_expr(value: &Value) -> Option<MarkExpr> {
    if let Some(number) = value.as_u64() {
        return Some(MarkExpr {
            sets: number as u32,
            ..MarkExpr::NOTHING
        });
    }
    let (keyword, inner) = value.as_object()?.iter().next()?;
    let all = |from| MarkExpr {
        from,
        keeps: u32::MAX,
        ..MarkExpr::NOTHING
    };
    match keyword.as_str() {
        "meta" if text(inner, "key") == Some("mark") => Some(all(Source::Mark)),
        "ct" if text(inner, "key") == Some("mark") => Some(all(Source::Connection)),
        "&" | "|" | "^" => {
            let mut parts = inner.as_array()?.iter();
            let first = mark_expr(parts.next()?)?;
            parts.try_fold(first, |one, other| {
                Some(combine(keyword, one, mark_expr(other)?))
            })
        }
        _ => None,
    }
}

fn combine(operator: &str, one: MarkExpr, other: MarkExpr) -> MarkExpr {
    // The mark may be either operand.
    let (mark, number) = match one.from {
        Source::Nothing => (other, one.sets),
        _ => (one, other.sets),
    };
    match operator {
        "&" => MarkExpr {
            keeps: mark.keeps & number,
            sets: mark.sets & number,
            flips: mark.flips & number,
            ..mark
        },
        "|" => MarkExpr {
            keeps: mark.keeps & !number,
            sets: mark.sets | number,
            ..mark
        },
        _ => MarkExpr {
            flips: mark.flips ^ number,
            ..mark
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As nft 1.0.6 and 1.1.3 list it.
    fn uses(expressions: &str) -> FwmarkUse {
        let json = format!(
            r#"{{"nftables":[{{"chain":{{"family":"inet","table":"t","name":"f","hook":"forward","prio":5}}}},
            {{"rule":{{"family":"inet","table":"t","chain":"f","expr":{expressions}}}}}]}}"#
        );
        let mut rules = FwmarkRules::default();
        parse(&mut rules, &json, |_, _| false).unwrap();
        rules
            .uses
            .into_iter()
            .map(|(_, one)| one)
            .next()
            .unwrap_or_default()
    }

    const MARK: &str = r#"{"meta":{"key":"mark"}}"#;

    fn set(value: &str) -> (u32, u32) {
        let found = uses(&format!(
            r#"[{{"mangle":{{"key":{MARK},"value":{value}}}}}]"#
        ));
        (found.owned, found.changed)
    }

    #[test]
    fn comparisons_are_parsed() {
        let compared = |left: &str, right: &str| {
            uses(&format!(
                r#"[{{"match":{{"op":"==","left":{left},"right":{right}}}}},{{"accept":null}}]"#
            ))
        };
        let masked = |mask: u32| format!(r#"{{"&":[{MARK},{mask}]}}"#);
        let gate = compared(&masked(0x1000_0000), "0");
        assert_eq!(gate.owned, 0x1000_0000);
        assert!(gate.only_matches);
        assert_eq!(
            compared(&masked(0xf000_0000), "268435456").owned,
            0xf000_0000
        );
        assert_eq!(
            compared(MARK, r#"{"prefix":{"addr":268435456,"len":4}}"#).owned,
            0xf000_0000
        );
        assert_eq!(compared(MARK, "5").owned, 5);
        assert_eq!(compared(MARK, r#"{"set":[1,2]}"#).owned, 3);
        assert_eq!(
            compared(r#"{"ct":{"key":"mark"}}"#, "5"),
            FwmarkUse::default()
        );
    }

    #[test]
    fn assignments_are_parsed() {
        assert_eq!(set("1"), (1, u32::MAX));
        assert_eq!(
            set(&format!(r#"{{"|":[{MARK},268435456]}}"#)),
            (0x1000_0000, 0x1000_0000)
        );
        assert_eq!(set(&format!(r#"{{"^":[{MARK},16]}}"#)), (16, 16));
        assert_eq!(set(&format!(r#"{{"&":[{MARK},255]}}"#)), (0, 0xffff_ff00));
        assert_eq!(
            set(&format!(r#"{{"&":[{MARK},4026531839]}}"#)),
            (0x1000_0000, 0x1000_0000)
        );
        assert_eq!(
            set(&format!(r#"{{"|":[{{"&":[{MARK},4026531839]}},16]}}"#)),
            (0x1000_0010, 0x1000_0010)
        );
        assert_eq!(set(r#"{"ct":{"key":"mark"}}"#), (0, u32::MAX));
        assert_eq!(
            set(r#"{"numgen":{"mode":"inc","mod":2,"offset":0}}"#),
            (0, u32::MAX)
        );
    }

    #[test]
    fn set_bits_are_told_from_cleared_ones() {
        let sets = |value: &str| {
            uses(&format!(
                r#"[{{"mangle":{{"key":{MARK},"value":{value}}}}}]"#
            ))
            .set
        };
        assert_eq!(sets("268435456"), 0x1000_0000);
        let or = format!(r#"{{"|":[{MARK},268435456]}}"#);
        assert_eq!(sets(&or), 0x1000_0000);
        let cleared = format!(r#"{{"&":[{MARK},4026531839]}}"#);
        assert_eq!(sets(&cleared), 0);
    }

    #[test]
    fn saves_to_the_connection_mark_are_parsed() {
        let save = |value: &str| {
            uses(&format!(
                r#"[{{"mangle":{{"key":{{"ct":{{"key":"mark"}}}},"value":{value}}}}}]"#
            ))
        };
        assert_eq!(save(MARK).saved, u32::MAX);
        let some = save(&format!(r#"{{"&":[{MARK},255]}}"#));
        assert_eq!((some.owned, some.saved), (255, 255));
        assert_eq!(save("7"), FwmarkUse::default());
    }

    #[test]
    fn unknown_expressions_are_skipped() {
        let odd =
            r#"[{"last":null},{"match":{"op":"==","left":{"nonsense":[]},"right":true}},3,null]"#;
        assert_eq!(uses(odd), FwmarkUse::default());
        let mut rules = FwmarkRules::default();
        assert!(parse(&mut rules, "not json", |_, _| false).is_err());
        parse(&mut rules, "{}", |_, _| false).unwrap();
    }
}
