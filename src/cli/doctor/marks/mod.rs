//! Our bit of the packet mark, and who else uses it.
//!
//! The rules of all others are read from what `nft -j` ([`nft`]) and `iptables-save`
//! ([`iptables`]) list, each into a [`Use`] of the mark; and the rules of routing that ask for
//! one. Who has a bit in a mask of his own uses it. Who sets the whole mark of forwarded packets
//! takes our bit away, after our table has set it.

mod iptables;
mod nft;

use std::collections::{BTreeMap, BTreeSet};

use virt_forward_policy::{config::MarkBit, netfilter::Engine, sanitize::escape};
use virt_forward_system::exec::rule_dump::Save;

use super::{Finding, or_ok};

const CHECK: &str = "mark";

/// A mask of more bits is no field of somebody's, but all that is not.
const WIDEST: u32 = 16;

/// Where our table sets the bit and where it clears it (`filter - 10`, `srcnat + 10`).
const SET_AT: i32 = -10;
const CLEARED_AT: i32 = 110;

/// What a rule does with the mark.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Use {
    /// Bits that it has for its own.
    pub(crate) bits: u32,
    /// Bits that are not as before after it.
    pub(crate) changes: u32,
    /// Bits that it sets to 1, as far as the rule itself says.
    pub(crate) sets: u32,
    /// Bits that it keeps in the connection's mark.
    pub(crate) saves: u32,
    /// Only packets that have something else in common.
    pub(crate) is_for_some: bool,
    /// It accepts what has our bit, and nothing else: somebody's gate for us.
    pub(crate) looks_only: bool,
}

impl Use {
    /// A field of the mark, by its mask and the value in it.
    pub(crate) fn field(value: u32, mask: u32) -> u32 {
        match mask.count_ones() <= WIDEST {
            true => mask,
            false => value & mask,
        }
    }

    fn is_any(&self) -> bool {
        self.bits | self.changes | self.sets | self.saves != 0
    }
}

/// A chain: family, table, name.
pub(crate) type Place = (String, String, String);

/// All that was read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rules {
    uses: Vec<(Place, Use)>,
    /// Base chains that forwarded packets come by while they are marked.
    marked: BTreeSet<Place>,
    /// Those of them in the forward hook: gates come after them.
    forward: BTreeSet<Place>,
    /// Which chains each leads to.
    jumps: BTreeMap<Place, BTreeSet<Place>>,
    /// All chains by name: some programs are known by them.
    names: BTreeSet<String>,
}

/// A rule of routing that asks for a mark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Routing {
    pub(crate) priority: u32,
    pub(crate) value: u32,
    pub(crate) mask: u32,
}

impl Rules {
    /// Those in nft's JSON and in what `iptables-save` says. What the latter has is left out of
    /// what nft has; nft alone shows a table that somebody else changed ("incompatible").
    pub(crate) fn listed(nft: &str, saves: &[Save]) -> serde_json::Result<Self> {
        let mut rules = Self::default();
        let mut read = BTreeSet::new();
        for save in saves {
            iptables::read(&mut rules, save);
            if save.engine == Engine::Nft {
                let tables = save.text.lines().filter_map(|line| line.strip_prefix('*'));
                read.extend(tables.map(|table| (save.family.word(), table)));
            }
        }
        nft::read(&mut rules, nft, |family, table| {
            read.contains(&(family, table))
        })?;
        Ok(rules)
    }

    fn chain(&mut self, place: Place, base: Option<(&str, i32)>) {
        if let Some((hook, priority)) = base {
            let is_marked = match hook {
                "forward" => priority >= SET_AT,
                "postrouting" => priority < CLEARED_AT,
                _ => false,
            };
            if is_marked {
                self.marked.insert(place.clone());
            }
            if is_marked && hook == "forward" {
                self.forward.insert(place.clone());
            }
        }
        self.names.insert(place.2);
    }

    fn jump(&mut self, from: &Place, to: &str) {
        let to = (from.0.clone(), from.1.clone(), to.to_owned());
        self.jumps.entry(from.clone()).or_default().insert(to);
    }

    fn rule(&mut self, place: &Place, found: Use) {
        if found.is_any() {
            self.uses.push((place.clone(), found));
        }
    }

    /// The chains that packets come to from these base chains.
    fn reached<'a>(&'a self, bases: &'a BTreeSet<Place>) -> BTreeSet<&'a Place> {
        let mut reached: BTreeSet<&Place> = bases.iter().collect();
        let mut next: Vec<&Place> = reached.iter().copied().collect();
        while let Some(place) = next.pop() {
            for to in self.jumps.get(place).into_iter().flatten() {
                if reached.insert(to) {
                    next.push(to);
                }
            }
        }
        reached
    }

