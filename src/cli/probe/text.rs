//! A probe's report for a terminal.

use std::fmt;

use virt_forward_policy::netfilter::{ChainName, Family};
use virt_forward_system::netlink::trace::Place;

use super::{
    packet::Reply,
    report::{Egress, HitChain, HitRule, Outcome, ProbeReport, RuleHit, RuleVerdict},
};
use crate::step::{StepLine, StepStatus};

/// What a line of the report is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ProbeStage {
    Ingress,
    Rule,
    Egress,
    Reply,
}

impl ProbeStage {
    fn as_str(self) -> &'static str {
        match self {
            ProbeStage::Ingress => "in",
            ProbeStage::Rule => "rule",
            ProbeStage::Egress => "out",
            ProbeStage::Reply => "reply",
        }
    }

    fn line(self, status: StepStatus, text: String) -> StepLine {
        StepLine {
            status,
            stage: self.as_str(),
            text,
        }
    }

    fn hit(self, hit: &RuleHit) -> StepLine {
        let status = match hit.verdict {
            RuleVerdict::Drop => StepStatus::Blocked,
            _ => StepStatus::Ok,
        };
        self.line(status, hit.to_string())
    }
}

/// `ip filter FORWARD: -A FORWARD -j LIBVIRT_FWI`
impl fmt::Display for RuleHit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.chain, self.rule_text())
    }
}

impl RuleHit {
    /// The rule as its program lists it.
    pub(super) fn rule_text(&self) -> String {
        match (&self.rule, &self.chain) {
            (HitRule::Nft { text, .. }, _) => text.clone(),
            (HitRule::Iptables { spec, .. }, _) => spec.clone(),
            (HitRule::Deleted { handle }, _) => {
                format!("a rule that was deleted meanwhile (handle {handle})")
            }
            (HitRule::Policy, HitChain::Nft(_)) => format!("policy {}", self.verdict.as_str()),
            (HitRule::Policy, HitChain::Legacy(chain)) => format!(
                "-P {} {}",
                chain.chain,
                self.verdict.as_str().to_uppercase()
            ),
        }
    }

    /// The command that lists the rule; none where the names need quoting that differs from shell
    /// to shell.
    fn listing(&self) -> Option<String> {
        if !self.chain.is_plain() {
            return None;
        }
        match (&self.rule, &self.chain) {
            (HitRule::Nft { handle, .. }, chain) => Some(format!(
                "nft -a list chain {chain}   # the rule has the handle {handle}"
            )),
            (
                HitRule::Iptables { .. },
                HitChain::Nft(Place {
                    family,
                    table,
                    chain,
                }),
            ) => {
                let program = if *family == Family::Ip6.word() {
                    "ip6tables"
                } else {
                    "iptables"
                };
                Some(format!("{program} -t {table} -S {chain}"))
            }
            (
                HitRule::Iptables { .. },
                HitChain::Legacy(ChainName {
                    family,
                    table,
                    chain,
                    ..
                }),
            ) => {
                let program = match family {
                    Family::Ip6 => "ip6tables-legacy",
                    Family::Ip | Family::Inet => "iptables-legacy",
                };
                Some(format!("{program} -t {table} -S {chain}"))
            }
            (HitRule::Deleted { .. } | HitRule::Policy, _) => None,
        }
    }
}

impl HitChain {
    fn is_plain(&self) -> bool {
        match self {
            HitChain::Nft(chain) => {
                ChainName::nft(Family::Inet, &chain.table, &chain.chain).is_plain()
            }
            HitChain::Legacy(chain) => chain.is_plain(),
        }
    }
}

impl ProbeReport {
    /// A line for each thing that happened to the packet and to its reply.
    pub(crate) fn lines(&self) -> Vec<StepLine> {
        let mut lines = self.forward_lines();
        lines.extend(self.reply_lines());
        lines
    }

    fn forward_lines(&self) -> Vec<StepLine> {
        let mut lines = vec![if self.outcome == Outcome::NeverEntered {
            let text = format!("no rule of this host saw the packet on {}", self.iif);
            ProbeStage::Ingress.line(StepStatus::Blocked, text)
        } else {
            ProbeStage::Ingress.line(StepStatus::Ok, format!("iif {}", self.iif))
        }];
        lines.extend(
            self.forward_hits
                .iter()
                .map(|hit| ProbeStage::Rule.hit(hit)),
        );
        match self.outcome {
            Outcome::Dropped => {
                let hit = self.untraced_drop();
                lines.extend(hit.map(|hit| ProbeStage::Rule.hit(hit)));
            }
            Outcome::Lost => {
                let text = lost(&self.forward_hits, "the packet");
                lines.push(ProbeStage::Rule.line(StepStatus::Blocked, text));
            }
            _ => {}
        }
        if let Some(Egress { oif, source }) = &self.egress {
            let text = format!("oif {oif}, source {source}");
            lines.push(ProbeStage::Egress.line(StepStatus::Ok, text));
        }
        lines
    }

