//! What the ways of a packet mean.

use std::net::IpAddr;

use serde::Serialize;
use virt_forward_policy::{Packet, netfilter::TABLE};
use virt_forward_system::netlink::trace::{By, Fate, Place};

use super::{
    shot::Answer,
    tracks::{Hop, Left, Track, Tracks},
};
use crate::step::{StepLine, StepStatus};

/// All that a probe has found, as `--json` has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Findings {
    pub(crate) from: IpAddr,
    pub(crate) to: IpAddr,
    /// What became of it.
    pub(crate) end: End,
    /// The rule that refused it, or its answer.
    pub(crate) refused_by: Option<Passed>,
    /// How it left this host.
    pub(crate) left: Option<Leaving>,
    #[serde(flatten)]
    pub(crate) answer: Answer,
    /// Every rule that it met.
    pub(crate) there: Vec<Passed>,
    /// Every rule that the answer met.
    pub(crate) back: Vec<Passed>,
    /// What to do about the rule that refused it, where nothing else is known to be wrong.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) remedy: Vec<String>,
    /// How the answer left it, where that is not the way it should.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) astray: Option<String>,
    #[serde(skip)]
    pub(crate) enters: String,
    #[serde(skip)]
    pub(crate) packet: Packet,
}

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum End {
    /// It got there, and the answer back.
    Answered,
    /// It left this host, and nobody answered.
    Unanswered,
    /// A rule or a policy refused it.
    Refused,
    /// It got there, and a rule or a policy refused the answer.
    AnswerRefused,
    /// This host dropped it, and none of the rules that it met.
    Lost,
    /// It got there, and this host dropped the answer.
    AnswerLost,
    /// It got there, and this host sent the answer another way.
    AnswerAstray,
    /// It never came to this host's rules.
    Unseen,
}

/// A rule or policy that a packet met.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Passed {
    /// `ip filter FORWARD`
    pub(crate) chain: String,
    /// As nft, or iptables, shows it; `policy drop`.
    pub(crate) rule: String,
    /// nft's handle for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) handle: Option<u64>,
    pub(crate) verdict: &'static str,
}

/// How a packet left this host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Leaving {
    pub(crate) interface: String,
    /// With which address.
    pub(crate) source: IpAddr,
}

/// What is known beside the ways.
pub(super) struct Known<'a> {
    pub(super) source: IpAddr,
    pub(super) target: IpAddr,
    pub(super) packet: Packet,
    pub(super) enters: &'a str,
    /// The number of that interface.
    pub(super) entry: u32,
    pub(super) answer: Answer,
    /// What the answer's end does not show where it is kept from the one whose address was used.
    pub(super) is_answer_kept: bool,
    /// The rule of x_tables, which no trace shows, that saw one packet more.
    pub(super) legacy: Option<Passed>,
    /// The text of a rule.
    pub(super) rule: &'a dyn Fn(&Place, u64) -> Option<String>,
    /// The name of an interface.
    pub(super) name: &'a dyn Fn(u32) -> String,
}

impl Findings {
    pub(super) fn new(tracks: &Tracks, known: Known) -> Self {
        let passed = |track: &Track| -> Vec<Passed> {
            track.hops.iter().map(|hop| passed(hop, &known)).collect()
        };
        let (there, back) = (passed(&tracks.there), passed(&tracks.back));
        let end = end(tracks, &known);
        let refused_by = match end {
            End::Refused => tracks.there.refusal().and(there.last().cloned()),
            End::AnswerRefused => tracks.back.refusal().and(back.last().cloned()),
            _ => None,
        };
        let left = tracks.there.left.as_ref().map(|left: &Left| Leaving {
            interface: (known.name)(left.interface),
            source: left.source,
        });
        let is_hidden = matches!(end, End::Refused | End::AnswerRefused);
        Self {
            from: known.source,
            to: known.target,
            end,
            refused_by: refused_by.or(known.legacy.filter(|_| is_hidden)),
            left,
            answer: match (known.is_answer_kept, end) {
                (true, End::Answered) => Answer::Answered,
                _ => known.answer,
            },
            there,
            back,
            remedy: Vec::new(),
            astray: match &tracks.back.left {
                Some(left) if end == End::AnswerAstray => Some((known.name)(left.interface)),
                _ => None,
            },
            enters: known.enters.to_owned(),
            packet: known.packet,
        }
    }