    /// What programs use that are here, be it seen in a rule or not
    /// (<https://github.com/fwmark/registry>, and each one's own documentation).
    fn known(&self) -> u32 {
        let known = [
            ("cali-", 0xffff_0000),
            ("CILIUM_", 0xffff_1fff),
            ("KUBE-", 0x0000_c000),
            ("ts-", 0x00ff_0000),
            ("NETAVARK", 0x0000_3000),
            ("CNI-", 0x0000_2000),
            ("WEAVE", 0x0006_0000),
            ("mwan3", 0x0000_3f00),
        ];
        let is_here = |prefix: &str| self.names.iter().any(|name| name.starts_with(prefix));
        let here = known.iter().filter(|(prefix, _)| is_here(prefix));
        here.fold(0, |all, (_, mask)| all | mask)
    }
}

/// What is wrong with `mark`.
pub(crate) fn findings(mark: MarkBit, rules: &Rules, routing: &[Routing]) -> Vec<Finding> {
    let bit = mark.bit();
    let mut setters: Vec<String> = Vec::new();
    let mut users: Vec<String> = Vec::new();
    let mut takers: Vec<String> = Vec::new();
    let mut others: Vec<String> = Vec::new();
    let reached = rules.reached(&rules.marked);
    let before_gates = rules.reached(&rules.forward);
    for (place, found) in &rules.uses {
        let text = format!("{} {} {}", place.0, escape(&place.1), escape(&place.2));
        let is_gate = found.looks_only && found.bits == bit;
        let is_after = reached.contains(place);
        if found.sets & bit != 0 && before_gates.contains(place) {
            setters.push(text);
        } else if found.bits & bit != 0 && !is_gate {
            users.push(text);
        } else if found.changes & bit != 0 && is_after {
            let list = if found.is_for_some {
                &mut others
            } else {
                &mut takers
            };
            list.push(text);
        } else if found.saves & bit != 0 && is_after && !found.is_for_some {
            others.push(text);
        }
    }
    let asks = |one: &&Routing| Use::field(one.value, one.mask) & bit != 0;
    users.extend(
        routing
            .iter()
            .filter(asks)
            .map(|one| format!("ip rule {}", one.priority)),
    );
    let free = free(rules, routing, mark);
    let mut found = Vec::new();
    if !setters.is_empty() {
        let what = format!(
            "{mark} is used by others too, in {}: set there, after our table has cleared it, it \
             passes every gate, whatever the config says",
            listed(setters)
        );
        let before =
            format!("# or let it run before our table clears the bit (priority below {SET_AT})");
        found.push(instead(Finding::wrong(CHECK, what), free).with(before));
    }
    if !users.is_empty() {
        let what = format!("{mark} is used by others too, in {}", listed(users));
        found.push(instead(Finding::wrong(CHECK, what), free));
    }
    if !takers.is_empty() {
        let what = format!(
            "{} sets the whole mark of forwarded packets, {mark} with it: what is open loses its mark",
            listed(takers)
        );
        found.push(Finding::wrong(CHECK, what).with(format!(
            "# let it set its own bits alone: nft … meta mark set meta mark | BITS, or iptables … \
             -j MARK --set-xmark BITS/BITS; or put it before {mark} is set (priority below {SET_AT})"
        )));
    }
    if !others.is_empty() {
        let what = format!(
            "{} sets or keeps the whole mark of some forwarded packets, {mark} with it",
            listed(others)
        );
        found.push(Finding::note(CHECK, what));
    }
    if rules.known() & bit != 0 && found.is_empty() {
        let what =
            format!("{mark} is in the mask of a program that is here, though no rule uses it now");
        found.push(instead(Finding::note(CHECK, what), free));
    }
    or_ok(found, CHECK, &format!("nobody else uses {mark}"))
}

fn instead(finding: Finding, free: Option<MarkBit>) -> Finding {
    match free {
        Some(free) => finding
            .with("# in the config, a bit that nobody here uses:")
            .with(format!("mark = {free}"))
            .with("# and then:")
            .with_apply(),
        None => finding.with("# every bit is used by somebody: give one of the others fewer"),
    }
}

fn listed(mut places: Vec<String>) -> String {
    const MOST: usize = 4;
    places.sort();
    places.dedup();
    let more = places.len().saturating_sub(MOST);
    places.truncate(MOST);
    match more {
        0 => places.join(", "),
        more => format!("{} and {more} more", places.join(", ")),
    }
}

