//! A probe's report in `check --json`, as docs/json.md describes it.

use std::net::IpAddr;

use serde::Serialize;

use super::{
    packet::Reply,
    report::{Egress, HitRule, Outcome, ProbeReport, RuleHit},
};

/// The object `probe`.
#[derive(Debug, Serialize)]
pub(crate) struct ProbeJson<'r> {
    from: IpAddr,
    to: IpAddr,
    end: &'static str,
    refused_by: Option<RuleHitJson>,
    left: Option<EgressJson<'r>>,
    answer: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'r str>,
    forward: Vec<RuleHitJson>,
    reply: Vec<RuleHitJson>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    remedy: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    misrouted: Option<&'r str>,
}

#[derive(Debug, Serialize)]
struct RuleHitJson {
    chain: String,
    rule: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    handle: Option<u64>,
    verdict: &'static str,
}

#[derive(Debug, Serialize)]
struct EgressJson<'r> {
    interface: &'r str,
    source: IpAddr,
}

impl Outcome {
    /// The word for programs.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Outcome::Answered => "answered",
            Outcome::Unanswered => "unanswered",
            Outcome::Dropped => "refused",
            Outcome::ReplyDropped => "answer-refused",
            Outcome::Lost => "lost",
            Outcome::ReplyLost => "answer-lost",
            Outcome::ReplyMisrouted => "answer-astray",
            Outcome::NeverEntered => "unseen",
        }
    }
}

impl From<&RuleHit> for RuleHitJson {
    fn from(hit: &RuleHit) -> Self {
        Self {
            chain: hit.chain.to_string(),
            rule: hit.rule_text(),
            handle: match hit.rule {
                HitRule::Nft { handle, .. } | HitRule::Deleted { handle } => Some(handle),
                HitRule::Iptables { handle, .. } => handle,
                HitRule::Policy => None,
            },
            verdict: hit.verdict.as_str(),
        }
    }
}

impl ProbeReport {
    /// The report with the lines that fix what it found.
    pub(crate) fn json(&self, fixes: Vec<String>) -> ProbeJson<'_> {
        let (answer, error) = match &self.reply {
            Reply::Received => ("answered", None),
            Reply::Refused(error) => ("refused", Some(error.as_str())),
            Reply::None => ("silent", None),
        };
        ProbeJson {
            from: self.source,
            to: self.destination,
            end: self.outcome.as_str(),
            refused_by: self.dropped_by.as_ref().map(RuleHitJson::from),
            left: self
                .egress
                .as_ref()
                .map(|Egress { oif, source }| EgressJson {
                    interface: oif,
                    source: *source,
                }),
            answer,
            error,
            forward: self.forward_hits.iter().map(RuleHitJson::from).collect(),
            reply: self.reply_hits.iter().map(RuleHitJson::from).collect(),
            remedy: fixes,
            misrouted: self.misrouted.as_deref(),
        }
    }
}