    /// In the form of what `check` has looked at.
    pub(crate) fn lines(&self) -> Vec<StepLine> {
        let mut steps = Vec::new();
        let mut add = |stage, status, text| {
            steps.push(StepLine {
                status,
                stage,
                text,
            });
        };
        match self.end {
            End::Unseen => add(
                "in",
                StepStatus::Blocked,
                format!("it never came to a rule of this host by {}", self.enters),
            ),
            _ => add("in", StepStatus::Ok, format!("by {}", self.enters)),
        }
        for passed in &self.there {
            add("rule", passed.mark(), passed.to_string());
        }
        if self.end == End::Refused
            && let Some(legacy) = self.hidden_refusal()
        {
            add("rule", StepStatus::Blocked, legacy.to_string());
        }
        if self.end == End::Lost {
            add("rule", StepStatus::Blocked, self.lost_in(&self.there, "it"));
        }
        if let Some(Leaving { interface, source }) = &self.left {
            add(
                "out",
                StepStatus::Ok,
                format!("by {interface}, from {source}"),
            );
        }
        for passed in &self.back {
            add("answer", passed.mark(), passed.to_string());
        }
        match self.end {
            End::AnswerLost => add(
                "answer",
                StepStatus::Blocked,
                self.lost_in(&self.back, "the answer"),
            ),
            End::AnswerRefused => {
                if let Some(legacy) = self.hidden_refusal() {
                    add("answer", StepStatus::Blocked, legacy.to_string());
                }
            }
            End::AnswerAstray => add("answer", StepStatus::Blocked, self.gone_astray()),
            End::Answered => add("answer", StepStatus::Ok, self.answer_in_words()),
            End::Unanswered => add("answer", StepStatus::Unknown, "there was none".to_owned()),
            _ => {}
        }
        steps
    }

    /// A refusal by a rule that is none of those that were traced.
    fn hidden_refusal(&self) -> Option<&Passed> {
        let refusal = self.refused_by.as_ref()?;
        let traced = self.there.iter().chain(&self.back);
        (!traced.into_iter().any(|one| one == refusal)).then_some(refusal)
    }

    fn lost_in(&self, way: &[Passed], what: &str) -> String {
        match way.last() {
            Some(last) => format!(
                "after {} no rule saw {what} any more: routing or something else of this host \
                 dropped it",
                last.chain
            ),
            None => format!(
                "no rule of the forward hook saw {what}: this host's routing (no route, rp_filter, \
                 forwarding) dropped it"
            ),
        }
    }

    fn gone_astray(&self) -> String {
        let by = self.astray.as_deref().unwrap_or_default();
        let Self { from, enters, .. } = self;
        format!("this host sends the answer by {by}, and {from} is behind {enters}")
    }

    fn answer_in_words(&self) -> String {
        match &self.answer {
            Answer::Refused(why) => format!("the other end itself says no: {why}"),
            _ => format!("{} answered", self.to),
        }
    }

    /// Whether a packet like this gets through.
    pub(crate) fn is_open(&self) -> bool {
        match self.end {
            End::Answered => true,
            // UDP need not be answered.
            End::Unanswered => matches!(self.packet, Packet::Udp(_)),
            _ => false,
        }
    }

    /// Whether a rule or a policy was its end, or its answer's.
    pub(crate) fn is_refused(&self) -> bool {
        matches!(self.end, End::Refused | End::AnswerRefused)
    }

