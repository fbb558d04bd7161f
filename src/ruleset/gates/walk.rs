//! The path of a marked packet through a base chain, up to the first rule that refuses every packet.
//!
//! Input: a root chain, the chains of the host and the chains that may have a gate. Output: the
//! positions of gates, and how the path ends.
//!
//! Only rules that match every packet continue or end the path. A rule that matches some packets is a
//! denial that still applies, or an exception from one, and never moves a gate up. If packets may
//! return from a chain that refuses the others, the path continues, and a second gate may follow.

use std::collections::BTreeMap;

use super::{
    Firewall, Own, Placement,
    chain_model::{About, Chain, Chains, Rule, Verdict},
    reach::Reach,
};
use virt_forward_policy::netfilter::{ChainName, Family};

/// The chains that may have a gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ground<'a> {
    /// All chains that no program manages.
    Unmanaged,
    /// One chain, which the config names.
    Only(&'a ChainName),
    /// None: only the end of the path is of interest.
    Nothing,
}

/// The end of a chain for marked packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// They return to the calling chain.
    Leaves,
    /// They are accepted, by a gate or another rule; some may have returned before.
    Passes { some_leave: bool },
    /// They are refused, and the chain may not have a gate; some may have returned before.
    Refuses { some_leave: bool },
}

/// The state of a walk along the path.
pub(super) struct Walk<'a> {
    chains: &'a Chains,
    known: &'a [Box<dyn Firewall>],
    root: &'a Chain,
    ground: Ground<'a>,
    mark: u32,
    reach: Reach,
    ends: BTreeMap<&'a ChainName, End>,
    refuse: BTreeMap<ChainName, bool>,
    placements: Vec<Placement>,
}

/// Consecutive rules that may refuse every packet together, one family each for example.
#[derive(Clone, Copy, Debug, Default)]
struct Run {
    start: Option<usize>,
    ip: bool,
    ip6: bool,
}

impl<'a> Walk<'a> {
    /// A walk through `root`, for packets with `mark`.
    pub(super) fn new(
        root: &'a Chain,
        chains: &'a Chains,
        known: &'a [Box<dyn Firewall>],
        ground: Ground<'a>,
        mark: u32,
    ) -> Self {
        Self {
            chains,
            known,
            root,
            ground,
            mark,
            reach: reach(root, chains, known),
            ends: BTreeMap::new(),
            refuse: BTreeMap::new(),
            placements: Vec::new(),
        }
    }

    /// The positions of gates, and the end of the path.
    pub(super) fn outcome(mut self) -> (Vec<Placement>, End) {
        let end = self.chain(self.root);
        (self.placements, end)
    }

    fn chain(&mut self, chain: &'a Chain) -> End {
        if let Some(end) = self.ends.get(&chain.name) {
            return *end;
        }
        // Ends the recursion in a cycle, which the kernel refuses to load.
        self.ends.insert(&chain.name, End::Leaves);
        let end = self.rules(chain);
        self.ends.insert(&chain.name, end);
        end
    }

    fn rules(&mut self, chain: &'a Chain) -> End {
        let mut some_leave = false;
        let mut run = Run::default();
        for (at, rule) in chain.foreign().enumerate() {
            if rule.accepts(self.mark) {
                return End::Passes { some_leave };
            }
            if self.jumps_to_refusal(chain, rule) {
                return self.place(chain, at, at, some_leave);
            }
            if rule.verdict == Verdict::Refuse && run.add(rule.about, at) {
                return self.refused(chain, run.top(at), some_leave);
            }
            let end = match (&rule.verdict, rule.is_for_all()) {
                (Verdict::Return, true) => return self.last(chain, run.top(at), some_leave),
                (Verdict::Jump(_) | Verdict::Goto(_), true) => self.target(chain, rule),
                _ => End::Leaves,
            };
            some_leave |= !rule.is_for_all() && may_leave(rule);
            match end {
                End::Refuses { .. } => return self.refused(chain, run.top(at), some_leave),
                End::Passes { some_leave: false } => return End::Passes { some_leave },
                End::Passes { some_leave: true } | End::Leaves => {}
            }
            if rule.is_for_all() && matches!(rule.verdict, Verdict::Goto(_)) {
                return match end {
                    End::Passes { .. } if !self.is_root(chain) => End::Passes { some_leave: true },
                    _ => self.last(chain, run.top(at), some_leave),
                };
            }
            if !self.is_part_of_refusal(chain, rule) {
                run = Run::default();
            }
        }
        self.last(chain, run.top(chain.length()), some_leave)
    }

    /// The end of the chain that a rule for every packet jumps to.
    fn target(&mut self, chain: &Chain, rule: &Rule) -> End {
        let Some(name) = rule.target().map(|to| chain.name.beside(to)) else {
            return End::Leaves;
        };
        match self.judged(&name) {
            Some(chain) => self.chain(chain),
            None => End::Leaves,
        }
    }

