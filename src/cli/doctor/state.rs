//! The state directory: interrupted runs and stale records.

use std::fmt::{self, Display, Formatter};

use strum::IntoStaticStr;
use virt_forward_policy::{network::KernelName, sanitize::escape};
use virt_forward_system::state::{NetworkState, Record, Store};

use super::diagnosis::{Diagnosis, Fix, Severity, Subject, passed_unless_error};

/// What is amiss in the state directory.
#[derive(Clone, Debug, Default)]
pub(crate) struct StateFolder {
    pub(crate) is_run_interrupted: bool,
    /// Networks that libvirt has stopped and whose bridge is gone.
    pub(crate) stale_networks: Vec<String>,
    /// Bridges whose record cannot be read.
    pub(crate) unreadable_bridges: Vec<String>,
}

impl StateFolder {
    /// `exists` tells whether a bridge exists, `is_active` whether libvirt has a network active:
    /// other checks report a missing bridge of an active network.
    pub(crate) fn collect(
        store: &Store,
        exists: impl Fn(&KernelName) -> bool,
        is_active: impl Fn(&str) -> bool,
    ) -> Self {
        // `apply` reports a directory that cannot be read.
        let records = store.records().unwrap_or_default();
        let is_stale = |record: &&Record| {
            let bridge = record.network.known_bridge();
            // A network that is starting has no bridge yet.
            bridge.is_some_and(|bridge| !exists(&bridge))
                && record.state != NetworkState::Starting
                && !is_active(&record.network.name)
        };
        let stale = records.iter().filter(is_stale);
        Self {
            is_run_interrupted: store.is_pending(),
            stale_networks: stale.map(|record| record.network.name.clone()).collect(),
            unreadable_bridges: unreadable(store, &records),
        }
    }

    pub(crate) fn check(&self) -> Vec<StateFinding> {
        let mut findings = Vec::new();
        if self.is_run_interrupted {
            findings.push(StateFinding::RunInterrupted);
        }
        if !self.stale_networks.is_empty() {
            let networks = self.stale_networks.clone();
            findings.push(StateFinding::StaleRecords { networks });
        }
        if !self.unreadable_bridges.is_empty() {
            let bridges = self.unreadable_bridges.clone();
            findings.push(StateFinding::UnreadableRecords { bridges });
        }
        passed_unless_error(findings, StateFinding::Consistent)
    }
}

/// Files of open networks that are not among the records.
fn unreadable(store: &Store, records: &[Record]) -> Vec<String> {
    let bridges = records
        .iter()
        .filter_map(|record| record.network.known_bridge());
    let known: Vec<_> = bridges.map(|bridge| bridge.file_stem()).collect();
    let open = store.open().unwrap_or_default();
    let stems = open.iter().filter_map(|file| file.file_stem()?.to_str());
    stems
        .filter(|stem| !known.iter().any(|known| known == stem))
        .map(str::to_owned)
        .collect()
}

#[derive(Clone, Debug, PartialEq, Eq, IntoStaticStr)]
#[cfg_attr(test, derive(strum::VariantNames))]
#[strum(serialize_all = "kebab-case")]
pub(crate) enum StateFinding {
    Consistent,
    RunInterrupted,
    StaleRecords { networks: Vec<String> },
    UnreadableRecords { bridges: Vec<String> },
}

impl Diagnosis for StateFinding {
    fn subject(&self) -> Subject {
        Subject::State
    }

    fn kind(&self) -> &'static str {
        self.into()
    }

    fn severity(&self) -> Severity {
        match self {
            Self::Consistent => Severity::Ok,
            Self::RunInterrupted | Self::StaleRecords { .. } | Self::UnreadableRecords { .. } => {
                Severity::Error
            }
        }
    }

    fn fix(&self) -> Vec<Fix> {
        match self {
            Self::Consistent => Vec::new(),
            Self::RunInterrupted | Self::StaleRecords { .. } | Self::UnreadableRecords { .. } => {
                vec![Fix::apply()]
            }
        }
    }
}

impl Display for StateFinding {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let list = |names: &[String]| {
            let names: Vec<_> = names.iter().map(|name| escape(name)).collect();
            names.join(", ")
        };
        match self {
            Self::Consistent => f.write_str("no interrupted run, no stale records"),
            Self::RunInterrupted => {
                f.write_str("a previous run was interrupted; state may be incomplete")
            }
            Self::StaleRecords { networks } => write!(
                f,
                "stale records: {} (bridge deleted without a stop event from libvirt)",
                list(networks)
            ),
            Self::UnreadableRecords { bridges } => {
                write!(f, "cannot read the records of {}", list(bridges))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn interrupted_runs_and_broken_records_are_found() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::at(dir.path());
        let empty = StateFolder::collect(&store, |_| true, |_| false);
        assert_eq!(empty.check(), [StateFinding::Consistent]);
        store.create().unwrap();
        store.begin().unwrap();
        fs::write(dir.path().join("open/virbr9.json"), "{").unwrap();
        let state = StateFolder::collect(&store, |_| false, |_| false);
        let bridges = vec!["virbr9".to_owned()];
        let expected = [
            StateFinding::RunInterrupted,
            StateFinding::UnreadableRecords { bridges },
        ];
        assert_eq!(state.check(), expected);
    }

    #[test]
    fn a_stopped_network_without_a_bridge_is_stale() {
        let state = StateFolder {
            stale_networks: vec!["kube03".to_owned()],
            ..StateFolder::default()
        };
        let networks = vec!["kube03".to_owned()];
        assert_eq!(state.check(), [StateFinding::StaleRecords { networks }]);
    }
}
