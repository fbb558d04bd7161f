//! Insertion and removal of gates: those of nftables in the transaction of our table, the others by the
//! iptables programs.

use crate::{Error, Result};
use virt_forward_policy::{
    config::{Config, MarkBit},
    netfilter::{ChainName, Engine},
};
use virt_forward_ruleset::{
    gates::{self, ChainEdit, Survey, chain_model::Chains},
    table::Batch,
};
use virt_forward_system::{
    deadline::Deadline,
    exec::{iptables, nft},
    netlink::nft_rules::{self, Scope},
};

/// The number of attempts to insert a gate that another program displaces.
const TRIES: usize = 3;

/// The gates that are desired.
#[derive(Clone, Debug)]
pub(super) struct GateSpec {
    /// The mark that gates accept.
    pub(super) mark: MarkBit,
    /// The administrator's own chains that get gates.
    pub(super) extra: Vec<ChainName>,
}

impl GateSpec {
    /// The gates that `config` needs.
    pub(super) fn of(config: &Config) -> Self {
        Self {
            mark: config.mark,
            extra: config.extra.clone(),
        }
    }
}

/// The chains that a scan reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ScanScope {
    /// The chains where gates may be needed: the cost does not depend on the host.
    KnownChains,
    /// All chains, to find gates in chains that need none any more.
    AllChains,
}

/// The changes of gates, by chain.
pub(super) struct Gates {
    changes: Vec<ChainEdit>,
    seen: Scan,
    spec: GateSpec,
}

/// The result of a scan.
pub(super) struct Scan {
    chains: Chains,
    pub(super) survey: Survey,
    /// A chain that could not be read; the others are still valid.
    pub(super) failure: Option<Error>,
}

impl Gates {
    /// The changes after which every firewall in use accepts marked packets. `replaces` also replaces
    /// gates that may be for another mark.
    pub(super) fn to_open(
        spec: GateSpec,
        replaces: bool,
        reach: ScanScope,
        deadline: Deadline,
    ) -> Result<Self> {
        let seen = scan(&spec, reach, deadline)?;
        Ok(Self {
            changes: gates::to_open(&seen.survey, &seen.chains, replaces),
            seen,
            spec,
        })
    }

    /// The changes that remove all gates.
    pub(super) fn to_close(spec: GateSpec, reach: ScanScope, deadline: Deadline) -> Result<Self> {
        let seen = scan(&spec, reach, deadline)?;
        Ok(Self {
            changes: gates::to_close(&seen.chains),
            seen,
            spec,
        })
    }

    /// The firewalls before the changes.
    pub(super) fn survey(&self) -> &Survey {
        &self.seen.survey
    }

    /// As [`survey`](Self::survey), at the end.
    pub(super) fn into_survey(self) -> Survey {
        self.seen.survey
    }

    /// Takes the failure of the scan, if there was one.
    pub(super) fn take_failure(&mut self) -> Option<Error> {
        self.seen.failure.take()
    }

    /// The chains whose gates are changed. A displaced shortcut is no drift.
    pub(super) fn changed_chains(&self) -> impl Iterator<Item = ChainName> {
        let gates = self.changes.iter().filter(|change| !change.is_shortcut());
        gates.map(|change| change.chain.clone())
    }

    fn of_nft(&self) -> impl Iterator<Item = &ChainEdit> {
        let all = self.changes.iter();
        all.filter(|change| !change.chain.is_of_iptables())
    }

    /// Whether nft has to change a gate.
    pub(super) fn need_nft(&self) -> bool {
        self.of_nft().next().is_some()
    }

    /// Adds the changes of nftables to `batch`.
    pub(super) fn in_batch(&self, batch: &mut Batch) {
        for change in self.of_nft() {
            gates::edit(batch, change, self.spec.mark);
        }
    }

    /// Applies the changes of iptables chains, all of them even if one fails, but no shortcuts: see
    /// [`shorten`](Self::shorten).
    pub(super) fn apply_iptables(&self, deadline: Deadline) -> Result<()> {
        self.apply_some(|change| !change.is_shortcut(), deadline)
    }

    /// Inserts the shortcuts. Last of all, as nothing depends on them.
    pub(super) fn insert_shortcuts(&self, deadline: Deadline) -> Result<()> {
        self.apply_some(ChainEdit::is_shortcut, deadline)
    }

    fn apply_some(&self, which: impl Fn(&ChainEdit) -> bool, deadline: Deadline) -> Result<()> {
        let changes = self.changes.iter();
        let changes = changes.filter(|change| change.chain.is_of_iptables() && which(change));
        let outcomes = changes.map(|change| self.change(change.clone(), deadline));
        Error::all(outcomes.filter_map(Result::err).collect())
    }

    /// A rule number is valid only until another program changes the chain, so the result is verified.
    fn change(&self, mut change: ChainEdit, deadline: Deadline) -> Result<()> {
        for _ in 0..TRIES {
            self.carry_out(&change, deadline)?;
            if change.insert.is_none() {
                return Ok(());
            }
            let seen = scan(&self.spec, ScanScope::KnownChains, deadline)?;
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

    fn carry_out(&self, change: &ChainEdit, deadline: Deadline) -> virt_forward_system::Result<()> {
        match by_iptables(change, self.spec.mark, deadline) {
            Err(why) if iptables::is_incompatible(&why) && change.chain.engine == Engine::Nft => {
                let mut batch = Batch::default();
                gates::edit(&mut batch, change, self.spec.mark);
                nft::apply(&batch, deadline)
            }
            other => other,
        }
    }
}

/// Reads the chains of all firewalls.
pub(super) fn scan(spec: &GateSpec, reach: ScanScope, deadline: Deadline) -> Result<Scan> {
    let firewalls = gates::firewalls(&spec.extra);
    let scope = match reach {
        ScanScope::KnownChains => Scope::Near(&firewalls),
        ScanScope::AllChains => Scope::All,
    };
    let (chains, failure) = nft_rules::chains(scope, deadline)?;
    Ok(Scan {
        survey: firewalls.survey(&chains, spec.mark),
        chains,
        failure: failure.map(Error::from),
    })
}

fn by_iptables(
    change: &ChainEdit,
    mark: MarkBit,
    deadline: Deadline,
) -> virt_forward_system::Result<()> {
    // An old shortcut may be deeper than the scan reads.
    if !change.remove.is_empty() || change.is_shortcut() {
        iptables::delete_gates(&change.chain, deadline)?;
    }
    match change.insert {
        Some(new) => iptables::insert_gate(&change.chain, new, mark, deadline),
        None => Ok(()),
    }
}
