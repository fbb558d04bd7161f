//! What commonly goes wrong on a host, each with its remedy.
//!
//! A file is a subject: what is known of it, as values, and what to find in them. Looking is
//! the `commands` folder's; files below `/etc`, `/proc`, `/run` and `/sys` are read from a
//! [`Root`], which tests lay out for themselves.

pub(crate) mod bridges;
pub(crate) mod config;
pub(crate) mod confinement;
pub(crate) mod daemon;
pub(crate) mod firewalls;
pub(crate) mod forwarding;
pub(crate) mod hook;
pub(crate) mod iptables;
pub(crate) mod libvirt;
pub(crate) mod marks;
pub(crate) mod networks;
pub(crate) mod own;
pub(crate) mod processes;
mod root;
mod scene;
pub(crate) mod subnets;
mod text;
pub(crate) mod watch;

use serde::Serialize;

pub(crate) use root::Root;
pub(crate) use scene::Scene;

/// What one look has shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    /// What was looked at.
    pub(crate) check: &'static str,
    pub(crate) state: State,
    /// What there is, in a sentence.
    pub(crate) what: String,
    /// What to do; lines for a shell or the config.
    pub(crate) remedy: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    /// As it should be.
    Ok,
    /// Something does not work, or will not.
    Wrong,
    /// Good to know; or it could not be looked at.
    Note,
}

impl Finding {
    pub(crate) fn ok(check: &'static str, what: impl Into<String>) -> Self {
        Self::new(check, State::Ok, what)
    }

    pub(crate) fn wrong(check: &'static str, what: impl Into<String>) -> Self {
        Self::new(check, State::Wrong, what)
    }

    pub(crate) fn note(check: &'static str, what: impl Into<String>) -> Self {
        Self::new(check, State::Note, what)
    }

    fn new(check: &'static str, state: State, what: impl Into<String>) -> Self {
        Self {
            check,
            state,
            what: what.into(),
            remedy: Vec::new(),
        }
    }

    /// Adds a line of what to do.
    pub(crate) fn with(mut self, line: impl Into<String>) -> Self {
        self.remedy.push(line.into());
        self
    }

    /// Adds several.
    pub(crate) fn with_all(mut self, lines: impl IntoIterator<Item = String>) -> Self {
        self.remedy.extend(lines);
        self
    }

    /// The remedy of much that is wrong with our rules.
    pub(crate) fn with_apply(self) -> Self {
        self.with("virt-forward apply")
    }

    /// Adds a line that depends on the case.
    pub(crate) fn with_some(self, line: Option<impl Into<String>>) -> Self {
        match line {
            Some(line) => self.with(line),
            None => self,
        }
    }
}

/// All that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Report {
    findings: Vec<Finding>,
    wrong: usize,
}

impl Report {
    pub(crate) fn new(findings: Vec<Finding>) -> Self {
        let is_wrong = |finding: &&Finding| finding.state == State::Wrong;
        Self {
            wrong: findings.iter().filter(is_wrong).count(),
            findings,
        }
    }

    pub(crate) fn is_all_right(&self) -> bool {
        self.wrong == 0
    }
}

/// `findings`, or where nothing is wrong with the subject that line alone; notes stay.
pub(crate) fn or_ok(mut findings: Vec<Finding>, check: &'static str, what: &str) -> Vec<Finding> {
    if !findings.iter().any(|one| one.state == State::Wrong) {
        findings.insert(0, Finding::ok(check, what));
    }
    findings
}

/// What tests ask of findings.
#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Each as `wrong check: what | remedy | remedy`.
    pub(crate) fn said(findings: &[Finding]) -> Vec<String> {
        let line = |one: &Finding| {
            let state = match one.state {
                State::Ok => "ok",
                State::Wrong => "wrong",
                State::Note => "note",
            };
            let mut text = format!("{state} {}: {}", one.check, one.what);
            for line in &one.remedy {
                text.push_str(&format!(" | {line}"));
            }
            text
        };
        findings.iter().map(line).collect()
    }

    /// The states alone.
    pub(crate) fn states(findings: &[Finding]) -> Vec<State> {
        findings.iter().map(|one| one.state).collect()
    }
}