    fn reply_lines(&self) -> Vec<StepLine> {
        let hits = self.reply_hits.iter();
        let mut lines: Vec<_> = hits.map(|hit| ProbeStage::Reply.hit(hit)).collect();
        let last = match self.outcome {
            Outcome::Answered => (StepStatus::Ok, self.reply_text()),
            Outcome::Unanswered => (StepStatus::Unknown, "none".to_owned()),
            Outcome::ReplyLost => (StepStatus::Blocked, lost(&self.reply_hits, "the reply")),
            Outcome::ReplyMisrouted => (StepStatus::Blocked, self.misrouted_text()),
            Outcome::ReplyDropped => match self.untraced_drop() {
                Some(hit) => (StepStatus::Blocked, hit.to_string()),
                None => return lines,
            },
            Outcome::Dropped | Outcome::Lost | Outcome::NeverEntered => return lines,
        };
        let (status, text) = last;
        lines.push(ProbeStage::Reply.line(status, text));
        lines
    }

    /// The rule that dropped the packet, if it is none of those in the trace.
    fn untraced_drop(&self) -> Option<&RuleHit> {
        let drop = self.dropped_by.as_ref()?;
        let mut traced = self.forward_hits.iter().chain(&self.reply_hits);
        (!traced.any(|hit| hit == drop)).then_some(drop)
    }

    fn misrouted_text(&self) -> String {
        let oif = self.misrouted.as_deref().unwrap_or_default();
        format!(
            "this host sends the reply via {oif}, but {} is behind {}",
            self.source, self.iif
        )
    }

    fn reply_text(&self) -> String {
        match &self.reply {
            Reply::Refused(error) => format!("the destination refused it: {error}"),
            _ => format!("{} replied", self.destination),
        }
    }

    /// The outcome, in a sentence.
    pub(crate) fn conclusion(&self) -> String {
        let dropped = |what: &str| match &self.dropped_by {
            Some(hit) => format!("Blocked: {} drops {what}: {}.", hit.chain, hit.rule_text()),
            None => format!("Blocked: a rule drops {what}."),
        };
        match self.outcome {
            Outcome::Answered => self.answered(),
            Outcome::Unanswered => self.unanswered(),
            Outcome::Dropped => dropped("the packet"),
            Outcome::ReplyDropped => dropped("the reply"),
            Outcome::Lost => format!("Blocked: {}.", lost(&self.forward_hits, "the packet")),
            Outcome::ReplyLost => format!("Blocked: {}.", lost(&self.reply_hits, "the reply")),
            Outcome::ReplyMisrouted => format!("Blocked: {}.", self.misrouted_text()),
            Outcome::NeverEntered => format!(
                "Blocked: packets from {} do not reach the rules of this host on {}.",
                self.source, self.iif
            ),
        }
    }

    fn answered(&self) -> String {
        let egress = self.egress.as_ref();
        let rewritten = egress.filter(|egress| egress.source != self.source);
        let seen = rewritten.map(|egress| format!(" with the source address {}", egress.source));
        let reply = match &self.reply {
            Reply::Refused(_) => self.reply_text(),
            _ => "the reply came back".to_owned(),
        };
        format!(
            "Open: {} from {} reached {}{}; {reply}.",
            self.packet,
            self.source,
            self.destination,
            seen.unwrap_or_default()
        )
    }

    fn unanswered(&self) -> String {
        let left = match &self.egress {
            Some(Egress { oif, source }) => format!(" via {oif} with the source address {source}"),
            None => String::new(),
        };
        if self.is_open() {
            return format!(
                "Open: {} left this host{left}; no reply (expected for UDP).",
                self.packet
            );
        }
        format!(
            "Blocked: the packet left this host{left}, and no reply came: {} is down, drops the \
             packet, or routes its replies another way.",
            self.destination
        )
    }

    /// The command that lists the rule that dropped the packet, and where to read on. Whether a
    /// foreign rule may be deleted is for the administrator to decide.
    pub(crate) fn fixes(&self) -> Vec<String> {
        let Some(hit) = &self.dropped_by else {
            return Vec::new();
        };
        // A rule of the own table drops what policy does not allow: its finding has the fix.
        if hit.chain.is_own() {
            return Vec::new();
        }
        let mut lines: Vec<_> = hit.listing().into_iter().collect();
        lines.push("see docs/firewalls.md".to_owned());
        lines
    }
}

/// The packet disappeared between two netfilter hooks.
fn lost(hits: &[RuleHit], what: &str) -> String {
    match hits.last() {
        Some(last) => format!(
            "no rule saw {what} after {}: this host's routing or another part of its network stack \
             dropped it",
            last.chain
        ),
        None => format!(
            "no rule of the forward hook saw {what}: this host's routing (no route, rp_filter, \
             forwarding) dropped it"
        ),
    }
}
