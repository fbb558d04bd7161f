//! Gates: rules in the chains of other firewalls that accept the packets that the table has marked.
//!
//! Input: the chains of the host, as [`Chains`]. Output: a [`Survey`], which says for each base chain of
//! the forward hook where its gate belongs and whether it is there, and the edits that open or close
//! the gates ([`to_open`], [`to_close`]). Nothing here reads or writes the kernel.
//!
//! An `accept` ends its own base chain only, so each base chain of the forward hook that would refuse
//! allowed packets needs one gate, for any number of networks. The gate stands directly before the
//! first rule that refuses every packet, through jumps, or at the end, before the policy. Rules that
//! refuse only some packets stay above it and still apply. Every survey checks the position again: a
//! gate that is too high moves down, and one that is too low moves up. It stays while no rule between
//! the two positions refuses a packet.
//!
//! A shortcut is a gate for speed alone: it returns from a chain that refuses nothing and whose rules
//! every packet would pass one by one.
//!
//! Each firewall has a file, with an implementation of [`Firewall`], and a line in [`firewalls`].

mod admin_chains;
mod blocking_chains;
pub mod chain_model;
mod default_drop;
pub mod direct;
mod docker;
mod firewalld;
mod libvirt;
mod nft;
mod owner;
mod reach;
#[cfg(test)]
mod tests;
mod ufw;
mod walk;

use chain_model::{Chain, Chains};
use walk::{End, Ground, Walk};

pub use blocking_chains::{BlockingChain, NoGateReason, Remedy};
pub use firewalld::{UnzonedBridge, libvirts_zone, rich_rules};
pub use libvirt::are_libvirt_rules_missing;
pub use nft::edit;
pub use owner::Owner;

use crate::table;
use virt_forward_policy::{config::MarkBit, netfilter::ChainName};

/// Every known firewall; `extra` are the administrator's chains that the config names.
pub fn firewalls(extra: &[ChainName]) -> Firewalls {
    Firewalls {
        known: vec![
            Box::new(libvirt::Libvirt),
            Box::new(ufw::Ufw),
            Box::new(firewalld::Firewalld),
            Box::new(docker::Docker),
            Box::new(default_drop::Policy),
        ],
        extra: extra.to_vec(),
    }
}

/// The firewalls that gates are made for.
pub struct Firewalls {
    known: Vec<Box<dyn Firewall>>,
    extra: Vec<ChainName>,
}

/// A firewall that adds rules to base chains of the forward hook.
pub(crate) trait Firewall {
    /// The name of the firewall.
    fn owner(&self) -> Owner;

    /// Whether the firewall has rules in this base chain.
    fn is_in(&self, base: &Chain) -> bool;

    /// Whether such a base chain never refuses a marked packet, for a reason that its rules do not
    /// show.
    fn passes(&self, _: &Chain) -> bool {
        false
    }

    /// The role of a chain that the firewall manages; `None` for any other chain.
    fn own(&self, _: &ChainName) -> Option<Own> {
        None
    }

    /// The chains that shortcuts go to. Each may have a rule per network, so a bounded survey reads only
    /// the first [`SHORTCUT_SCAN_LIMIT`] rules.
    fn heads(&self) -> Vec<ChainName> {
        Vec::new()
    }

    /// The position of a shortcut, if one is worth its cost.
    fn shortcut(&self, _: &Chains) -> Option<Placement> {
        None
    }
}

/// The role of a chain that a program manages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Own {
    /// Together with others it refuses every allowed packet: the gate stands before the first jump to
    /// one of them.
    Refuses,
    /// It refuses some packets. It grows with the number of guests, and is not read.
    Denies,
    /// It is read, but gets no gate, because the program rebuilds it.
    Kept,
}

/// The number of rules above which a shortcut is worth its cost, or worth a move to the head.
const SHORTCUT_THRESHOLD: usize = 16;

/// The number of rules that show whether a shortcut is in its position.
pub const SHORTCUT_SCAN_LIMIT: usize = SHORTCUT_THRESHOLD + 1;

/// The number of rules, gates included, that show whether a chain is within the bounds of [`reach`].
pub const CHAIN_SCAN_LIMIT: usize = reach::LONGEST + 8;