    /// The chain of that name, if every packet reaches it and it is within the bounds.
    fn judged(&self, name: &ChainName) -> Option<&'a Chain> {
        let is_known = self.reach.known.contains(name);
        self.chains.get(name).filter(|_| is_known)
    }

    /// Whether the rule jumps to a chain that refuses every allowed packet, together with others.
    fn jumps_to_refusal(&self, chain: &Chain, rule: &Rule) -> bool {
        let name = rule.target().map(|to| chain.name.beside(to));
        let own = name.and_then(|name| own(self.known, &name));
        rule.is_for_all() && own == Some(Own::Refuses)
    }

    /// The end after the last rule: the policy, or a return to the calling chain.
    fn last(&mut self, chain: &'a Chain, top: usize, some_leave: bool) -> End {
        if !self.is_root(chain) {
            return End::Leaves;
        }
        // A chain that the config names gets a gate, even if it does not refuse every packet itself.
        let is_named = self.ground == Ground::Only(&chain.name);
        if is_named || chain.base.is_some_and(|base| base.drops) {
            return self.refused(chain, top, some_leave);
        }
        End::Passes { some_leave }
    }

    /// Every packet is refused from the rule at `top` on. Rules that log this stay below the gate.
    fn refused(&mut self, chain: &'a Chain, top: usize, some_leave: bool) -> End {
        let rules: Vec<_> = chain.foreign().take(top).collect();
        let only_logs = |rule: &&&Rule| self.only_logs(chain, rule);
        let logging = rules.iter().rev().take_while(only_logs).count();
        self.place(chain, top - logging, top, some_leave)
    }

    /// Adds a gate at position `at`, which has an effect up to position `top`.
    fn place(&mut self, chain: &'a Chain, at: usize, top: usize, some_leave: bool) -> End {
        if !self.may_change(chain) {
            return End::Refuses { some_leave };
        }
        let mut below = 0;
        for (position, rule) in chain.foreign().enumerate().take(at) {
            if self.holds(chain, rule) {
                below = position + 1;
            }
        }
        self.placements
            .push(Placement::between(chain, below, at, top));
        End::Passes { some_leave }
    }

    fn is_root(&self, chain: &Chain) -> bool {
        chain.name == self.root.name
    }

    fn may_change(&self, chain: &Chain) -> bool {
        match self.ground {
            Ground::Unmanaged => self.is_root(chain) || own(self.known, &chain.name).is_none(),
            Ground::Only(name) => chain.name == *name,
            Ground::Nothing => false,
        }
    }

    /// Whether a rule has to stay above the gate: it refuses some packets, or exempts them from a rule
    /// that does.
    fn holds(&mut self, chain: &Chain, rule: &Rule) -> bool {
        match &rule.verdict {
            Verdict::Refuse | Verdict::Return | Verdict::Unknown => true,
            Verdict::Jump(to) | Verdict::Goto(to) => self.may_refuse(chain.name.beside(to)),
            Verdict::Accept | Verdict::Continue => false,
        }
    }

    /// Whether a chain may refuse a packet. A chain that only some packets reach is not read.
    fn may_refuse(&mut self, name: ChainName) -> bool {
        let Some(chain) = self.judged(&name) else {
            return true;
        };
        if let Some(known) = self.refuse.get(&name) {
            return *known;
        }
        self.refuse.insert(name.clone(), true);
        let refuses = chain.foreign().any(|rule| match &rule.verdict {
            Verdict::Refuse | Verdict::Unknown => true,
            Verdict::Jump(to) | Verdict::Goto(to) => self.may_refuse(name.beside(to)),
            Verdict::Return | Verdict::Accept | Verdict::Continue => false,
        });
        self.refuse.insert(name, refuses);
        refuses
    }

    /// Whether a rule calls a chain that only logs, as ufw does before it refuses: accepted packets must
    /// not be logged as refused.
    fn only_logs(&self, chain: &Chain, rule: &Rule) -> bool {
        let Verdict::Jump(to) = &rule.verdict else {
            return false;
        };
        let is_quiet = |rule: &Rule| match rule.verdict {
            Verdict::Continue => rule.logs,
            Verdict::Return => true,
            _ => false,
        };
        let called = self.judged(&chain.name.beside(to));
        rule.is_for_all() && called.is_some_and(|called| called.foreign().all(is_quiet))
    }

    /// Whether the rule belongs to a run of rules that refuse every packet together.
    fn is_part_of_refusal(&self, chain: &Chain, rule: &Rule) -> bool {
        match rule.verdict {
            Verdict::Refuse => rule.about != About::Some,
            Verdict::Continue => rule.logs,
            Verdict::Jump(_) => self.only_logs(chain, rule),
            _ => false,
        }
    }
}

/// Whether some packets may leave their chain by this rule.
fn may_leave(rule: &Rule) -> bool {
    matches!(
        rule.verdict,
        Verdict::Return | Verdict::Goto(_) | Verdict::Unknown
    )
}

impl Run {
    /// Adds a refusal at that position; returns whether every packet is refused now.
    fn add(&mut self, about: About, at: usize) -> bool {
        match about {
            About::Some => return false,
            About::All => return true,
            About::Family(family) => {
                self.ip |= family == Family::Ip;
                self.ip6 |= family == Family::Ip6;
            }
            About::Protocol => {}
        }
        self.start.get_or_insert(at);
        self.ip && self.ip6
    }

    /// The position of the first rule of the run; `at` if it is empty.
    fn top(self, at: usize) -> usize {
        self.start.unwrap_or(at)
    }
}

/// The role of a chain that a program manages.
fn own(known: &[Box<dyn Firewall>], name: &ChainName) -> Option<Own> {
    known.iter().find_map(|known| known.own(name))
}

/// The chains that every packet of `root` reaches.
pub(super) fn reach(root: &Chain, chains: &Chains, known: &[Box<dyn Firewall>]) -> Reach {
    let follows = |name: &ChainName| !matches!(own(known, name), Some(Own::Refuses | Own::Denies));
    Reach::of(root, chains, follows)
}
