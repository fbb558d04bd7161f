//! Rules of routing (ip-rule(8)), and the kinds of replies that they tell apart.

use std::collections::BTreeSet;

use ipnet::IpNet;

use super::Source;

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The lowest comes first.
    pub priority: u32,
    /// Packets to that subnet.
    pub to: Option<IpNet>,
    /// Packets from there.
    pub from: From,
    /// Packets with that mark: the value and the mask.
    pub mark: Option<(u32, u32)>,
    /// What else it asks for.
    pub condition: Condition,
    /// It means packets that do not fit (`not`).
    pub is_inverted: bool,
    /// What it does.
    pub action: Action,
}

/// Where packets come from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct From {
    /// With a source in that subnet.
    pub subnet: Option<IpNet>,
    /// In by that interface.
    pub interface: Option<String>,
}

/// What else a rule asks for, as far as forwarded packets are concerned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Condition {
    /// Nothing.
    #[default]
    None,
    /// Something that some packets have: a protocol, a port.
    Sometimes,
    /// Something that no forwarded packet has: a socket's interface or its user.
    Never,
}

/// What a rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Looks a table up; a route whose prefix is no longer than `suppressed` does not count.
    Lookup {
        /// The table's number.
        table: u32,
        /// `suppress_prefixlength`
        suppressed: Option<u8>,
    },
    /// Goes on at the first rule with that priority or a higher one.
    Goto(u32),
    /// Nothing.
    Nop,
    /// `blackhole`, `unreachable`, `prohibit`
    Refuse,
}

/// Whether a rule is about a kind of reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fits {
    Always,
    Sometimes,
    Never,
}

impl Fits {
    fn all(each: impl IntoIterator<Item = Self>) -> Self {
        each.into_iter().max().unwrap_or(Self::Always)
    }
}

impl Rule {
    /// Whether it is about packets of `source` with that mark; what they go to aside. The bridge
    /// is left out of account where there is none.
    fn fits(&self, source: Option<&IpNet>, bridge: Option<&str>, mark: u32) -> Fits {
        let of_source = match (&self.from.subnet, source) {
            (None, _) => Fits::Always,
            (Some(_), None) => Fits::Never,
            (Some(from), Some(source)) if from.contains(source) => Fits::Always,
            (Some(from), Some(source)) if source.contains(from) => Fits::Sometimes,
            _ => Fits::Never,
        };
        let of_interface = match &self.from.interface {
            None => Fits::Always,
            Some(interface) if Some(interface.as_str()) == bridge => Fits::Always,
            Some(_) => Fits::Never,
        };
        let of_mark = match self.mark {
            Some((value, mask)) if (mark ^ value) & mask != 0 => Fits::Never,
            _ => Fits::Always,
        };
        let of_rest = match self.condition {
            Condition::None => Fits::Always,
            Condition::Sometimes => Fits::Sometimes,
            Condition::Never => Fits::Never,
        };
        Fits::all([of_source, of_interface, of_mark, of_rest])
    }
}

/// A kind of reply that rules tell apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Reply {
    /// What the kernel's own reverse path check looks up: no mark, no interface.
    pub(super) is_plain: bool,
    /// For each rule, whether it is about such a reply: where packets go aside.
    fits: Vec<bool>,
}

impl Reply {
    /// The rules that decide about a packet to `part`, in their order.
    pub(super) fn rules<'a>(
        &'a self,
        rules: &'a [Rule],
        part: IpNet,
    ) -> impl Iterator<Item = &'a Rule> {
        let mut at = 0;
        std::iter::from_fn(move || {
            loop {
                let (rule, fits) = (rules.get(at)?, *self.fits.get(at)?);
                at += 1;
                let goes_there = rule.to.is_none_or(|to| to.contains(&part));
                if (fits && goes_there) == rule.is_inverted {
                    continue;
                }
                match rule.action {
                    Action::Nop => {}
                    // Only forward, as the kernel has it: else this would not end.
                    Action::Goto(priority) => {
                        let rest = rules.iter().skip(at);
                        let skipped = rest.take_while(|rule| rule.priority < priority).count();
                        at += skipped;
                    }
                    _ => return Some(rule),
                }
            }
        })
    }
}

/// Every kind of reply: with each mark that a rule asks for and without one, from each of
/// `sources`, and, for what only some packets have, one rule at a time that is about them.
pub(super) fn replies(rules: &[Rule], sources: &[Source]) -> Vec<Reply> {
    let mut all = BTreeSet::new();
    // What `not fwmark` asks for is that the mark is another one: none is enough.
    let asked = rules.iter().filter(|rule| !rule.is_inverted);
    let marks: BTreeSet<u32> = asked
        .filter_map(|rule| Some(rule.mark?.0))
        .chain([0])
        .collect();
    let bare = [(None, None)].into_iter();
    let of_sources = sources.iter().flat_map(|source| {
        let (subnet, bridge) = (Some(&source.subnet), source.bridge.as_str());
        [(subnet, None), (subnet, Some(bridge))]
    });
    let ends: BTreeSet<_> = bare.chain(of_sources).collect();
    for (subnet, bridge) in ends {
        // Without a network nobody replies; then what the kernel looks up is all there is.
        if subnet.is_none() && !sources.is_empty() {
            continue;
        }
        for mark in &marks {
            let fits: Vec<_> = rules
                .iter()
                .map(|rule| rule.fits(subnet, bridge, *mark))
                .collect();
            all.extend(replies_that(&fits, bridge.is_none() && *mark == 0));
        }
    }
    // What the kernel looks up itself is not looked up again.
    let known: BTreeSet<_> = all
        .iter()
        .filter(|one: &&Reply| one.is_plain)
        .map(|one| one.fits.clone())
        .collect();
    all.into_iter()
        .filter(|one| one.is_plain || !known.contains(&one.fits))
        .collect()
}

fn replies_that(fits: &[Fits], is_plain: bool) -> Vec<Reply> {
    let reply = |sometimes: Option<usize>| Reply {
        is_plain: is_plain && sometimes.is_none(),
        fits: (0..)
            .zip(fits)
            .map(|(at, fits)| match fits {
                Fits::Always => true,
                Fits::Sometimes => sometimes == Some(at),
                Fits::Never => false,
            })
            .collect(),
    };
    let some = (0..)
        .zip(fits)
        .filter(|(_, fits)| **fits == Fits::Sometimes);
    let some = some.map(|(at, _)| reply(Some(at)));
    [reply(None)].into_iter().chain(some).collect()
}
