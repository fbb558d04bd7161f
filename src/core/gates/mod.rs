//! Gates: one rule in a foreign firewall that accepts the packets our table has marked.
//!
//! An accept ends its base chain and no other, so each base chain of the forward hook that
//! would refuse us needs one, whatever the number of networks. It stands as deep as will
//! do: an admin's own denials above it keep their word.
//!
//! This file decides, from the rules that a chain has, what is to be done; it sees no kernel.

mod libvirt;

use crate::table::Family;

/// Which program a foreign firewall is written with, and so has to be changed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    /// `nft`.
    Nft,
    /// `iptables` or `ip6tables`. A rule put into their tables by nft makes older
    /// iptables-nft refuse the whole table ("incompatible, use 'nft' tool").
    Iptables,
}

/// Where in its chain a gate has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Before the first rule that jumps to a chain of such a name. Without such a rule the
    /// owner does not use this chain, and no gate is wanted.
    BeforeJumpTo(&'static [&'static str]),
}

/// A place where a gate may be wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Whose firewall it is.
    pub owner: &'static str,
    /// How it is changed.
    pub tool: Tool,
    /// The table's family.
    pub family: Family,
    /// The table.
    pub table: &'static str,
    /// The base chain.
    pub chain: &'static str,
    /// Where in the chain.
    pub depth: Depth,
}

impl Place {
    /// As nft names a chain: `ip filter FORWARD`.
    pub fn path(&self) -> String {
        format!("{} {} {}", self.family.word(), self.table, self.chain)
    }
}

/// Every place there may be, firewall by firewall.
pub fn places() -> impl Iterator<Item = &'static Place> {
    libvirt::PLACES.iter()
}

/// As much of a foreign rule as matters here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// The kernel's number for it, never used twice in a table.
    pub handle: u32,
    /// Its comment.
    pub comment: Option<String>,
    /// The chain it jumps or goes to.
    pub jump: Option<String>,
}

impl Rule {
    /// Whether it is a gate of ours.
    pub fn is_ours(&self) -> bool {
        self.comment.as_deref() == Some(crate::COMMENT)
    }
}

/// What a place shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The firewall is not in use: no gate is wanted.
    Unused,
    /// One gate, where it works.
    Standing,
    /// A gate that other rules outrank, or more than one.
    Sunk,
    /// No gate.
    Missing,
}

impl State {
    /// One word for people and for JSON.
    pub fn word(self) -> &'static str {
        match self {
            State::Unused => "unused",
            State::Standing => "open",
            State::Sunk => "sunk",
            State::Missing => "missing",
        }
    }
}

/// What is to be done at a place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Handles of gates to take away, wherever they are.
    pub remove: Vec<u32>,
    /// Index, from 0, of the rule that a new gate goes in front of, once those are gone.
    pub insert_at: Option<usize>,
}

impl Change {
    /// Whether all is well as it is.
    pub fn is_nothing(&self) -> bool {
        self.remove.is_empty() && self.insert_at.is_none()
    }
}

/// Judges a place by its chain's rules; a chain that is not there has none.
pub fn state(place: &Place, rules: &[Rule]) -> State {
    let ours = rules.iter().filter(|rule| rule.is_ours()).count();
    let Some(jump) = owner_at(place, rules) else {
        return State::Unused;
    };
    let above = rules
        .iter()
        .take(jump)
        .filter(|rule| rule.is_ours())
        .count();
    match (above, ours) {
        (1, 1) => State::Standing,
        (_, 0) => State::Missing,
        _ => State::Sunk,
    }
}

/// What makes a place as it should be while networks are open; with `anew` also where it
/// looks right, as a gate shows its comment but not for which mark it was made.
pub fn to_open(place: &Place, rules: &[Rule], anew: bool) -> Change {
    match state(place, rules) {
        State::Standing if !anew => Change::default(),
        State::Unused => to_close(rules),
        State::Standing | State::Sunk | State::Missing => {
            let foreign: Vec<Rule> = rules.iter().filter(|r| !r.is_ours()).cloned().collect();
            Change {
                insert_at: owner_at(place, &foreign),
                ..to_close(rules)
            }
        }
    }
}

/// What takes every gate of ours away.
pub fn to_close(rules: &[Rule]) -> Change {
    let ours = rules.iter().filter(|rule| rule.is_ours());
    Change {
        remove: ours.map(|rule| rule.handle).collect(),
        insert_at: None,
    }
}

/// Where the owner's own rules begin.
fn owner_at(place: &Place, rules: &[Rule]) -> Option<usize> {
    let Depth::BeforeJumpTo(chains) = place.depth;
    rules.iter().position(|rule| {
        let jump = rule.jump.as_deref();
        jump.is_some_and(|jump| chains.contains(&jump))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(list: &[&str]) -> Vec<Rule> {
        let rule = |(at, text): (usize, &&str)| Rule {
            handle: at as u32 + 1,
            comment: (*text == "gate").then(|| crate::COMMENT.to_owned()),
            jump: text.strip_prefix('>').map(str::to_owned),
        };
        list.iter().enumerate().map(rule).collect()
    }

    fn place() -> &'static Place {
        places().find(|place| place.tool == Tool::Iptables).unwrap()
    }

    #[test]
    fn a_gate_stands_anywhere_above_its_owners_first_jump() {
        for (list, expected) in [
            (&[][..], State::Unused),
            (&["deny", ">DOCKER-USER"], State::Unused),
            (&[">LIBVIRT_FWX", ">LIBVIRT_FWI"], State::Missing),
            (&["deny", "gate", ">LIBVIRT_FWX"], State::Standing),
            (&["gate", "deny", ">LIBVIRT_FWX"], State::Standing),
            (&[">LIBVIRT_FWX", "gate", ">LIBVIRT_FWI"], State::Sunk),
            (&["gate", "gate", ">LIBVIRT_FWX"], State::Sunk),
            (&["gate", ">LIBVIRT_FWX", "gate"], State::Sunk),
        ] {
            assert_eq!(state(place(), &rules(list)), expected, "{list:?}");
        }
    }

    #[test]
    fn a_new_gate_goes_below_what_an_admin_put_first() {
        let change = to_open(place(), &rules(&["deny", ">LIBVIRT_FWX", "gate"]), false);
        assert_eq!(change.remove, [3]);
        assert_eq!(change.insert_at, Some(1));
        let change = to_open(place(), &rules(&["gate", "deny", ">LIBVIRT_FWX"]), true);
        assert_eq!(change.remove, [1]);
        assert_eq!(change.insert_at, Some(1));
    }

    #[test]
    fn nothing_is_done_where_nothing_is_wrong() {
        assert!(to_open(place(), &rules(&["gate", ">LIBVIRT_FWX"]), false).is_nothing());
        assert!(to_open(place(), &rules(&["deny"]), false).is_nothing());
        assert_eq!(to_open(place(), &rules(&["gate"]), false).remove, [1]);
        assert!(to_close(&rules(&["deny", ">LIBVIRT_FWX"])).is_nothing());
    }
}
