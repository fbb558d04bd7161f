//! What `nft -j list ruleset` lists of marks. Read leniently: the words that are looked for, and
//! whatever else there may be is passed over.

use serde_json::Value;
use virt_forward_policy::netfilter::TABLE;
use virt_forward_ruleset::COMMENT;

use super::{Place, Rules, Use};

/// Adds what is in it to `rules`; `is_read` tells of tables that were read otherwise.
pub(super) fn read(
    rules: &mut Rules,
    json: &str,
    is_read: impl Fn(&str, &str) -> bool,
) -> serde_json::Result<()> {
    let all: Value = serde_json::from_str(json)?;
    let objects = all.get("nftables").and_then(Value::as_array);
    for object in objects.into_iter().flatten() {
        let chain = object.get("chain");
        let Some(one) = chain.or_else(|| object.get("rule")) else {
            continue;
        };
        let name = if chain.is_some() { "name" } else { "chain" };
        let Some(place) = place(one, name) else {
            continue;
        };
        let is_ours = (place.0.as_str(), place.1.as_str()) == (TABLE.family.word(), TABLE.name);
        // Frames on a bridge and what comes in on a device meet none of our chains.
        let is_routed = ["ip", "ip6", "inet"].contains(&place.0.as_str());
        if is_ours || !is_routed || is_read(&place.0, &place.1) {
            continue;
        }
        match chain {
            Some(chain) => {
                let hook = text(chain, "hook");
                let priority = chain.get("prio").and_then(Value::as_i64);
                let priority = priority.and_then(|number| i32::try_from(number).ok());
                rules.chain(place, hook.zip(priority));
            }
            None => rule(rules, &place, one),
        }
    }
    Ok(())
}

fn text<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key)?.as_str()
}

fn place(value: &Value, name: &str) -> Option<Place> {
    let word = |key| text(value, key).map(str::to_owned);
    Some((word("family")?, word("table")?, word(name)?))
}

fn rule(rules: &mut Rules, place: &Place, rule: &Value) {
    if text(rule, "comment") == Some(COMMENT) {
        return;
    }
    let mut found = Use {
        looks_only: true,
        ..Use::default()
    };
    let statements = rule.get("expr").and_then(Value::as_array);
    for statement in statements
        .into_iter()
        .flatten()
        .filter_map(Value::as_object)
    {
        for (word, value) in statement {
            match word.as_str() {
                "match" => matched(&mut found, value),
                "mangle" => mangled(&mut found, value),
                "jump" | "goto" => {
                    if let Some(to) = text(value, "target") {
                        rules.jump(place, to);
                    }
                }
                "vmap" => mapped(rules, place, &mut found, value),
                // A match of iptables' own; one on the comment says nothing, but who knows.
                "xt" if text(value, "type") == Some("match") => found.is_for_some = true,
                _ => {}
            }
        }
    }
    rules.rule(place, found);
}

/// `meta mark & MASK == VALUE`
fn matched(found: &mut Use, value: &Value) {
    found.is_for_some = true;
    let (Some(left), Some(right)) = (value.get("left"), value.get("right")) else {
        return;
    };
    let Some(Seen {
        from: Source::Mark,
        keeps,
        ..
    }) = seen(left)
    else {
        return;
    };
    found.bits |= match numbers(right) {
        // nft 1.0.6 takes `& 0xf0000000 == 0x10000000` for a prefix.
        Right::Prefix(value, length) => {
            let mask = u32::MAX.checked_shl(32 - length).unwrap_or(0);
            Use::field(value, mask & keeps)
        }
        Right::Value(value) => Use::field(value, keeps),
    };
}

/// `meta mark set …`, `ct mark set meta mark …`
fn mangled(found: &mut Use, value: &Value) {
    let key = value.get("key").and_then(seen);
    let new = value.get("value").and_then(seen);
    match (key.map(|key| key.from), new) {
        (Some(Source::Mark), new) => {
            found.looks_only = false;
            // What is not understood may be anything.
            let new = new.unwrap_or(Seen::NOTHING);
            let (value, mask) = match new.from {
                Source::Mark => (new.sets | new.turns, !new.keeps | new.sets | new.turns),
                Source::Connection => (new.sets, u32::MAX),
                Source::Nothing => (new.sets, u32::MAX),
            };
            found.changes |= mask;
            found.sets |= value;
            found.bits |= Use::field(value, mask);
        }
        (Some(Source::Connection), Some(new)) if new.from == Source::Mark => {
            found.looks_only = false;
            found.saves |= new.keeps;
            found.bits |= Use::field(0, new.keeps);
        }
        _ => {}
    }
}

/// `meta mark vmap { 1 : jump a }`
fn mapped(rules: &mut Rules, place: &Place, found: &mut Use, value: &Value) {
    found.is_for_some = true;
    if let Some(Seen {
        from: Source::Mark,
        keeps,
        ..
    }) = value.get("key").and_then(seen)
    {
        found.bits |= Use::field(0, keeps);
    }
    for to in targets(value) {
        rules.jump(place, &to);
    }
}

/// Chains that are named anywhere in it.
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

enum Right {
    Value(u32),
    Prefix(u32, u32),
}

