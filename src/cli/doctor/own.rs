//! What is ours on this host: the table, and what we know of the networks.

use virt_forward_policy::{network::KernelName, sanitize::shown};
use virt_forward_system::state::{NetworkState, Record, Store};

use super::{Finding, Scene, firewalls};

/// What the state folder says.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    /// A run was cut short.
    pub(crate) is_pending: bool,
    /// Networks whose bridge is gone.
    pub(crate) gone: Vec<String>,
    /// Files that are not to be read.
    pub(crate) broken: Vec<String>,
}

impl Known {
    /// Of the networks that libvirt takes for active others tell; `is_over` tells which are not.
    pub(crate) fn look(
        store: &Store,
        has: impl Fn(&KernelName) -> bool,
        is_over: impl Fn(&str) -> bool,
    ) -> Self {
        // What cannot be read, `apply` complains of.
        let records = store.records().unwrap_or_default();
        let bridges: Vec<_> = records.iter().filter_map(bridge).collect();
        let gone = records.iter().filter(|record| {
            let is_gone = bridge(record).is_some_and(|one| !has(&one));
            // One that starts has no bridge yet.
            let starts = record.state == NetworkState::Starting;
            is_gone && !starts && is_over(&record.network.name)
        });
        let open = store.open().unwrap_or_default();
        let files = open
            .iter()
            .filter_map(|file| Some(file.file_stem()?.to_str()?.to_owned()));
        Self {
            is_pending: store.is_pending(),
            gone: gone.map(|record| shown(&record.network.name)).collect(),
            broken: files
                .filter(|file| !bridges.iter().any(|bridge| bridge.file_stem() == **file))
                .map(|file| shown(&file))
                .collect(),
        }
    }

    pub(crate) fn findings(&self) -> Vec<Finding> {
        const CHECK: &str = "state";
        let mut found = Vec::new();
        if self.is_pending {
            let what =
                "a run of virt-forward was cut short, and what it was about may be half done";
            found.push(Finding::wrong(CHECK, what).with_apply());
        }
        if !self.gone.is_empty() {
            let what = format!(
                "{} left something behind: the bridge is gone, and nobody told virt-forward of the stop",
                self.gone.join(", ")
            );
            found.push(Finding::wrong(CHECK, what).with_apply());
        }
        if !self.broken.is_empty() {
            let what = format!("what is known of {} cannot be read", self.broken.join(", "));
            found.push(Finding::wrong(CHECK, what).with_apply());
        }
        super::or_ok(
            found,
            CHECK,
            "no run was cut short, and nothing was left behind",
        )
    }
}

fn bridge(record: &Record) -> Option<KernelName> {
    record.network.known_bridge()
}

/// Our table.
pub(crate) fn table(scene: &Scene) -> Finding {
    const CHECK: &str = "table";
    if !scene.is_config_right {
        let what = "not looked at: what it should be, only a config that is right can say";
        return Finding::note(CHECK, what);
    }
    let inspection = scene.inspection;
    match (&inspection.table, &inspection.wanted.table) {
        (None, None) => Finding::ok(CHECK, "no network is open, so there is none"),
        (Some(_), None) => {
            let what = "inet virt_forward is there, though no network is open";
            Finding::wrong(CHECK, what).with("virt-forward remove --all")
        }
        (None, Some(_)) => {
            let mut what = "inet virt_forward is not there: nothing is open".to_owned();
            if firewalls::with_ours(scene).next().is_some() {
                let mark = scene.config.mark;
                what.push_str(&format!(
                    ", and the gates accept every packet that carries the mark {mark}, whoever \
                     set it"
                ));
            }
            Finding::wrong(CHECK, what).with_apply()
        }
        (Some(_), Some(_)) if inspection.is_table_right() => {
            Finding::ok(CHECK, "inet virt_forward is as it should be")
        }
        (Some(_), Some(_)) => {
            let what = "inet virt_forward is not as it should be: somebody changed it, or a network or the config changed unseen";
            Finding::wrong(CHECK, what).with_apply()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::{State, tests::states};
    use std::fs;

    #[test]
    fn what_was_left_behind_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::at(dir.path());
        assert_eq!(
            states(&Known::look(&store, |_| true, |_| true).findings()),
            [State::Ok]
        );
        store.create().unwrap();
        store.begin().unwrap();
        fs::write(dir.path().join("open/virbr9.json"), "{").unwrap();
        let known = Known::look(&store, |_| false, |_| true);
        assert!(known.is_pending);
        assert_eq!(known.broken, ["virbr9"]);
        assert_eq!(states(&known.findings()), [State::Wrong, State::Wrong]);
    }
}
