//! Routing rules (ip-rule(8)), and the kinds of replies that they distinguish.

use std::collections::BTreeSet;

use ipnet::IpNet;

use super::Source;

/// A routing rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoutingRule {
    /// The priority; the lowest comes first.
    pub priority: u32,
    /// The destination that packets have to have.
    pub to: Option<IpNet>,
    /// The source that packets have to have.
    pub from: From,
    /// The mark that packets have to have: the value and the mask.
    pub mark: Option<(u32, u32)>,
    /// Other conditions.
    pub condition: Condition,
    /// Whether it matches packets that do not meet the conditions (`not`).
    pub is_inverted: bool,
    /// The action.
    pub action: Action,
}

/// The source of packets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct From {
    /// The subnet of the source address.
    pub subnet: Option<IpNet>,
    /// The interface that they arrive on.
    pub interface: Option<String>,
}

/// Other conditions of a rule, as far as forwarded packets are concerned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Condition {
    /// No other condition.
    #[default]
    None,
    /// One that some packets meet: a protocol, a port.
    Sometimes,
    /// One that no forwarded packet meets: a socket's interface or user.
    Never,
}

/// The action of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Looks up a table; routes with a prefix of at most `suppressed` bits are ignored.
    Lookup {
        /// The number of the table.
        table: u32,
        /// `suppress_prefixlength`
        suppressed: Option<u8>,
    },
    /// Continues at the first rule with at least that priority.
    Goto(u32),
    /// No action.
    Nop,
    /// `blackhole`, `unreachable`, `prohibit`
    Refuse,
}

/// Whether a rule matches a kind of reply.
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

impl RoutingRule {
    /// Whether it matches packets of `source` with that mark, apart from their destination. Without a
    /// bridge, rules for an interface do not match.
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

/// A kind of reply that the rules distinguish.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Reply {
    /// Whether the kernel's own reverse path check looks it up: no mark, no interface.
    pub(super) is_plain: bool,
    /// For each rule, whether it matches such a reply, apart from the destination.
    fits: Vec<bool>,
}

impl Reply {
    /// The rules that match a packet to `part`, in order.
    pub(super) fn rules<'a>(
        &'a self,
        rules: &'a [RoutingRule],
        part: IpNet,
    ) -> impl Iterator<Item = &'a RoutingRule> {
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
                    // Only forward, as in the kernel, so that the loop ends.
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

/// Every kind of reply: from each of `sources`, without a mark and with each mark that a rule matches,
/// and for each rule that matches only some packets, those packets.
pub(super) fn replies(rules: &[RoutingRule], sources: &[Source]) -> Vec<Reply> {
    let mut all = BTreeSet::new();
    // `not fwmark` matches any other mark, none included.
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
        // Without a source there are no replies, and only the kernel's own lookup remains.
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
    // A reply that the kernel looks up itself is not looked up again.
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
    let mut replies = vec![reply(None)];
    for (at, fits) in (0..).zip(fits) {
        if *fits == Fits::Sometimes {
            replies.push(reply(Some(at)));
        }
    }
    replies
}
