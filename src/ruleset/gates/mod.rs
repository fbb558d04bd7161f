//! Gates: one rule in a foreign firewall that accepts the packets our table has marked.
//!
//! An accept ends its base chain and no other, so each base chain of the forward hook that
//! would refuse us needs one, whatever the number of networks. It stands directly before the
//! first rule that refuses everything we open, through jumps, or at the end before the policy:
//! what refuses only some packets stands above it and holds. Each look judges its place again, so
//! one that stands too high is moved down, and one that stands too low is moved up; while no rule
//! lies in between that refuses anything, it is left where it is.
//!
//! A shortcut is a gate for speed alone: it returns from a chain that refuses nothing and that
//! every packet would walk to its end.
//!
//! A firewall is a file here, with what implements [`Firewall`], and its line in
//! [`firewalls`]. This folder decides, from the chains that there are, what is to be done; it
//! sees no kernel.

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

pub use blocking_chains::{Obstacle, Remedy, Why};
pub use firewalld::{Outsider, libvirts_zone, rich_rules};
pub use libvirt::rules_are_gone;
pub use nft::edit;
pub use owner::Owner;

use crate::table;
use virt_forward_policy::{config::MarkBit, netfilter::ChainName};

/// Every firewall that we know; `extra` are chains that the config names.
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

/// What is to be known of a firewall.
pub(crate) trait Firewall {
    /// The owner of the gates in its chains.
    fn owner(&self) -> Owner;

    /// Whether it has rules in this base chain.
    fn is_in(&self, base: &Chain) -> bool;

    /// Whether such a base chain refuses no packet of ours, whatever its rules say.
    fn passes(&self, _: &Chain) -> bool {
        false
    }

    /// What a chain of its own means; nothing where the chain is not its own.
    fn own(&self, _: &ChainName) -> Option<Own> {
        None
    }

    /// Chains that shortcuts go to: as each may have a rule for each network, only the first
    /// [`HEAD`] rules of them are looked at, unless all are.
    fn heads(&self) -> Vec<ChainName> {
        Vec::new()
    }

    /// Where a shortcut belongs, if one is worth it.
    fn shortcut(&self, _: &Chains) -> Option<Spot> {
        None
    }
}

/// What a chain that a program keeps for itself means to a gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Own {
    /// With others like it, it refuses what we open: a gate stands before the first of them.
    Refuses,
    /// It refuses some packets. It grows with the guests, and is not looked into.
    Denies,
    /// It is looked into, and no gate goes there: the program fills it anew.
    Kept,
}

/// So many rules are walked before a shortcut is worth it, or worth being moved up.
const FEW: usize = 16;

/// So many rules show whether a shortcut is where it should be.
pub const HEAD: usize = FEW + 1;

/// So many rules of a chain show whether it is within the bounds of [`reach`], with gates of ours
/// among them.
pub const SHOWN: usize = reach::LONGEST + 8;

/// What a gate says to the packets that are marked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Says {
    /// They have passed this base chain.
    Accept,
    /// Back to the chain they came from: a shortcut.
    Return,
}

/// Where a gate has to be. Positions count foreign rules from 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spot {
    /// The chain.
    pub chain: ChainName,
    /// What it says there.
    says: Says,
    /// From behind which rules on one stands: they hold.
    below: usize,
    /// Before which rule a new one goes.
    at: usize,
    /// Up to before which rule one works.
    above: usize,
}

impl Spot {
    /// Before the rule at `at`; it may stand anywhere from `below` to `above`.
    fn between(chain: &Chain, below: usize, at: usize, above: usize) -> Self {
        Self {
            chain: chain.name.clone(),
            says: Says::Accept,
            below,
            at,
            above,
        }
    }

    /// A shortcut at the head. The rules of networks that start later go above it; it is moved
    /// up once they are many, as moving costs more than walking some.
    fn shortcut(chain: &Chain) -> Self {
        Self {
            chain: chain.name.clone(),
            says: Says::Return,
            below: 0,
            at: 0,
            above: FEW,
        }
    }
}

/// What a place shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// One gate, where it works.
    Standing,
    /// A gate that other rules outrank, or more than one.
    Sunk,
    /// A gate above rules that refuse some packets, which it need not skip.
    High,
    /// No gate.
    Missing,
    /// No gate is needed.
    Unneeded,
}

impl State {
    /// One word for people and for JSON.
    pub fn word(self) -> &'static str {
        match self {
            State::Standing => "open",
            State::Sunk => "sunk",
            State::High => "too high",
            State::Missing => "missing",
            State::Unneeded => "unneeded",
        }
    }
}

