//! Why a packet passes, or who refuses it: [`walk`] goes its way with it, from values, by
//! [`routing`] and [`firewalls`], and [`text`] says what was found.

mod ends;
mod firewalls;
mod routing;
mod text;
mod walk;

use serde::Serialize;

pub(crate) use ends::{Named, NoEnd, Place, ends};
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
}

impl Report {
    pub(crate) fn is_open(&self) -> bool {
        self.verdict == "open"
    }
}
