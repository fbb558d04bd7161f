//! The result of a diagnosis.

use serde::Serialize;

use super::diagnosis::Severity;
use super::finding::Finding;

/// The version of the JSON; it changes where a field changes its meaning or goes.
const SCHEMA: u32 = 1;

/// All findings, as `--json` prints them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct DoctorReport {
    schema: u32,
    pub(super) findings: Vec<Finding>,
    /// The number of errors.
    #[serde(rename = "wrong")]
    pub(super) errors: usize,
}

impl DoctorReport {
    pub(crate) fn new(findings: Vec<Finding>) -> Self {
        let severities = findings
            .iter()
            .map(|finding| finding.diagnosis().severity());
        let errors = severities.filter(|severity| *severity == Severity::Error);
        Self {
            schema: SCHEMA,
            errors: errors.count(),
            findings,
        }
    }

    /// Whether there is no error.
    pub(crate) fn is_healthy(&self) -> bool {
        self.errors == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::{hook::HookFinding, watch::WatchFinding};

    #[test]
    fn json_has_a_schema_and_the_kind_of_each_finding() {
        let path = "/etc/libvirt/hooks/network".to_owned();
        let report = DoctorReport::new(vec![
            HookFinding::NotExecutable { path }.into(),
            WatchFinding::Running.into(),
        ]);
        let expected = serde_json::json!({
            "schema": 1,
            "findings": [
                {
                    "check": "hook",
                    "kind": "not-executable",
                    "state": "wrong",
                    "what": "/etc/libvirt/hooks/network is not executable, so libvirt does not run it",
                    "remedy": ["chmod 755 /etc/libvirt/hooks/network"],
                },
                {
                    "check": "watch",
                    "kind": "running",
                    "state": "ok",
                    "what": "virt-forward watch is running",
                    "remedy": [],
                },
            ],
            "wrong": 1,
        });
        assert_eq!(serde_json::to_value(&report).unwrap(), expected);
    }
}
