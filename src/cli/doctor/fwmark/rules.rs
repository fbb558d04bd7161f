//! Rules that match or set the fwmark.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::{self, Display, Formatter},
};

use virt_forward_policy::{config::MarkBit, netfilter::Engine, sanitize::escape};
use virt_forward_system::exec::rule_dump::IptablesSave;

use super::{iptables, nft};

/// A mask with more bits than this is not a field of one program, but everything outside a field.
const WIDEST_FIELD: u32 = 16;

/// The priorities at which virt-forward's table sets the bit (`filter - 10`) and clears it
/// (`srcnat + 10`).
pub(super) const SET_AT: i32 = -10;
const CLEARED_AT: i32 = 110;

/// The masks of programs, by a prefix of their chains' names
/// (<https://github.com/fwmark/registry>, and the documentation of each program).
const KNOWN_MASKS: [(&str, u32); 8] = [
    ("cali-", 0xffff_0000),
    ("CILIUM_", 0xffff_1fff),
    ("KUBE-", 0x0000_c000),
    ("ts-", 0x00ff_0000),
    ("NETAVARK", 0x0000_3000),
    ("CNI-", 0x0000_2000),
    ("WEAVE", 0x0006_0000),
    ("mwan3", 0x0000_3f00),
];

/// What a rule does with the fwmark.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FwmarkUse {
    /// The bits that the program owns.
    pub(crate) owned: u32,
    /// The bits that the rule may change.
    pub(crate) changed: u32,
    /// The bits that the rule sets to 1, as far as it shows.
    pub(crate) set: u32,
    /// The bits that the rule saves to the connection mark.
    pub(crate) saved: u32,
    /// The rule has other conditions, so it applies to some packets only.
    pub(crate) is_conditional: bool,
    /// The rule matches the fwmark and leaves it unchanged, as an administrator's own gate does.
    pub(crate) only_matches: bool,
}

impl FwmarkUse {
    /// The bits that a program owns that uses `value` with `mask`.
    pub(crate) fn owned_bits(value: u32, mask: u32) -> u32 {
        if mask.count_ones() <= WIDEST_FIELD {
            mask
        } else {
            value & mask
        }
    }

    fn is_any(&self) -> bool {
        self.owned | self.changed | self.set | self.saved != 0
    }
}

/// A chain as a program lists it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ChainRef {
    /// The family, or `iptables-legacy` and `ip6tables-legacy`.
    pub(crate) family: String,
    pub(crate) table: String,
    pub(crate) chain: String,
}

impl Display for ChainRef {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (table, chain) = (escape(&self.table), escape(&self.chain));
        write!(f, "{} {table} {chain}", self.family)
    }
}

/// The hook and priority of a base chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BaseHook<'a> {
    pub(crate) hook: &'a str,
    pub(crate) priority: i32,
}

/// All rules of the host that use the fwmark.
#[derive(Clone, Debug, Default)]
pub(crate) struct FwmarkRules {
    pub(super) uses: Vec<(ChainRef, FwmarkUse)>,
    /// Base chains that forwarded packets traverse while they carry the bit.
    marked: BTreeSet<ChainRef>,
    /// Those of the forward hook, which precede the gates.
    before_gates: BTreeSet<ChainRef>,
    /// The chains that each chain jumps to.
    jumps: BTreeMap<ChainRef, BTreeSet<ChainRef>>,
    chain_names: BTreeSet<String>,
}

/// A routing rule that matches a fwmark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RoutingRule {
    pub(crate) priority: u32,
    pub(crate) value: u32,
    pub(crate) mask: u32,
}

impl RoutingRule {
    pub(super) fn owned_bits(&self) -> u32 {
        FwmarkUse::owned_bits(self.value, self.mask)
    }
}

/// Everything on the host that uses the fwmark.
#[derive(Clone, Debug, Default)]
pub(crate) struct FwmarkUsers {
    pub(crate) rules: FwmarkRules,
    pub(crate) routing: Vec<RoutingRule>,
}