/// The verdict of a gate for marked packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GateVerdict {
    /// `accept`, which ends the base chain.
    Accept,
    /// `return`: the verdict of a shortcut.
    Return,
}

/// The position of a gate. Positions count the rules of others from 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// The chain.
    pub chain: ChainName,
    /// The verdict.
    verdict: GateVerdict,
    /// The lowest position at which a gate may stand: the rules above it still apply.
    below: usize,
    /// The position at which a gate is inserted.
    at: usize,
    /// The highest position at which a gate has an effect.
    above: usize,
}

impl Placement {
    /// Inserted at `at`; an existing gate may stand anywhere from `below` to `above`.
    fn between(chain: &Chain, below: usize, at: usize, above: usize) -> Self {
        Self {
            chain: chain.name.clone(),
            verdict: GateVerdict::Accept,
            below,
            at,
            above,
        }
    }

    /// A shortcut at the head. libvirt inserts the rules of networks that start later above it; it moves
    /// up once these are many, as a move costs more than the evaluation of a few rules.
    fn shortcut(chain: &Chain) -> Self {
        Self {
            chain: chain.name.clone(),
            verdict: GateVerdict::Return,
            below: 0,
            at: 0,
            above: SHORTCUT_THRESHOLD,
        }
    }
}

/// The state of a gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GateState {
    /// One gate, at a position where it has its effect.
    Present,
    /// A gate below rules that refuse every packet, or more than one gate.
    Shadowed,
    /// A gate above rules that refuse some packets and should still apply.
    High,
    /// No gate.
    Missing,
    /// No gate is needed.
    NotNeeded,
}

impl GateState {
    /// The word for output and JSON.
    pub fn word(self) -> &'static str {
        match self {
            GateState::Present => "open",
            GateState::Shadowed => "sunk",
            GateState::High => "too high",
            GateState::Missing => "missing",
            GateState::NotNeeded => "unneeded",
        }
    }
}

/// A base chain that a firewall uses, or the chain of a shortcut, with the state of its gate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// The firewall.
    pub owner: Owner,
    /// The base chain, or the chain of the shortcut.
    pub base: ChainName,
    /// The position of the gate; `None` where none is needed.
    pub placement: Option<Placement>,
    /// The state of the gate.
    pub state: GateState,
    /// Whether the base chain refuses packets that none of its rules accepts.
    pub refuses: bool,
}

impl Site {
    fn of(owner: Owner, base: &Chain, placement: Placement, chains: &Chains) -> Self {
        Self {
            owner,
            base: base.name.clone(),
            state: state(&placement, chains),
            placement: Some(placement),
            refuses: true,
        }
    }

    /// The chain that the gate is in, or would be.
    pub fn chain(&self) -> &ChainName {
        self.placement
            .as_ref()
            .map_or(&self.base, |placement| &placement.chain)
    }
}

/// The firewalls on this host and the state of their gates.
#[derive(Clone, Debug, Default)]
pub struct Survey {
    /// The base chains of firewalls in use.
    pub sites: Vec<Site>,
    /// The chains that need a shortcut.
    pub shortcuts: Vec<Site>,
    /// The chains that block allowed packets and cannot have a gate.
    pub obstacles: Vec<BlockingChain>,
    /// The chains that the config names and that do not exist, or that no forwarded packet reaches.
    pub absent: Vec<ChainName>,
}

impl Survey {
    /// Firewalls in use, followed by shortcuts.
    pub fn all(&self) -> impl Iterator<Item = &Site> {
        self.sites.iter().chain(&self.shortcuts)
    }

    /// The gate that belongs in `chain`.
    fn of(&self, chain: &ChainName) -> Option<&Site> {
        self.all().find(|site| {
            site.placement
                .as_ref()
                .is_some_and(|placement| placement.chain == *chain)
        })
    }
}

/// A gate to insert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Insert {
    /// The position, from 0, of the rule before which it is inserted, after old gates are deleted.
    pub at: usize,
    /// The handle of that rule; `None` at the end of the chain.
    pub before: Option<u32>,
    /// The verdict.
    pub verdict: GateVerdict,
}

/// The edits of one chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainEdit {
    /// The chain.
    pub chain: ChainName,
    /// The handles of gates to delete.
    pub remove: Vec<u32>,
    /// The gate to insert.
    pub insert: Option<Insert>,
}