    /// What shows the rule that refused it, and what takes that away: whose it is, and whether
    /// it should go, is for the admin to say.
    pub(crate) fn remedy(&self) -> Vec<String> {
        let Some(Passed {
            chain,
            rule,
            handle,
            ..
        }) = &self.refused_by
        else {
            return Vec::new();
        };
        // A rule of ours drops what policy does not allow: the reason says why.
        if chain.starts_with(&format!("{} {} ", TABLE.family.word(), TABLE.name)) {
            return Vec::new();
        }
        let table = chain.split(' ').nth(1).unwrap_or_default();
        match (rule.strip_prefix("-A "), handle) {
            (Some(rule), _) => {
                let program = match chain.split(' ').next() {
                    Some("ip") => "iptables",
                    Some("ip6") => "ip6tables",
                    Some(legacy) => legacy,
                    None => return Vec::new(),
                };
                vec![format!(
                    "{program} -t {table} -D {rule}   # if it should go"
                )]
            }
            (None, Some(handle)) => vec![
                format!("nft -a list chain {chain}   # it has the handle {handle}"),
                format!("nft delete rule {chain} handle {handle}   # if it should go"),
            ],
            (None, None) => Vec::new(),
        }
    }

    /// The whole in a sentence.
    pub(crate) fn sentence(&self) -> String {
        let Self {
            from, to, packet, ..
        } = self;
        let refused = |what: &str| match &self.refused_by {
            Some(passed) => format!("Blocked: {} refuses {what}: {}.", passed.chain, passed.rule),
            None => format!("Blocked: a rule refuses {what}."),
        };
        let left = match &self.left {
            Some(Leaving { interface, source }) => format!("by {interface} from {source}"),
            None => String::new(),
        };
        match self.end {
            End::Answered => {
                let seen = self.left.as_ref().filter(|left| left.source != *from);
                let seen = seen.map(|left| format!(", which saw {}", left.source));
                format!(
                    "Open: {packet} from {from} got to {to}{}, and {}.",
                    seen.unwrap_or_default(),
                    match &self.answer {
                        Answer::Refused(_) => self.answer_in_words(),
                        _ => "the answer came back".to_owned(),
                    }
                )
            }
            End::Unanswered if self.is_open() => format!(
                "Open: {packet} left this host {left}; nobody answered, as nobody needs to with UDP."
            ),
            End::Unanswered => format!(
                "Blocked: it left this host {left}, and nothing came back: {to} is not there, \
                 refuses it, or sends its answers another way."
            ),
            End::Refused => refused("it"),
            End::AnswerRefused => refused("the answer"),
            End::Lost => format!("Blocked: {}.", self.lost_in(&self.there, "it")),
            End::AnswerLost => format!("Blocked: {}.", self.lost_in(&self.back, "the answer")),
            End::AnswerAstray => format!("Blocked: {}.", self.gone_astray()),
            End::Unseen => format!(
                "Blocked: what is sent from {from} never comes to this host by {}.",
                self.enters
            ),
        }
    }
}

impl Passed {
    fn mark(&self) -> StepStatus {
        match self.verdict {
            "drop" => StepStatus::Blocked,
            _ => StepStatus::Ok,
        }
    }
}

/// `ip filter FORWARD: -A FORWARD -j LIBVIRT_FWI`
impl std::fmt::Display for Passed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.chain, self.rule)
    }
}