impl FwmarkRules {
    /// Parses nft's JSON and the output of `iptables-save`. Tables in the latter are skipped in
    /// the former, which alone has the tables that iptables calls incompatible.
    pub(crate) fn parse(nft: &str, saves: &[IptablesSave]) -> serde_json::Result<Self> {
        let mut rules = Self::default();
        let mut parsed = BTreeSet::new();
        for save in saves {
            iptables::parse(&mut rules, save);
            if save.engine == Engine::Nft {
                let tables = save.text.lines().filter_map(|line| line.strip_prefix('*'));
                parsed.extend(tables.map(|table| (save.family.word(), table)));
            }
        }
        nft::parse(&mut rules, nft, |family, table| {
            parsed.contains(&(family, table))
        })?;
        Ok(rules)
    }

    pub(super) fn add_chain(&mut self, chain: ChainRef, base: Option<BaseHook>) {
        self.chain_names.insert(chain.chain.clone());
        let Some(BaseHook { hook, priority }) = base else {
            return;
        };
        let is_before_gates = hook == "forward" && priority >= SET_AT;
        if is_before_gates {
            self.before_gates.insert(chain.clone());
        }
        if is_before_gates || hook == "postrouting" && priority < CLEARED_AT {
            self.marked.insert(chain);
        }
    }

    pub(super) fn add_jump(&mut self, from: &ChainRef, to: &str) {
        let to = ChainRef {
            chain: to.to_owned(),
            ..from.clone()
        };
        self.jumps.entry(from.clone()).or_default().insert(to);
    }

    pub(super) fn add_use(&mut self, chain: &ChainRef, found: FwmarkUse) {
        if found.is_any() {
            self.uses.push((chain.clone(), found));
        }
    }

    /// Chains that forwarded packets traverse while they carry the bit.
    pub(super) fn marked_chains(&self) -> BTreeSet<&ChainRef> {
        self.reachable(&self.marked)
    }

    /// Those of them that precede the gates.
    pub(super) fn chains_before_gates(&self) -> BTreeSet<&ChainRef> {
        self.reachable(&self.before_gates)
    }

    fn reachable<'a>(&'a self, bases: &'a BTreeSet<ChainRef>) -> BTreeSet<&'a ChainRef> {
        let mut reached: BTreeSet<&ChainRef> = bases.iter().collect();
        let mut queue: Vec<&ChainRef> = reached.iter().copied().collect();
        while let Some(chain) = queue.pop() {
            for to in self.jumps.get(chain).into_iter().flatten() {
                if reached.insert(to) {
                    queue.push(to);
                }
            }
        }
        reached
    }

    /// The masks of the programs whose chains exist, whether or not a rule uses them at present.
    pub(super) fn known_masks(&self) -> u32 {
        let has_chain = |prefix: &str| {
            let mut names = self.chain_names.iter();
            names.any(|name| name.starts_with(prefix))
        };
        let present = KNOWN_MASKS.iter().filter(|(prefix, _)| has_chain(prefix));
        present.fold(0, |all, (_, mask)| all | mask)
    }
}

impl FwmarkUsers {
    /// A bit that no program uses: first of those that few programs are known to use.
    pub(super) fn unused_bit(&self, own: MarkBit) -> Option<MarkBit> {
        let is_gate = |found: &FwmarkUse| found.only_matches && found.owned == own.bit();
        let rules = self.rules.uses.iter().map(|(_, found)| found);
        let by_rules = rules
            .filter(|found| !is_gate(found))
            .fold(0, |all, found| all | found.owned);
        let by_routing = self
            .routing
            .iter()
            .fold(0, |all, rule| all | rule.owned_bits());
        let used = by_rules | by_routing | self.rules.known_masks() | own.bit();
        let order = [28, 27, 26, 29, 30, 31].into_iter().chain((0..26).rev());
        let mut bits = order.map(|place| 1_u32 << place);
        MarkBit::new(bits.find(|bit| used & bit == 0)?.into())
    }
}