/// A base chain where a firewall is in use, or a chain with a shortcut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// The firewall that the chain belongs to.
    pub owner: Owner,
    /// That chain.
    pub base: ChainName,
    /// Where its gate belongs; nothing where none is needed.
    pub spot: Option<Spot>,
    /// What is there.
    pub state: State,
    /// The base chain refuses what none of its rules accepts.
    pub refuses: bool,
}

impl Site {
    fn of(owner: Owner, base: &Chain, spot: Spot, chains: &Chains) -> Self {
        Self {
            owner,
            base: base.name.clone(),
            state: state(&spot, chains),
            spot: Some(spot),
            refuses: true,
        }
    }

    /// The chain that the gate is in, or would be.
    pub fn chain(&self) -> &ChainName {
        self.spot.as_ref().map_or(&self.base, |spot| &spot.chain)
    }
}

/// What there is on this host, judged.
#[derive(Clone, Debug, Default)]
pub struct Survey {
    /// Firewalls in use.
    pub sites: Vec<Site>,
    /// Chains that a shortcut belongs in.
    pub shortcuts: Vec<Site>,
    /// Chains that stand in the way, and stay closed.
    pub obstacles: Vec<Obstacle>,
    /// Chains that the config names and that are not there, or see no packet of ours.
    pub absent: Vec<ChainName>,
}

impl Survey {
    /// Firewalls in use, and then chains of shortcuts.
    pub fn all(&self) -> impl Iterator<Item = &Site> {
        self.sites.iter().chain(&self.shortcuts)
    }

    /// What stands, or should stand, in `chain`.
    fn of(&self, chain: &ChainName) -> Option<&Site> {
        self.all()
            .find(|site| site.spot.as_ref().is_some_and(|spot| spot.chain == *chain))
    }
}

/// A gate to be put in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct New {
    /// Position, from 0, of the rule that it goes in front of, once the old ones are gone.
    pub at: usize,
    /// The handle of that rule; nothing at the end of the chain.
    pub before: Option<u32>,
    /// What it says.
    pub says: Says,
}

/// What is to be done in a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Which.
    pub chain: ChainName,
    /// Handles of gates to take away, wherever in the chain they are.
    pub remove: Vec<u32>,
    /// The new one.
    pub insert: Option<New>,
}

impl Change {
    /// Whether it puts in a shortcut: nothing depends on that.
    pub fn is_shortcut(&self) -> bool {
        self.insert.is_some_and(|new| new.says == Says::Return)
    }
}

impl Firewalls {
    /// Chains to be looked at beside the base chains of the forward hook.
    pub fn inner(&self) -> Vec<ChainName> {
        self.extra.clone()
    }

    /// Chains to be looked at too, now that those in `chains` are known: what every packet comes
    /// to. Of each the first [`SHOWN`] rules will do.
    pub fn missing(&self, chains: &Chains) -> Vec<ChainName> {
        let named = self.extra.iter().filter_map(|name| chains.get(name));
        let bases = chains.bases().filter(|base| !self.passes(base));
        let roots = bases.chain(named);
        let missing = roots.flat_map(|root| walk::reach(root, chains, &self.known).missing);
        missing.collect()
    }

    /// Chains of which the first [`HEAD`] rules are to be looked at.
    pub fn heads(&self) -> Vec<ChainName> {
        self.known.iter().flat_map(|known| known.heads()).collect()
    }