fn end(tracks: &Tracks, known: &Known) -> End {
    let Tracks { there, back } = tracks;
    let home = back.left.as_ref().map(|left| left.interface == known.entry);
    let is_answered = match (&known.answer, known.is_answer_kept) {
        (Answer::Answered, _) => true,
        // Nobody else could have said no, as it came back from there.
        (Answer::Refused(_), _) | (_, true) => home == Some(true),
        (Answer::Silent, false) => false,
    };
    if there.refusal().is_some() {
        End::Refused
    } else if there.left.is_none() {
        match (&there.came, &known.legacy) {
            (None, _) => End::Unseen,
            (Some(_), Some(_)) if there.was_forwarded() => End::Refused,
            (Some(_), _) => End::Lost,
        }
    } else if back.refusal().is_some() {
        End::AnswerRefused
    } else if is_answered {
        End::Answered
    } else if home == Some(false) {
        End::AnswerAstray
    } else if back.came.is_some() {
        match known.legacy {
            Some(_) => End::AnswerRefused,
            None => End::AnswerLost,
        }
    } else {
        End::Unanswered
    }
}

fn passed(hop: &Hop, known: &Known) -> Passed {
    let verdict = match &hop.fate {
        Fate::Continue => "continue",
        Fate::Accept => "accept",
        Fate::Drop => "drop",
        Fate::Jump(_) => "jump",
        Fate::Goto(_) => "goto",
        Fate::Return => "return",
        Fate::Other => "other",
    };
    let (rule, handle) = match hop.by {
        By::Rule(handle) => {
            let text = (known.rule)(&hop.chain, handle);
            let gone = || format!("a rule that is gone by now (handle {handle})");
            (text.unwrap_or_else(gone), Some(handle))
        }
        By::Policy | By::End => (format!("policy {verdict}"), None),
    };
    Passed {
        chain: hop.chain.to_string(),
        rule,
        handle,
        verdict,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(chain: &str, rule: &str, handle: Option<u64>) -> Findings {
        let passed = Passed {
            chain: chain.to_owned(),
            rule: rule.to_owned(),
            handle,
            verdict: "drop",
        };
        Findings {
            from: [10, 17, 3, 254].into(),
            to: [10, 17, 4, 254].into(),
            end: End::Refused,
            refused_by: Some(passed.clone()),
            left: None,
            answer: Answer::Silent,
            there: vec![passed],
            back: Vec::new(),
            remedy: Vec::new(),
            astray: None,
            enters: "virbr0".to_owned(),
            packet: Packet::Icmp,
        }
    }

    #[test]
    fn a_refusal_names_its_rule_and_how_it_goes() {
        let nft = refused("inet filter forward", "ip daddr 10.0.0.1 drop", Some(7));
        assert!(!nft.is_open());
        assert_eq!(
            nft.sentence(),
            "Blocked: inet filter forward refuses it: ip daddr 10.0.0.1 drop."
        );
        let [show, delete] = &nft.remedy()[..] else {
            panic!("{:?}", nft.remedy());
        };
        assert!(
            show.starts_with("nft -a list chain inet filter forward "),
            "{show}"
        );
        assert!(
            delete.starts_with("nft delete rule inet filter forward handle 7 "),
            "{delete}"
        );
        let iptables = refused("ip6 filter FORWARD", "-A FORWARD -j DROP", Some(7));
        assert!(
            iptables.remedy()[0].starts_with("ip6tables -t filter -D FORWARD -j DROP "),
            "{:?}",
            iptables.remedy()
        );
        let policy = refused("inet filter forward", "policy drop", None);
        assert!(policy.remedy().is_empty());
        let steps = nft.lines();
        let marks: Vec<_> = steps.iter().map(|step| (step.stage, step.status)).collect();
        assert_eq!(
            marks,
            [("in", StepStatus::Ok), ("rule", StepStatus::Blocked)]
        );
    }

    #[test]
    fn a_rule_that_no_trace_shows_is_told_too() {
        let mut hidden = refused("iptables-legacy filter FORWARD", "-A FORWARD -j DROP", None);
        hidden.there.clear();
        let steps = hidden.lines();
        assert_eq!(steps[1].status, StepStatus::Blocked);
        assert_eq!(
            steps[1].text,
            "iptables-legacy filter FORWARD: -A FORWARD -j DROP"
        );
        assert!(hidden.remedy()[0].starts_with("iptables-legacy -t filter -D FORWARD"));
    }
}