impl ChainEdit {
    /// Whether the edit inserts a shortcut, which affects speed alone.
    pub fn is_shortcut(&self) -> bool {
        self.insert
            .is_some_and(|new| new.verdict == GateVerdict::Return)
    }
}

impl Firewalls {
    /// The chains to read besides the base chains of the forward hook.
    pub fn inner(&self) -> Vec<ChainName> {
        self.extra.clone()
    }

    /// The chains that every packet reaches and that `chains` lacks. The first [`CHAIN_SCAN_LIMIT`] rules of each
    /// are enough.
    pub fn missing(&self, chains: &Chains) -> Vec<ChainName> {
        let named = self.extra.iter().filter_map(|name| chains.get(name));
        let bases = chains.bases().filter(|base| !self.passes(base));
        let roots = bases.chain(named);
        let missing = roots.flat_map(|root| walk::reach(root, chains, &self.known).missing);
        missing.collect()
    }

    /// The chains of which the first [`SHORTCUT_SCAN_LIMIT`] rules are needed.
    pub fn heads(&self) -> Vec<ChainName> {
        self.known.iter().flat_map(|known| known.heads()).collect()
    }

    /// Surveys all base chains of the forward hook and the chains of shortcuts, for gates that accept
    /// `mark`.
    pub fn survey(&self, chains: &Chains, mark: MarkBit) -> Survey {
        let is_absent =
            |name: &&ChainName| !chains.bases().any(|base| admin_chains::reaches(base, name));
        let mut survey = Survey {
            absent: self.extra.iter().filter(is_absent).cloned().collect(),
            shortcuts: self.shortcuts(chains),
            ..Survey::default()
        };
        for base in chains.bases() {
            match self.judge(base, chains, mark) {
                Ok(sites) => {
                    survey.sites.extend(sites);
                    survey.obstacles.extend(self.unread(base, chains));
                }
                Err(why) => survey
                    .obstacles
                    .extend(self.obstacle(base, chains, mark, why)),
            }
        }
        survey
    }

    /// Whether the base chain never refuses a marked packet.
    fn passes(&self, base: &Chain) -> bool {
        self.owner(base).is_some_and(|known| known.passes(base))
    }

    /// The first firewall that has rules in the base chain.
    fn owner(&self, base: &Chain) -> Option<&dyn Firewall> {
        let mut known = self.known.iter().map(AsRef::as_ref);
        known.find(|known| known.is_in(base))
    }

    /// `base`, which cannot have a gate, if it may refuse allowed packets.
    fn obstacle(
        &self,
        base: &Chain,
        chains: &Chains,
        mark: MarkBit,
        why: NoGateReason,
    ) -> Option<BlockingChain> {
        let mark = if why == NoGateReason::Early {
            0
        } else {
            mark.bit()
        };
        let (_, end) = Walk::new(base, chains, &self.known, Ground::Nothing, mark).outcome();
        let is_certain = matches!(end, End::Refuses { .. });
        let may_refuse = is_certain || !base.lets_pass(mark) && chains.may_refuse(base);
        may_refuse.then(|| BlockingChain::new(&base.name, why, is_certain))
    }

    /// The chains with more rules than the survey reads: they may refuse allowed packets, and no gate
    /// stands above them.
    fn unread(&self, base: &Chain, chains: &Chains) -> Vec<BlockingChain> {
        if self.passes(base) {
            return Vec::new();
        }
        let beyond = walk::reach(base, chains, &self.known).beyond.into_iter();
        let obstacle = |name| BlockingChain::new(&name, NoGateReason::Long, false);
        beyond.map(obstacle).collect()
    }

    fn shortcuts(&self, chains: &Chains) -> Vec<Site> {
        let site = |known: &dyn Firewall| {
            let placement = known.shortcut(chains)?;
            Some(Site {
                owner: known.owner(),
                base: placement.chain.clone(),
                state: state(&placement, chains),
                placement: Some(placement),
                refuses: false,
            })
        };
        let known = self.known.iter().map(AsRef::as_ref);
        known.filter_map(site).collect()
    }