    /// Judges all base chains of the forward hook, and the chains of shortcuts.
    pub fn survey(&self, chains: &Chains, mark: MarkBit) -> Survey {
        let is_absent =
            |name: &&ChainName| !chains.bases().any(|base| admin_chains::leads(base, name));
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

    /// Whether nothing of ours is refused there.
    fn passes(&self, base: &Chain) -> bool {
        self.owner(base).is_some_and(|known| known.passes(base))
    }

    /// The first firewall that has rules there.
    fn owner(&self, base: &Chain) -> Option<&dyn Firewall> {
        let mut known = self.known.iter().map(AsRef::as_ref);
        known.find(|known| known.is_in(base))
    }

    /// `base`, which has no gate, if it may refuse what is open.
    fn obstacle(&self, base: &Chain, chains: &Chains, mark: MarkBit, why: Why) -> Option<Obstacle> {
        let mark = if why == Why::Early { 0 } else { mark.bit() };
        let (_, end) = Walk::new(base, chains, &self.known, Ground::Nothing, mark).outcome();
        let is_certain = matches!(end, End::Refuses { .. });
        let may_refuse = is_certain || !base.lets_pass(mark) && chains.may_refuse(base);
        may_refuse.then(|| Obstacle::new(&base.name, why, is_certain))
    }

    /// Chains with more rules than are looked at: they may refuse what is open, and no gate
    /// stands above them.
    fn unread(&self, base: &Chain, chains: &Chains) -> Vec<Obstacle> {
        if self.passes(base) {
            return Vec::new();
        }
        let beyond = walk::reach(base, chains, &self.known).beyond.into_iter();
        let obstacle = |name| Obstacle::new(&name, Why::Long, false);
        beyond.map(obstacle).collect()
    }

    fn shortcuts(&self, chains: &Chains) -> Vec<Site> {
        let site = |known: &dyn Firewall| {
            let spot = known.shortcut(chains)?;
            Some(Site {
                owner: known.owner(),
                base: spot.chain.clone(),
                state: state(&spot, chains),
                spot: Some(spot),
                refuses: false,
            })
        };
        let known = self.known.iter().map(AsRef::as_ref);
        known.filter_map(site).collect()
    }

    /// The gates that belong in `base` and below; why none can be there.
    fn judge(&self, base: &Chain, chains: &Chains, mark: MarkBit) -> Result<Vec<Site>, Why> {
        let is_early = |at: chain_model::Base| at.priority <= table::FORWARD_PRIORITY;
        if base.base.is_some_and(is_early) {
            return Err(Why::Early);
        }
        let owner = self.owner(base);
        if let Some(owner) = owner.filter(|known| known.passes(base)) {
            return Ok(vec![unneeded(owner.owner(), base)]);
        }
        let named: Vec<_> = self
            .extra
            .iter()
            .filter(|name| admin_chains::leads(base, name))
            .collect();
        if base.is_owned {
            return Err(Why::Owned);
        }
        if owner.is_none() && named.is_empty() {
            return Err(Why::Unknown);
        }
        let walk = |root, ground| Walk::new(root, chains, &self.known, ground, mark.bit());
        let mut sites: Vec<Site> = Vec::new();
        if let Some(owner) = owner {
            let (spots, _) = walk(base, Ground::Anybodys).outcome();
            let site = |spot| Site::of(owner.owner(), base, spot, chains);
            sites.extend(spots.into_iter().map(site));
        }
        for name in named {
            let has_one = sites.iter().any(|site| site.chain() == name);
            if let Some(root) = chains.get(name).filter(|_| !has_one) {
                let (spots, _) = walk(root, Ground::Only(name)).outcome();
                let site = |spot| Site::of(Owner::Admin, base, spot, chains);
                sites.extend(spots.into_iter().map(site));
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

/// A base chain that refuses nothing of ours.
fn unneeded(owner: Owner, base: &Chain) -> Site {
    Site {
        owner,
        base: base.name.clone(),
        spot: None,
        state: State::Unneeded,
        refuses: base.refuses_by_default(),
    }
}

fn state(spot: &Spot, chains: &Chains) -> State {
    let rules = chains
        .get(&spot.chain)
        .map_or(&[][..], |chain| &chain.rules);
    let ours = rules.iter().filter(|rule| rule.is_ours()).count();
    let above = rules.iter().take_while(|rule| !rule.is_ours()).count();
    match ours {
        0 => State::Missing,
        1 if above < spot.below => State::High,
        1 if above <= spot.above => State::Standing,
        _ => State::Sunk,
    }
}

/// What makes every gate as it should be while networks are open, and takes away those that
/// are where none is wanted; with `anew` also replaces those that look right, as a gate shows
/// its comment but not for which mark it was made.
pub fn to_open(survey: &Survey, chains: &Chains, anew: bool) -> Vec<Change> {
    let change = |chain: &Chain| {
        let new = |spot: &Spot| New {
            at: spot.at,
            before: chain.foreign().nth(spot.at).map(|rule| rule.handle),
            says: spot.says,
        };
        match survey.of(&chain.name) {
            Some(site) if site.state == State::Standing && !anew => None,
            Some(site) => Some(Change {
                insert: site.spot.as_ref().map(new),
                ..closing(chain)
            }),
            None => Some(closing(chain)),
        }
    };
    chains
        .all()
        .filter_map(change)
        .filter(is_something)
        .collect()
}

/// What takes every gate of ours away.
pub fn to_close(chains: &Chains) -> Vec<Change> {
    chains.all().map(closing).filter(is_something).collect()
}

fn closing(chain: &Chain) -> Change {
    let ours = chain.rules.iter().filter(|rule| rule.is_ours());
    Change {
        chain: chain.name.clone(),
        remove: ours.map(|rule| rule.handle).collect(),
        insert: None,
    }
}

fn is_something(change: &Change) -> bool {
    !change.remove.is_empty() || change.insert.is_some()
}
