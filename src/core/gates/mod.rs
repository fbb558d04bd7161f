//! Gates: one rule in a foreign firewall that accepts the packets our table has marked.
//!
//! An accept ends its base chain and no other, so each base chain of the forward hook that
//! would refuse us needs one, whatever the number of networks. It stands as deep as will
//! do: an admin's own denials above it keep their word.
//!
//! A shortcut is a gate for speed alone: it returns from a chain that refuses nothing and that
//! every packet would walk to its end.
//!
//! A firewall is a file here, with what implements [`Firewall`], and its line in
//! [`firewalls`]. This folder decides, from the chains that there are, what is to be done; it
//! sees no kernel.

pub mod chains;
mod docker;
mod extra;
mod firewalld;
mod libvirt;
mod obstacles;
mod policy;
#[cfg(test)]
mod tests;
mod ufw;

use chains::{Chain, Chains};

pub use firewalld::{Outsider, rich_rules};
pub use libvirt::rules_are_gone;
pub use obstacles::{Obstacle, Remedy, Why};

use crate::{config::MarkBit, names::ChainName, table};

/// Every firewall that we know; `extra` are chains that the config names.
pub fn firewalls(extra: &[ChainName]) -> Firewalls {
    Firewalls {
        known: vec![
            Box::new(libvirt::Libvirt),
            Box::new(ufw::Ufw),
            Box::new(firewalld::Firewalld),
            Box::new(extra::Extra(extra.to_vec())),
            Box::new(docker::Docker),
            Box::new(policy::Policy),
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
    /// As people call it.
    fn owner(&self) -> &'static str;

    /// Chains that its gates go to and that are no base chains of the forward hook.
    fn inner(&self) -> Vec<ChainName> {
        Vec::new()
    }

    /// What it needs in this base chain; nothing where it is not in use there.
    fn claim(&self, base: &Chain, chains: &Chains) -> Option<Claim>;

    /// Chains that shortcuts go to: as each may have a rule for each network, only the first
    /// [`HEAD`] rules of them are looked at, unless all are.
    fn heads(&self) -> Vec<ChainName> {
        Vec::new()
    }

    /// Where a shortcut belongs, if one is worth it.
    fn shortcut(&self, _: &Chains) -> Option<Spot> {
        None
    }

    /// Its gate is not needed where another has one in the same base chain.
    fn gives_way(&self) -> bool {
        false
    }
}

/// What a firewall needs in a base chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// A gate.
    Gate(Spot),
    /// Nothing: it refuses no packet of ours.
    Passes,
}

/// So many rules are walked before a shortcut is worth it, or worth being moved up.
const FEW: usize = 16;

/// So many rules show whether a shortcut is where it should be.
pub const HEAD: usize = FEW + 1;

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
    /// Before which rule a new one goes.
    at: usize,
    /// Up to before which rule one works.
    above: usize,
}

impl Spot {
    /// Right before the rule at that position: as deep as it can be.
    fn before(chain: &Chain, position: usize) -> Self {
        Self {
            chain: chain.name.clone(),
            says: Says::Accept,
            at: position,
            above: position,
        }
    }

    /// A shortcut at the head. The rules of networks that start later go above it; it is moved
    /// up once they are many, as moving costs more than walking some.
    fn shortcut(chain: &Chain) -> Self {
        Self {
            chain: chain.name.clone(),
            says: Says::Return,
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
            State::Missing => "missing",
            State::Unneeded => "unneeded",
        }
    }
}

/// A base chain where a firewall is in use, or a chain with a shortcut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// Whose.
    pub owner: &'static str,
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
        self.known.iter().flat_map(|known| known.inner()).collect()
    }

    /// Chains of which the first [`HEAD`] rules are to be looked at.
    pub fn heads(&self) -> Vec<ChainName> {
        self.known.iter().flat_map(|known| known.heads()).collect()
    }

    /// Judges all base chains of the forward hook, and the chains of shortcuts.
    pub fn survey(&self, chains: &Chains, mark: MarkBit) -> Survey {
        let is_absent = |name: &&ChainName| !chains.bases().any(|base| extra::leads(base, name));
        let mut survey = Survey {
            absent: self.extra.iter().filter(is_absent).cloned().collect(),
            shortcuts: self.shortcuts(chains),
            ..Survey::default()
        };
        for base in chains.bases() {
            match self.judge(base, chains) {
                Ok(Some(site)) => survey.sites.push(site),
                Ok(None) if base.lets_pass(mark.bit()) => {}
                Ok(None) if !chains.may_refuse(base) => {}
                Ok(None) => {
                    let why = if base.is_owned {
                        Why::Owned
                    } else {
                        Why::Unknown
                    };
                    survey.obstacles.push(Obstacle::new(base, why));
                }
                Err(why) if chains.may_refuse(base) => {
                    survey.obstacles.push(Obstacle::new(base, why));
                }
                Err(_) => {}
            }
        }
        survey
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

    /// The firewall in use in `base`, nothing where there is none that we know; why no gate
    /// can be there.
    fn judge(&self, base: &Chain, chains: &Chains) -> Result<Option<Site>, Why> {
        if base
            .base
            .is_some_and(|at| at.priority <= table::FORWARD_PRIORITY)
        {
            return Err(Why::Early);
        }
        let Some((owner, claim)) = self.claim(base, chains) else {
            return Ok(None);
        };
        let Claim::Gate(spot) = claim else {
            return Ok(Some(Site {
                owner,
                base: base.name.clone(),
                spot: None,
                state: State::Unneeded,
                refuses: base.refuses_by_default(),
            }));
        };
        if base.is_owned {
            return Err(Why::Owned);
        }
        Ok(Some(Site {
            owner,
            base: base.name.clone(),
            state: state(&spot, chains),
            spot: Some(spot),
            refuses: base.refuses_by_default(),
        }))
    }

    /// Who has a claim, and the highest place that any of them needs.
    fn claim(&self, base: &Chain, chains: &Chains) -> Option<(&'static str, Claim)> {
        let mut found: Option<(&'static str, Claim)> = None;
        for firewall in &self.known {
            if found.is_some() && firewall.gives_way() {
                continue;
            }
            let Some(claim) = firewall.claim(base, chains) else {
                continue;
            };
            match (&mut found, claim) {
                (None, claim) => found = Some((firewall.owner(), claim)),
                (Some((_, Claim::Gate(highest))), Claim::Gate(spot))
                    if spot.chain == highest.chain =>
                {
                    highest.at = highest.at.min(spot.at);
                    highest.above = highest.above.min(spot.above);
                }
                (Some(_), _) => {}
            }
        }
        found
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
