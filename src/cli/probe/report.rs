//! The result of a probe.

use std::{collections::BTreeMap, fmt, net::IpAddr};

use virt_forward_policy::{
    Packet,
    netfilter::{ChainName, TABLE},
};
use virt_forward_system::netlink::trace::{By, Fate, Place};

use super::{
    packet::Reply,
    trace::{RoundTrip, TraceHit, TracedPath},
};
use crate::host::Host;

/// The result of a probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProbeReport {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(super) packet: Packet,
    /// The interface that the packet arrived on.
    pub(super) iif: String,
    pub(super) outcome: Outcome,
    /// The rule or policy that dropped the packet or its reply.
    pub(super) dropped_by: Option<RuleHit>,
    /// How the packet left this host.
    pub(crate) egress: Option<Egress>,
    pub(super) reply: Reply,
    /// Every rule that the packet met.
    pub(super) forward_hits: Vec<RuleHit>,
    /// Every rule that the reply met.
    pub(super) reply_hits: Vec<RuleHit>,
    /// The interface that the reply left by, if it was the wrong one.
    pub(super) misrouted: Option<String>,
}

/// What became of the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// A reply arrived.
    Answered,
    /// The packet left this host, and no reply came.
    Unanswered,
    /// A rule or a policy dropped the packet.
    Dropped,
    /// A rule or a policy dropped the reply.
    ReplyDropped,
    /// This host dropped the packet, but none of the rules that it met did.
    Lost,
    /// This host dropped the reply, but none of the rules that it met did.
    ReplyLost,
    /// This host sent the reply by the wrong interface.
    ReplyMisrouted,
    /// The packet met no rule of this host.
    NeverEntered,
}

/// The chain of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum HitChain {
    /// A chain of nf_tables, of any family.
    Nft(Place),
    /// A chain of iptables-legacy.
    Legacy(ChainName),
}

impl HitChain {
    /// Whether the chain belongs to the table `inet virt_forward`.
    pub(super) fn is_own(&self) -> bool {
        match self {
            HitChain::Nft(chain) => {
                chain.family == TABLE.family.word() && chain.table == TABLE.name
            }
            HitChain::Legacy(_) => false,
        }
    }
}

/// `ip filter FORWARD`, `iptables-legacy filter FORWARD`
impl fmt::Display for HitChain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HitChain::Nft(chain) => chain.fmt(f),
            HitChain::Legacy(chain) => chain.fmt(f),
        }
    }
}

/// What decided in a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum HitRule {
    /// A rule as nft lists it.
    Nft { text: String, handle: u64 },
    /// A rule as `iptables -S` lists it; without a handle in iptables-legacy.
    Iptables { spec: String, handle: Option<u64> },
    /// A rule that was deleted before it could be listed.
    Deleted { handle: u64 },
    /// The policy of the chain.
    Policy,
}

/// The verdict of a rule or policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RuleVerdict {
    Continue,
    Accept,
    /// Also that of a rule that rejects.
    Drop,
    Jump,
    Goto,
    Return,
    Other,
}

impl RuleVerdict {
    /// The word in text and in JSON.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            RuleVerdict::Continue => "continue",
            RuleVerdict::Accept => "accept",
            RuleVerdict::Drop => "drop",
            RuleVerdict::Jump => "jump",
            RuleVerdict::Goto => "goto",
            RuleVerdict::Return => "return",
            RuleVerdict::Other => "other",
        }
    }
}

impl From<&Fate> for RuleVerdict {
    fn from(fate: &Fate) -> Self {
        match fate {
            Fate::Continue => Self::Continue,
            Fate::Accept => Self::Accept,
            Fate::Drop => Self::Drop,
            Fate::Jump(_) => Self::Jump,
            Fate::Goto(_) => Self::Goto,
            Fate::Return => Self::Return,
            Fate::Other => Self::Other,
        }
    }
}

/// A rule or policy that a packet met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RuleHit {
    pub(super) chain: HitChain,
    pub(super) rule: HitRule,
    pub(super) verdict: RuleVerdict,
}

/// How a packet left this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Egress {
    pub(super) oif: String,
    /// The source address that it left with.
    pub(crate) source: IpAddr,
}

/// The listings of chains: rules by their handles.
pub(super) type RuleTexts = BTreeMap<Place, BTreeMap<u64, String>>;

/// What a report needs beside the trace.
pub(super) struct ReportInput<'a> {
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    pub(super) packet: Packet,
    pub(super) iif: &'a str,
    pub(super) iif_index: u32,
    pub(super) reply: Reply,
    /// The reply is dropped before it leaves, so that the external host that was impersonated
    /// does not get it.
    pub(super) is_reply_intercepted: bool,
    /// The rule of iptables-legacy that counted a packet.
    pub(super) legacy_drop: Option<RuleHit>,
    pub(super) rules: &'a RuleTexts,
    pub(super) host: &'a Host,
}

