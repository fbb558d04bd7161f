//! What the kernel shows of the firewalls on this host, as values.

use std::collections::{BTreeMap, BTreeSet};

use virt_forward_policy::netfilter::{ChainName, Family};

/// What a rule does with the packets that it is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Verdict {
    /// They go on to the next rule.
    #[default]
    Continue,
    /// They have passed this base chain.
    Accept,
    /// Dropped, rejected.
    Refuse,
    /// Back to the chain they came from; in a base chain, its policy.
    Return,
    /// To another chain, and back after its last rule.
    Jump(String),
    /// To another chain, whose end is the end of this one.
    Goto(String),
    /// A map, a set of verdicts or a program decides.
    Unknown,
}

/// Which packets a rule is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum About {
    /// Some of them.
    #[default]
    Some,
    /// All of IPv4, or all of IPv6.
    Family(Family),
    /// All of one transport protocol, which the rule rejects with an answer of that protocol's:
    /// the usual line above the one that refuses the rest.
    Protocol,
    /// All of them.
    All,
}

/// As much of a foreign rule as matters here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// The kernel's number for it, never used twice in a table; 0 in x_tables.
    pub handle: u32,
    /// Its comment.
    pub comment: Option<String>,
    /// What it does.
    pub verdict: Verdict,
    /// Which packets it is about.
    pub about: About,
    /// It logs them.
    pub logs: bool,
    /// It is about the packets with one of these bits in their mark, and no others; 0 where
    /// it is about anything else.
    pub mark: u32,
}

impl Rule {
    /// Whether it is a gate of ours.
    pub fn is_ours(&self) -> bool {
        self.comment.as_deref() == Some(crate::COMMENT)
    }

    /// Whether it is about every packet that comes to it.
    pub fn is_for_all(&self) -> bool {
        self.about == About::All
    }

    /// Whether it refuses every packet that comes to it.
    pub fn refuses_all(&self) -> bool {
        self.is_for_all() && self.verdict == Verdict::Refuse
    }

    /// Whether it lets everything pass that has `mark`.
    pub fn accepts(&self, mark: u32) -> bool {
        self.verdict == Verdict::Accept && (self.is_for_all() || self.mark & mark != 0)
    }

    /// The chain that it leads to.
    pub fn target(&self) -> Option<&str> {
        match &self.verdict {
            Verdict::Jump(chain) | Verdict::Goto(chain) => Some(chain),
            _ => None,
        }
    }
}

/// Where a base chain stands in the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Base {
    /// Lower runs first.
    pub priority: i32,
    /// Its policy is drop.
    pub drops: bool,
}

/// A chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// Its name.
    pub name: ChainName,
    /// Where it stands, if it is a base chain of the forward hook.
    pub base: Option<Base>,
    /// A running program owns the table (`flags owner`): nobody else can change it.
    pub is_owned: bool,
    /// First to last, as far as they were asked for; gates of ours among them.
    pub rules: Vec<Rule>,
}

impl Chain {
    /// Its rules without ours: all positions here are counted in them.
    pub fn foreign(&self) -> impl Iterator<Item = &Rule> {
        self.rules.iter().filter(|rule| !rule.is_ours())
    }

    /// How many foreign rules there are.
    pub fn length(&self) -> usize {
        self.foreign().count()
    }

    /// The position of the first foreign rule that jumps to a chain of such a name.
    pub fn first_jump(&self, named: impl Fn(&str) -> bool) -> Option<usize> {
        self.foreign()
            .position(|rule| rule.target().is_some_and(&named))
    }

    /// Whether some foreign rule jumps to a chain of such a name.
    pub fn jumps_to(&self, named: impl Fn(&str) -> bool) -> bool {
        self.first_jump(named).is_some()
    }

    /// Whether a new packet that no rule of this chain knows is refused here.
    pub fn refuses_by_default(&self) -> bool {
        let is_drop = self.base.is_some_and(|base| base.drops);
        is_drop || self.foreign().any(Rule::refuses_all)
    }

    /// Whether a rule that is not ours already lets everything pass that has `mark`, before
    /// any that refuses all.
    pub fn lets_pass(&self, mark: u32) -> bool {
        let mut rules = self.foreign();
        let decides = rules.find(|rule| rule.accepts(mark) || rule.refuses_all());
        decides.is_some_and(|rule| rule.accepts(mark))
    }
}

/// The chains that matter, or all that there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chains(BTreeMap<ChainName, Chain>);

impl FromIterator<Chain> for Chains {
    fn from_iter<I: IntoIterator<Item = Chain>>(chains: I) -> Self {
        let named = chains.into_iter().map(|chain| (chain.name.clone(), chain));
        Self(named.collect())
    }
}

impl Chains {
    /// One of them.
    pub fn get(&self, name: &ChainName) -> Option<&Chain> {
        self.0.get(name)
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &Chain> {
        self.0.values()
    }

    /// The base chains of the forward hook.
    pub fn bases(&self) -> impl Iterator<Item = &Chain> {
        self.all().filter(|chain| chain.base.is_some())
    }

    /// One more.
    pub fn add(&mut self, chain: Chain) {
        self.0.insert(chain.name.clone(), chain);
    }

    /// Whether some rule below `base` may refuse some packet. As far as rules are known here:
    /// what a map says is not.
    pub fn may_refuse(&self, base: &Chain) -> bool {
        base.refuses_by_default()
            || self.reached(base).any(|chain| {
                let mut rules = chain.foreign();
                rules.any(|rule| matches!(rule.verdict, Verdict::Refuse | Verdict::Unknown))
            })
    }

    /// `base`, and every chain that its jumps lead to.
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
