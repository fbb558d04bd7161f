//! Why a packet passes, or who refuses it: [`walk`] goes its way with it, from values, by
//! [`routing`] and [`firewalls`], and [`text`] says what was found.

mod ends;
mod firewalls;
mod routing;
mod text;
mod walk;

use serde::Serialize;

use crate::probe::Findings;

pub(crate) use ends::{Kind, Named, NoEnd, Place, ends};
pub(crate) use walk::{Case, Kernel, walk};

/// What one look at the way has shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Step {
    /// What was looked at.
    pub(crate) step: &'static str,
    pub(crate) state: Mark,
    /// What there is.
    pub(crate) what: String,
    /// What to do; lines for a shell or the config.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) remedy: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mark {
    /// It goes on from here.
    Ok,
    /// It ends here.
    Blocked,
    /// Nobody can tell from this host.
    Unclear,
}

/// The whole way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Report {
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) packet: String,
    pub(crate) verdict: &'static str,
    /// The address that the other end sees, where it gets there.
    pub(crate) source: Option<String>,
    /// The verdict in a sentence.
    pub(crate) why: String,
    pub(crate) steps: Vec<Step>,
    /// What became of the packet itself, where it was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) probe: Option<Findings>,
}

impl Report {
    /// With what became of the packet itself: that has the last word, and what was looked at
    /// says why.
    pub(crate) fn with(mut self, mut probe: Findings) -> Self {
        if self.is_open() {
            probe.remedy = probe.remedy();
        }
        let reason = match (self.is_open(), probe.is_open()) {
            (false, false) => format!(" The reason: {}.", self.reason(probe.is_refused())),
            (true, true) => match self.why.split_once(" But: ") {
                Some((_, but)) => format!(" But: {but}"),
                None => String::new(),
            },
            (true, false) => " Nothing else that was looked at would keep it out.".to_owned(),
            (false, true) => format!(" It got through, although: {}", self.why),
        };
        self.why = probe.sentence() + &reason;
        self.verdict = if probe.is_open() { "open" } else { "blocked" };
        let left = probe.left.as_ref().filter(|_| probe.is_open());
        self.source = left.map(|left| left.source.to_string());
        self.probe = Some(probe);
        self
    }

    /// What blocks it; where there is more than one thing, of rules or of what comes before them.
    fn reason(&self, of_rules: bool) -> &str {
        let before = ["network", "forwarding", "route", "way back"];
        let blocked = || self.steps.iter().filter(|one| one.state == Mark::Blocked);
        let fitting = blocked().find(|one| before.contains(&one.step) != of_rules);
        let reason = fitting.or_else(|| blocked().next());
        reason.map_or("", |step| &step.what)
    }

    pub(crate) fn is_open(&self) -> bool {
        self.verdict == "open"
    }
}