impl ProbeReport {
    pub(super) fn new(trip: &RoundTrip, input: ReportInput) -> Self {
        let hits = |path: &TracedPath| -> Vec<RuleHit> {
            let hits = path.hits.iter();
            hits.map(|hit| rule_hit(hit, input.rules)).collect()
        };
        let (forward_hits, reply_hits) = (hits(&trip.forward), hits(&trip.reply));
        let outcome = outcome(trip, &input);
        let traced_drop = match outcome {
            Outcome::Dropped => trip.forward.drop_hit().and(forward_hits.last()),
            Outcome::ReplyDropped => trip.reply.drop_hit().and(reply_hits.last()),
            _ => None,
        };
        let traced_drop = traced_drop.cloned();
        let is_dropped = matches!(outcome, Outcome::Dropped | Outcome::ReplyDropped);
        let name = |index| match input.host.name_of(index) {
            Some(name) => name.to_owned(),
            None => format!("interface {index}"),
        };
        let exit = trip.forward.exit.as_ref();
        let reply_exit = trip.reply.exit.as_ref();
        Self {
            source: input.source,
            destination: input.destination,
            packet: input.packet,
            iif: input.iif.to_owned(),
            outcome,
            dropped_by: traced_drop.or(input.legacy_drop.filter(|_| is_dropped)),
            egress: exit.map(|exit| Egress {
                oif: name(exit.interface),
                source: exit.source,
            }),
            reply: if input.is_reply_intercepted && outcome == Outcome::Answered {
                Reply::Received
            } else {
                input.reply
            },
            forward_hits,
            reply_hits,
            misrouted: reply_exit
                .filter(|_| outcome == Outcome::ReplyMisrouted)
                .map(|exit| name(exit.interface)),
        }
    }

    /// Whether a packet like this one gets through.
    pub(crate) fn is_open(&self) -> bool {
        match self.outcome {
            Outcome::Answered => true,
            // No service has to reply to UDP.
            Outcome::Unanswered => matches!(self.packet, Packet::Udp(_)),
            _ => false,
        }
    }

    /// Whether a rule or a policy dropped the packet or its reply.
    pub(crate) fn is_dropped_by_rule(&self) -> bool {
        matches!(self.outcome, Outcome::Dropped | Outcome::ReplyDropped)
    }
}

fn outcome(trip: &RoundTrip, input: &ReportInput) -> Outcome {
    let RoundTrip { forward, reply } = trip;
    if forward.drop_hit().is_some() {
        return Outcome::Dropped;
    }
    if forward.exit.is_none() {
        return if forward.iif.is_none() {
            Outcome::NeverEntered
        } else if input.legacy_drop.is_some() && forward.is_forwarded() {
            Outcome::Dropped
        } else {
            Outcome::Lost
        };
    }
    if reply.drop_hit().is_some() {
        return Outcome::ReplyDropped;
    }
    let reply_oif = reply.exit.as_ref().map(|exit| exit.interface);
    let returns = reply_oif.map(|oif| oif == input.iif_index);
    let is_answered = match input.reply {
        Reply::Received => true,
        // Only the destination can have refused, as its reply has returned.
        Reply::Refused(_) => returns == Some(true),
        Reply::None => input.is_reply_intercepted && returns == Some(true),
    };
    if is_answered {
        Outcome::Answered
    } else if returns == Some(false) {
        Outcome::ReplyMisrouted
    } else if reply.iif.is_none() {
        Outcome::Unanswered
    } else if input.legacy_drop.is_some() {
        Outcome::ReplyDropped
    } else {
        Outcome::ReplyLost
    }
}

fn rule_hit(hit: &TraceHit, texts: &RuleTexts) -> RuleHit {
    let rule = match hit.by {
        By::Rule(handle) => match texts.get(&hit.chain).and_then(|rules| rules.get(&handle)) {
            Some(text) => listed_rule(text, Some(handle)),
            None => HitRule::Deleted { handle },
        },
        By::Policy | By::End => HitRule::Policy,
    };
    RuleHit {
        chain: HitChain::Nft(hit.chain.clone()),
        rule,
        verdict: RuleVerdict::from(&hit.fate),
    }
}

/// A rule from a listing of nft or of `iptables -S`; no rule of nft begins with a hyphen.
fn listed_rule(text: &str, handle: Option<u64>) -> HitRule {
    match handle {
        Some(handle) if !text.starts_with("-A ") => HitRule::Nft {
            text: text.to_owned(),
            handle,
        },
        handle => HitRule::Iptables {
            spec: text.to_owned(),
            handle,
        },
    }
}