/// All bits of what is compared with: a number, a range or a set of them.
fn numbers(value: &Value) -> Right {
    if let Some(prefix) = value.get("prefix") {
        let number = |key| prefix.get(key).and_then(Value::as_u64).unwrap_or(0);
        return Right::Prefix(number("addr") as u32, (number("len") as u32).min(32));
    }
    fn bits(value: &Value) -> u32 {
        match value {
            Value::Number(number) => number.as_u64().unwrap_or(0) as u32,
            Value::Array(list) => list.iter().fold(0, |all, one| all | bits(one)),
            Value::Object(map) => map.values().fold(0, |all, one| all | bits(one)),
            _ => 0,
        }
    }
    Right::Value(bits(value))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Mark,
    Connection,
    Nothing,
}

/// A value: which bits it keeps of which mark, which it has set, and which it turns round.
#[derive(Clone, Copy, Debug)]
struct Seen {
    from: Source,
    keeps: u32,
    sets: u32,
    turns: u32,
}

impl Seen {
    const NOTHING: Self = Self {
        from: Source::Nothing,
        keeps: 0,
        sets: 0,
        turns: 0,
    };
}

fn seen(value: &Value) -> Option<Seen> {
    if let Some(number) = value.as_u64() {
        return Some(Seen {
            sets: number as u32,
            ..Seen::NOTHING
        });
    }
    let (word, inner) = value.as_object()?.iter().next()?;
    let all = |from| Seen {
        from,
        keeps: u32::MAX,
        ..Seen::NOTHING
    };
    match word.as_str() {
        "meta" if text(inner, "key") == Some("mark") => Some(all(Source::Mark)),
        "ct" if text(inner, "key") == Some("mark") => Some(all(Source::Connection)),
        "&" | "|" | "^" => {
            let mut parts = inner.as_array()?.iter();
            let first = seen(parts.next()?)?;
            parts.try_fold(first, |one, other| Some(joined(word, one, seen(other)?)))
        }
        _ => None,
    }
}

fn joined(word: &str, one: Seen, other: Seen) -> Seen {
    // The mark may stand on either side.
    let (mark, number) = match one.from {
        Source::Nothing => (other, one.sets),
        _ => (one, other.sets),
    };
    match word {
        "&" => Seen {
            keeps: mark.keeps & number,
            sets: mark.sets & number,
            turns: mark.turns & number,
            ..mark
        },
        "|" => Seen {
            keeps: mark.keeps & !number,
            sets: mark.sets | number,
            ..mark
        },
        _ => Seen {
            turns: mark.turns ^ number,
            ..mark
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As nft 1.0.6 and 1.1.3 list it.
    fn uses(expressions: &str) -> Use {
        let json = format!(
            r#"{{"nftables":[{{"chain":{{"family":"inet","table":"t","name":"f","hook":"forward","prio":5}}}},
            {{"rule":{{"family":"inet","table":"t","chain":"f","expr":{expressions}}}}}]}}"#
        );
        let mut rules = Rules::default();
        read(&mut rules, &json, |_, _| false).unwrap();
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
        (found.bits, found.changes)
    }

    #[test]
    fn what_is_compared_is_read() {
        let compared = |left: &str, right: &str| {
            uses(&format!(
                r#"[{{"match":{{"op":"==","left":{left},"right":{right}}}}},{{"accept":null}}]"#
            ))
        };
        let masked = |mask: u32| format!(r#"{{"&":[{MARK},{mask}]}}"#);
        let gate = compared(&masked(0x1000_0000), "0");
        assert_eq!(gate.bits, 0x1000_0000);
        assert!(gate.looks_only);
        assert_eq!(
            compared(&masked(0xf000_0000), "268435456").bits,
            0xf000_0000
        );
        assert_eq!(
            compared(MARK, r#"{"prefix":{"addr":268435456,"len":4}}"#).bits,
            0xf000_0000
        );
        assert_eq!(compared(MARK, "5").bits, 5);
        assert_eq!(compared(MARK, r#"{"set":[1,2]}"#).bits, 3);
        assert_eq!(compared(r#"{"ct":{"key":"mark"}}"#, "5"), Use::default());
    }

    #[test]
    fn what_is_set_is_read() {
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
    fn what_is_set_to_one_is_told_from_what_is_cleared() {
        let sets = |value: &str| {
            uses(&format!(
                r#"[{{"mangle":{{"key":{MARK},"value":{value}}}}}]"#
            ))
            .sets
        };
        assert_eq!(sets("268435456"), 0x1000_0000);
        let or = format!(r#"{{"|":[{MARK},268435456]}}"#);
        assert_eq!(sets(&or), 0x1000_0000);
        let cleared = format!(r#"{{"&":[{MARK},4026531839]}}"#);
        assert_eq!(sets(&cleared), 0);
    }

    #[test]
    fn what_is_kept_is_read() {
        let save = |value: &str| {
            uses(&format!(
                r#"[{{"mangle":{{"key":{{"ct":{{"key":"mark"}}}},"value":{value}}}}}]"#
            ))
        };
        assert_eq!(save(MARK).saves, u32::MAX);
        let some = save(&format!(r#"{{"&":[{MARK},255]}}"#));
        assert_eq!((some.bits, some.saves), (255, 255));
        assert_eq!(save("7"), Use::default());
    }

    #[test]
    fn what_is_not_known_is_passed_over() {
        let odd =
            r#"[{"last":null},{"match":{"op":"==","left":{"nonsense":[]},"right":true}},3,null]"#;
        assert_eq!(uses(odd), Use::default());
        let mut rules = Rules::default();
        assert!(read(&mut rules, "not json", |_, _| false).is_err());
        read(&mut rules, "{}", |_, _| false).unwrap();
    }
}
