//! The result of a run that did what it should.

use virt_forward_policy::netfilter::ChainName;
use virt_forward_ruleset::gates::Survey;

use crate::{ConfigConflict, Error};

/// An outcome, and what the administrator should know of it.
#[derive(Debug)]
#[must_use]
pub struct Report<T> {
    /// What was done.
    pub outcome: T,
    /// Faults that kept nothing else from being done.
    pub warnings: Vec<Warning>,
    /// Chains that drop allowed packets and have no gate.
    pub blocking_chains: Vec<ChainName>,
}

/// A fault that kept nothing else from being done.
#[derive(Debug, thiserror::Error)]
pub enum Warning {
    /// A part of the configuration has no effect.
    #[error(transparent)]
    Conflict(#[from] ConfigConflict),
    /// The host has more routes to external subnets than the table holds.
    #[error(
        "this host has more routes to the subnets of the configuration than the table holds ({}); \
         peers are only checked by the kernel's reverse path lookup",
        virt_forward_ruleset::routing::MOST
    )]
    TooManyRoutes,
    /// A secondary operation failed.
    #[error(transparent)]
    Failure(#[from] Error),
}

impl Warning {
    /// Whether the configuration or a network's definition is the cause.
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Conflict(_))
    }

    /// Whether both are the same fault of the same object.
    pub fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Conflict(one), Self::Conflict(other)) => one == other,
            (Self::TooManyRoutes, Self::TooManyRoutes) => true,
            (Self::Failure(one), Self::Failure(other)) => one.is_same(other),
            _ => false,
        }
    }
}

impl From<virt_forward_system::Error> for Warning {
    fn from(error: virt_forward_system::Error) -> Self {
        Self::Failure(error.into())
    }
}

/// What the steps of a run leave to report.
#[derive(Debug, Default)]
#[must_use]
pub(crate) struct Effects {
    pub(crate) warnings: Vec<Warning>,
    /// Chains that drop allowed packets, as the last look at the firewalls found them.
    blocking_chains: Option<Vec<ChainName>>,
}

impl Effects {
    /// The effects of a look at the firewalls.
    pub(crate) fn of_survey(survey: &Survey, failure: Option<Error>) -> Self {
        let certain = survey.obstacles.iter().filter(|one| one.is_certain);
        Self {
            warnings: failure.into_iter().map(Warning::from).collect(),
            blocking_chains: Some(certain.map(|one| one.chain.clone()).collect()),
        }
    }

    /// Adds the effects of a later step.
    pub(crate) fn then(&mut self, later: Self) {
        self.warnings.extend(later.warnings);
        if later.blocking_chains.is_some() {
            self.blocking_chains = later.blocking_chains;
        }
    }

    /// Adds warnings.
    pub(crate) fn warn<W: Into<Warning>>(&mut self, warnings: impl IntoIterator<Item = W>) {
        self.warnings.extend(warnings.into_iter().map(Into::into));
    }

    /// The report of a run with this outcome.
    pub(crate) fn report<T>(self, outcome: T) -> Report<T> {
        Report {
            outcome,
            warnings: self.warnings,
            blocking_chains: self.blocking_chains.unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_look_at_the_firewalls_counts_and_no_warning_is_lost() {
        let survey = Survey::default();
        let mut effects = Effects {
            warnings: vec![Warning::TooManyRoutes],
            blocking_chains: None,
        };
        effects.then(Effects::of_survey(&survey, None));
        effects.then(Effects {
            warnings: vec![Warning::TooManyRoutes],
            blocking_chains: None,
        });
        assert_eq!(effects.blocking_chains, Some(Vec::new()));
        assert_eq!(effects.report(()).warnings.len(), 2);
    }
}
