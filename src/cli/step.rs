//! Steps along a packet's path through this host, as `check` and `check --probe` print them.

use serde::Serialize;

use crate::{
    output,
    terminal::{Style, Terminal},
};

/// The result of one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum StepStatus {
    /// The packet continues.
    Ok,
    /// The packet ends here.
    Blocked,
    /// This host cannot know.
    Unknown,
}

/// One step, ready to be printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StepLine {
    pub(crate) status: StepStatus,
    /// The name of what was examined.
    pub(crate) stage: &'static str,
    pub(crate) text: String,
}

impl StepLine {
    /// `ok       network     kube02 is active, its bridge virbr_kube02 is up`
    pub(crate) fn render(&self, screen: &Terminal) -> String {
        let mark = match self.status {
            StepStatus::Ok => (Style::Good, "ok"),
            StepStatus::Blocked => (Style::Bad, "BLOCKED"),
            StepStatus::Unknown => (Style::Partial, "unknown"),
        };
        output::report_line(screen, mark, self.stage, &self.text)
    }
}