    /// The gates that belong in `base` and in chains that it jumps to; an error where none can exist.
    fn judge(
        &self,
        base: &Chain,
        chains: &Chains,
        mark: MarkBit,
    ) -> Result<Vec<Site>, NoGateReason> {
        let is_early = |at: chain_model::Base| at.priority <= table::FORWARD_PRIORITY;
        if base.base.is_some_and(is_early) {
            return Err(NoGateReason::Early);
        }
        let owner = self.owner(base);
        if let Some(owner) = owner.filter(|known| known.passes(base)) {
            return Ok(vec![unneeded(owner.owner(), base)]);
        }
        let named: Vec<_> = self
            .extra
            .iter()
            .filter(|name| admin_chains::reaches(base, name))
            .collect();
        if base.is_owned {
            return Err(NoGateReason::Owned);
        }
        if owner.is_none() && named.is_empty() {
            return Err(NoGateReason::Unknown);
        }
        let walk = |root, ground| Walk::new(root, chains, &self.known, ground, mark.bit());
        let mut sites: Vec<Site> = Vec::new();
        if let Some(owner) = owner {
            let (placements, _) = walk(base, Ground::Unmanaged).outcome();
            let site = |placement| Site::of(owner.owner(), base, placement, chains);
            sites.extend(placements.into_iter().map(site));
        }
        for name in named {
            let has_one = sites.iter().any(|site| site.chain() == name);
            if let Some(root) = chains.get(name).filter(|_| !has_one) {
                let (placements, _) = walk(root, Ground::Only(name)).outcome();
                let site = |placement| Site::of(Owner::Admin, base, placement, chains);
                sites.extend(placements.into_iter().map(site));
            }
        }
        match owner.map(Firewall::owner) {
            Some(owner) if sites.is_empty() && owner != Owner::Iptables => {
                Ok(vec![unneeded(owner, base)])
            }
            None if sites.is_empty() => Ok(vec![unneeded(Owner::Admin, base)]),
            _ => Ok(sites),
        }
    }
}

/// A base chain that refuses no marked packet.
fn unneeded(owner: Owner, base: &Chain) -> Site {
    Site {
        owner,
        base: base.name.clone(),
        placement: None,
        state: GateState::NotNeeded,
        refuses: base.refuses_by_default(),
    }
}

fn state(placement: &Placement, chains: &Chains) -> GateState {
    let rules = chains
        .get(&placement.chain)
        .map_or(&[][..], |chain| &chain.rules);
    let ours = rules.iter().filter(|rule| rule.is_ours()).count();
    let above = rules.iter().take_while(|rule| !rule.is_ours()).count();
    match ours {
        0 => GateState::Missing,
        1 if above < placement.below => GateState::High,
        1 if above <= placement.above => GateState::Present,
        _ => GateState::Shadowed,
    }
}

/// The edits that put every gate into its position and delete all others. `replaces_all` also replaces
/// gates that are in position: a gate is recognised by its comment, which does not show the mark that
/// it accepts.
pub fn to_open(survey: &Survey, chains: &Chains, replaces_all: bool) -> Vec<ChainEdit> {
    let change = |chain: &Chain| {
        let new = |placement: &Placement| Insert {
            at: placement.at,
            before: chain.foreign().nth(placement.at).map(|rule| rule.handle),
            verdict: placement.verdict,
        };
        match survey.of(&chain.name) {
            Some(site) if site.state == GateState::Present && !replaces_all => None,
            Some(site) => Some(ChainEdit {
                insert: site.placement.as_ref().map(new),
                ..closing(chain)
            }),
            None => Some(closing(chain)),
        }
    };
    chains
        .all()
        .filter_map(change)
        .filter(changes_chain)
        .collect()
}

/// The edits that delete every gate.
pub fn to_close(chains: &Chains) -> Vec<ChainEdit> {
    chains.all().map(closing).filter(changes_chain).collect()
}

fn closing(chain: &Chain) -> ChainEdit {
    let ours = chain.rules.iter().filter(|rule| rule.is_ours());
    ChainEdit {
        chain: chain.name.clone(),
        remove: ours.map(|rule| rule.handle).collect(),
        insert: None,
    }
}

fn changes_chain(change: &ChainEdit) -> bool {
    !change.remove.is_empty() || change.insert.is_some()
}
