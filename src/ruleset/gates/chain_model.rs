//! The chains and rules of the firewalls on this host, as values, as far as gates depend on them.

use std::collections::{BTreeMap, BTreeSet};

use virt_forward_policy::netfilter::{ChainName, Family};

/// The verdict of a rule for the packets that it matches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Verdict {
    /// None, or `continue`: the next rule follows.
    #[default]
    Continue,
    /// `accept`, which ends the base chain.
    Accept,
    /// `drop` or `reject`.
    Refuse,
    /// `return`: the calling chain continues; in a base chain the policy applies.
    Return,
    /// `jump` to that chain.
    Jump(String),
    /// `goto` that chain.
    Goto(String),
    /// A verdict map, a queue or an unknown target decides.
    Unknown,
}

/// The packets that a rule matches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum About {
    /// Some packets.
    #[default]
    Some,
    /// All packets of IPv4, or all of IPv6.
    Family(Family),
    /// All packets of one transport protocol, which the rule rejects with that protocol's answer. Such
    /// a rule usually precedes the one that refuses the rest.
    Protocol,
    /// All packets.
    All,
}

/// A rule, as far as gates depend on it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// The handle, unique in a table for its lifetime; 0 in x_tables.
    pub handle: u32,
    /// The comment.
    pub comment: Option<String>,
    /// The verdict.
    pub verdict: Verdict,
    /// The packets that it matches.
    pub about: About,
    /// Whether it logs them.
    pub logs: bool,
    /// The bits of which one has to be set in a packet's mark, where that is its only condition;
    /// otherwise 0.
    pub mark: u32,
}

impl Rule {
    /// Whether it is a gate, by its comment.
    pub fn is_ours(&self) -> bool {
        self.comment.as_deref() == Some(crate::COMMENT)
    }

    /// Whether it matches every packet.
    pub fn is_for_all(&self) -> bool {
        self.about == About::All
    }

    /// Whether it refuses every packet.
    pub fn refuses_all(&self) -> bool {
        self.is_for_all() && self.verdict == Verdict::Refuse
    }

    /// Whether it accepts every packet with `mark`.
    pub fn accepts(&self, mark: u32) -> bool {
        self.verdict == Verdict::Accept && (self.is_for_all() || self.mark & mark != 0)
    }

    /// The chain that it jumps or goes to.
    pub fn target(&self) -> Option<&str> {
        match &self.verdict {
            Verdict::Jump(chain) | Verdict::Goto(chain) => Some(chain),
            _ => None,
        }
    }
}

/// The registration of a base chain at the forward hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Base {
    /// The priority; a lower one runs first.
    pub priority: i32,
    /// Whether the policy is `drop`.
    pub drops: bool,
}

/// A chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// The name.
    pub name: ChainName,
    /// The registration, if it is a base chain of the forward hook.
    pub base: Option<Base>,
    /// Whether a running program owns the table (`flags owner`), so that no other can change it.
    pub is_owned: bool,
    /// The rules in order, gates included, as far as they were read.
    pub rules: Vec<Rule>,
}

impl Chain {
    /// The rules without gates, in which positions are counted.
    pub fn foreign(&self) -> impl Iterator<Item = &Rule> {
        self.rules.iter().filter(|rule| !rule.is_ours())
    }

    /// The number of rules without gates.
    pub fn length(&self) -> usize {
        self.foreign().count()
    }

    /// The position of the first rule that jumps to a chain whose name fits `named`.
    pub fn first_jump(&self, named: impl Fn(&str) -> bool) -> Option<usize> {
        self.foreign()
            .position(|rule| rule.target().is_some_and(&named))
    }

    /// Whether a rule jumps to a chain whose name fits `named`.
    pub fn jumps_to(&self, named: impl Fn(&str) -> bool) -> bool {
        self.first_jump(named).is_some()
    }

    /// Whether the chain refuses packets that no rule of it accepts.
    pub fn refuses_by_default(&self) -> bool {
        let is_drop = self.base.is_some_and(|base| base.drops);
        is_drop || self.foreign().any(Rule::refuses_all)
    }

    /// Whether a rule other than a gate accepts every packet with `mark`, before any rule that refuses
    /// every packet.
    pub fn lets_pass(&self, mark: u32) -> bool {
        let mut rules = self.foreign();
        let decides = rules.find(|rule| rule.accepts(mark) || rule.refuses_all());
        decides.is_some_and(|rule| rule.accepts(mark))
    }
}

/// Chains by name: those that a survey needs, or all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chains(BTreeMap<ChainName, Chain>);

impl FromIterator<Chain> for Chains {
    fn from_iter<I: IntoIterator<Item = Chain>>(chains: I) -> Self {
        let named = chains.into_iter().map(|chain| (chain.name.clone(), chain));
        Self(named.collect())
    }
}

impl Chains {
    /// The chain of that name.
    pub fn get(&self, name: &ChainName) -> Option<&Chain> {
        self.0.get(name)
    }

    /// All chains.
    pub fn all(&self) -> impl Iterator<Item = &Chain> {
        self.0.values()
    }

    /// The base chains of the forward hook.
    pub fn bases(&self) -> impl Iterator<Item = &Chain> {
        self.all().filter(|chain| chain.base.is_some())
    }

    /// Adds a chain, or replaces the one of that name.
    pub fn add(&mut self, chain: Chain) {
        self.0.insert(chain.name.clone(), chain);
    }

    /// Whether a rule in `base`, or in a chain that it leads to, may refuse a packet. A verdict map may.
    pub fn may_refuse(&self, base: &Chain) -> bool {
        base.refuses_by_default()
            || self.reached(base).any(|chain| {
                let mut rules = chain.foreign();
                rules.any(|rule| matches!(rule.verdict, Verdict::Refuse | Verdict::Unknown))
            })
    }

    /// `base` and every chain that its jumps lead to.
    fn reached<'a>(&'a self, base: &'a Chain) -> impl Iterator<Item = &'a Chain> {
        let mut seen = vec![base];
        let mut known = BTreeSet::from([&base.name]);
        let mut next = 0;
        while let Some(chain) = seen.get(next).copied() {
            next += 1;
            for rule in &chain.rules {
                let to = rule.target().map(|to| base.name.beside(to));
                if let Some(to) = to.and_then(|to| self.get(&to))
                    && known.insert(&to.name)
                {
                    seen.push(to);
                }
            }
        }
        seen.into_iter()
    }
}