/// A bit of nobody's: first of those that few programs are known to use.
fn free(rules: &Rules, routing: &[Routing], own: MarkBit) -> Option<MarkBit> {
    let of_rules = rules.uses.iter();
    let of_rules = of_rules.filter(|(_, one)| !(one.looks_only && one.bits == own.bit()));
    let used = of_rules.fold(0, |all, (_, one)| all | one.bits);
    let used = routing
        .iter()
        .fold(used, |all, one| all | Use::field(one.value, one.mask));
    let used = used | rules.known() | own.bit();
    let order = [28, 27, 26, 29, 30, 31].into_iter().chain((0..26).rev());
    let mut bits = order.map(|place| 1_u32 << place);
    MarkBit::new(bits.find(|bit| used & bit == 0)?.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::tests::said;

    fn place(chain: &str) -> Place {
        ("ip".into(), "mangle".into(), chain.into())
    }

    #[test]
    fn a_name_of_somebody_elses_moves_no_cursor() {
        let mut rules = Rules::default();
        let used = Use {
            bits: MarkBit::DEFAULT.bit(),
            ..Use::default()
        };
        rules.rule(&place("a\u{1b}[2J"), used);
        let text = found(&rules, &[]);
        assert!(text.contains("a\\u{1b}[2J"), "{text}");
    }

    fn found(rules: &Rules, routing: &[Routing]) -> String {
        said(&findings(MarkBit::DEFAULT, rules, routing)).join("\n")
    }

    #[test]
    fn a_mask_with_our_bit_is_told_with_one_that_is_free() {
        let mut rules = Rules::default();
        let used = |bits| Use {
            bits,
            ..Use::default()
        };
        rules.chain(place("PREROUTING"), Some(("prerouting", -150)));
        rules.rule(&place("PREROUTING"), used(0x0fff_0000));
        assert_eq!(found(&rules, &[]), "ok mark: nobody else uses 0x10000000");
        rules.rule(&place("PREROUTING"), used(0x1c00_0000));
        let text = found(&rules, &[]);
        assert!(
            text.starts_with(
                "wrong mark: 0x10000000 is used by others too, in ip mangle PREROUTING"
            ),
            "{text}"
        );
        assert!(text.contains("| mark = 0x20000000 |"), "{text}");
    }

    #[test]
    fn a_rule_that_sets_the_bit_between_our_table_and_the_gates_is_told() {
        let setter = Use {
            bits: 0x1000_0000,
            changes: 0x1000_0000,
            sets: 0x1000_0000,
            ..Use::default()
        };
        let said = |hook: &str, priority| {
            let mut rules = Rules::default();
            rules.chain(place("base"), Some((hook, priority)));
            rules.jump(&place("base"), "inner");
            rules.rule(&place("inner"), setter.clone());
            found(&rules, &[])
        };
        for priority in [SET_AT, -5, 0] {
            let text = said("forward", priority);
            assert!(
                text.contains("in ip mangle inner: set there, after our table has cleared it"),
                "{priority}: {text}"
            );
            assert!(text.contains("| mark = 0x08000000 |"), "{text}");
        }
        for (hook, priority) in [("forward", -150), ("postrouting", 0), ("prerouting", 0)] {
            let text = said(hook, priority);
            assert!(text.contains("is used by others too"), "{hook}: {text}");
            assert!(!text.contains("passes every gate"), "{hook}: {text}");
        }
    }

    #[test]
    fn rules_of_routing_count_too() {
        let rule = |value, mask| Routing {
            priority: 100,
            value,
            mask,
        };
        // wg-quick: a whole mark of another value.
        assert!(found(&Rules::default(), &[rule(51820, u32::MAX)]).starts_with("ok"));
        let text = found(&Rules::default(), &[rule(0x1000_0000, 0x1000_0000)]);
        assert!(text.contains("in ip rule 100"), "{text}");
        assert!(text.contains("mark = 0x08000000"), "{text}");
    }

    #[test]
    fn who_takes_the_mark_away_is_told_where_it_matters() {
        let taker = Use {
            changes: u32::MAX,
            bits: 1,
            ..Use::default()
        };
        let mut rules = Rules::default();
        rules.chain(place("FORWARD"), Some(("forward", -150)));
        rules.rule(&place("FORWARD"), taker.clone());
        assert!(found(&rules, &[]).starts_with("ok"), "before our table");
        rules.chain(place("POSTROUTING"), Some(("postrouting", -150)));
        rules.jump(&place("POSTROUTING"), "inner");
        rules.rule(&place("inner"), taker.clone());
        let text = found(&rules, &[]);
        assert!(
            text.starts_with("wrong mark: ip mangle inner sets the whole mark"),
            "{text}"
        );
        let mut rules = Rules::default();
        rules.chain(place("POSTROUTING"), Some(("postrouting", -150)));
        let some = Use {
            is_for_some: true,
            ..taker
        };
        rules.rule(&place("POSTROUTING"), some);
        assert!(found(&rules, &[]).contains("note mark: ip mangle POSTROUTING"));
    }

    #[test]
    fn a_gate_of_the_admins_is_none_of_those() {
        let mut rules = Rules::default();
        let gate = Use {
            bits: 0x1000_0000,
            looks_only: true,
            ..Use::default()
        };
        rules.rule(&place("FORWARD"), gate);
        assert!(found(&rules, &[]).starts_with("ok"));
    }

    #[test]
    fn a_program_is_known_by_its_chains() {
        let mut rules = Rules::default();
        rules.chain(place("cali-FORWARD"), None);
        let text = found(&rules, &[]);
        assert!(
            text.contains("note mark: 0x10000000 is in the mask of a program"),
            "{text}"
        );
        assert!(text.contains("mark = 0x00008000"), "{text}");
    }
}
