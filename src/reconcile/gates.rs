//! Gates, carried out: those of nft's in the transaction of our table, the others by the
//! iptables programs.

use crate::{Error, Result};
use virt_forward_policy::{
    config::{Config, MarkBit},
    netfilter::{ChainName, Engine},
};
use virt_forward_ruleset::{
    gates::{self, Change, Survey, chain_model::Chains},
    table::Batch,
};
use virt_forward_system::{
    deadline::Deadline,
    exec::{iptables, nft},
    netlink::nft_rules::{self, Scope},
};

/// How often a gate is put in again that another program's change has pushed away.
const TRIES: usize = 3;

/// What gates are made for.
#[derive(Clone, Debug)]
pub(super) struct Wish {
    /// The mark that they accept.
    pub(super) mark: MarkBit,
    /// Chains of the admin's own.
    pub(super) extra: Vec<ChainName>,
}

impl Wish {
    /// What `config` wants of gates.
    pub(super) fn of(config: &Config) -> Self {
        Self {
            mark: config.mark,
            extra: config.extra.clone(),
        }
    }
}

/// How far is looked for gates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// Where gates may be wanted: costs the same on every host.
    Near,
    /// Everywhere, for gates that were left in chains which are now somebody else's.
    Everywhere,
}

/// What is to be done, chain by chain.
pub(super) struct Gates {
    changes: Vec<Change>,
    seen: Seen,
    wish: Wish,
}

/// What there is, and what to think of it.
pub(super) struct Seen {
    chains: Chains,
    pub(super) survey: Survey,
    /// What could not be looked at: no reason to leave the rest as it is.
    pub(super) trouble: Option<Error>,
}

impl Gates {
    /// What lets marked packets pass wherever a firewall is in use; with `anew`, gates for
    /// another mark are replaced.
    pub(super) fn to_open(
        wish: Wish,
        anew: bool,
        reach: Reach,
        deadline: Deadline,
    ) -> Result<Self> {
        let seen = look(&wish, reach, deadline)?;
        Ok(Self {
            changes: gates::to_open(&seen.survey, &seen.chains, anew),
            seen,
            wish,
        })
    }

    /// What takes every gate of ours away.
    pub(super) fn to_close(wish: Wish, reach: Reach, deadline: Deadline) -> Result<Self> {
        let seen = look(&wish, reach, deadline)?;
        Ok(Self {
            changes: gates::to_close(&seen.chains),
            seen,
            wish,
        })
    }

    /// What there is, as it was before.
    pub(super) fn survey(&self) -> &Survey {
        &self.seen.survey
    }

    /// As [`survey`](Self::survey), at the end.
    pub(super) fn into_survey(self) -> Survey {
        self.seen.survey
    }

    /// What could not be looked at, once.
    pub(super) fn take_trouble(&mut self) -> Option<Error> {
        self.seen.trouble.take()
    }

    /// The chains whose gates are changed. A displaced shortcut is no drift.
    pub(super) fn changed_chains(&self) -> impl Iterator<Item = ChainName> {
        let gates = self.changes.iter().filter(|change| !change.is_shortcut());
        gates.map(|change| change.chain.clone())
    }

    fn of_nft(&self) -> impl Iterator<Item = &Change> {
        let all = self.changes.iter();
        all.filter(|change| !change.chain.is_of_iptables())
    }

    /// Whether nft has anything to do.
    pub(super) fn need_nft(&self) -> bool {
        self.of_nft().next().is_some()
    }

    /// Adds what nft does to `batch`.
    pub(super) fn in_batch(&self, batch: &mut Batch) {
        for change in self.of_nft() {
            gates::edit(batch, change, self.wish.mark);
        }
    }

    /// Does what the iptables programs do, every place even where one fails; the shortcuts are
    /// left for [`shorten`](Self::shorten).
    pub(super) fn by_program(&self, deadline: Deadline) -> Result<()> {
        self.some_by_program(|change| !change.is_shortcut(), deadline)
    }

    /// Puts the shortcuts in. Last of all, as nothing depends on them.
    pub(super) fn shorten(&self, deadline: Deadline) -> Result<()> {
        self.some_by_program(Change::is_shortcut, deadline)
    }

    fn some_by_program(&self, which: impl Fn(&Change) -> bool, deadline: Deadline) -> Result<()> {
        let changes = self.changes.iter();
        let changes = changes.filter(|change| change.chain.is_of_iptables() && which(change));
        let outcomes = changes.map(|change| self.change(change.clone(), deadline));
        Error::all(outcomes.filter_map(Result::err).collect())
    }

    /// A rule's number is only good until somebody else changes the chain, so the outcome is
    /// looked at.
    fn change(&self, mut change: Change, deadline: Deadline) -> Result<()> {
        for _ in 0..TRIES {
            self.carry_out(&change, deadline)?;
            if change.insert.is_none() {
                return Ok(());
            }
            let seen = look(&self.wish, Reach::Near, deadline)?;
            let mut left = gates::to_open(&seen.survey, &seen.chains, false).into_iter();
            match left.find(|left| left.chain == change.chain) {
                None => return Ok(()),
                Some(left) => change = left,
            }
        }
        Err(Error::GateDisplaced {
            chain: change.chain,
        })
    }

    fn carry_out(&self, change: &Change, deadline: Deadline) -> virt_forward_system::Result<()> {
        match by_iptables(change, self.wish.mark, deadline) {
            Err(why) if iptables::is_not_its_own(&why) && change.chain.engine == Engine::Nft => {
                let mut batch = Batch::default();
                gates::edit(&mut batch, change, self.wish.mark);
                nft::apply(&batch, deadline)
            }
            other => other,
        }
    }
}

/// Looks at all firewalls.
pub(super) fn look(wish: &Wish, reach: Reach, deadline: Deadline) -> Result<Seen> {
    let firewalls = gates::firewalls(&wish.extra);
    let scope = match reach {
        Reach::Near => Scope::Near(&firewalls),
        Reach::Everywhere => Scope::All,
    };
    let (chains, trouble) = nft_rules::chains(scope, deadline)?;
    Ok(Seen {
        survey: firewalls.survey(&chains, wish.mark),
        chains,
        trouble: trouble.map(Error::from),
    })
}

fn by_iptables(
    change: &Change,
    mark: MarkBit,
    deadline: Deadline,
) -> virt_forward_system::Result<()> {
    // An old shortcut may be deeper than was looked.
    if !change.remove.is_empty() || change.is_shortcut() {
        iptables::delete_gates(&change.chain, deadline)?;
    }
    match change.insert {
        Some(new) => iptables::insert_gate(&change.chain, new, mark, deadline),
        None => Ok(()),
    }
}
