//! The result of `check`.

use std::net::IpAddr;

use virt_forward_policy::Packet;

use super::finding::Finding;
use crate::{endpoint::ResolvedEndpoint, probe::ProbeReport, step::StepStatus};

/// Whether the packet gets to its destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Open,
    Blocked,
}

/// The evaluation of a packet's path, and what became of the packet if it was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CheckReport<'a> {
    pub(crate) from: ResolvedEndpoint<'a>,
    pub(crate) to: ResolvedEndpoint<'a>,
    pub(crate) packet: Packet,
    /// The source address that the destination would see, according to the evaluation.
    pub(super) source: Option<IpAddr>,
    pub(super) findings: Vec<Finding>,
    pub(super) probe: Option<ProbeReport>,
}

/// How the evaluation explains the outcome of the probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Explanation<'r> {
    /// Both say that the packet is blocked; this is the cause.
    Cause(&'r Finding),
    /// Both say that the packet passes.
    Agreement,
    /// The evaluation found nothing that blocks the packet, but the probe did not get through.
    NoCause,
    /// The probe got through despite this finding.
    Contradiction(&'r Finding),
}

impl<'a> CheckReport<'a> {
    /// Adds what became of the packet itself; its outcome decides the verdict.
    pub(crate) fn with_probe(self, probe: ProbeReport) -> Self {
        Self {
            probe: Some(probe),
            ..self
        }
    }

    pub(crate) fn verdict(&self) -> Verdict {
        let is_open = match &self.probe {
            Some(probe) => probe.is_open(),
            None => self.blocked().next().is_none(),
        };
        if is_open {
            Verdict::Open
        } else {
            Verdict::Blocked
        }
    }

    /// The source address that the destination sees, if the packet gets there.
    pub(super) fn seen_source(&self) -> Option<IpAddr> {
        if self.verdict() == Verdict::Blocked {
            return None;
        }
        match &self.probe {
            Some(probe) => Some(probe.egress.as_ref()?.source),
            None => self.source,
        }
    }

    /// The findings that block the packet.
    pub(super) fn blocked(&self) -> impl Iterator<Item = &Finding> {
        self.with_status(StepStatus::Blocked)
    }

    /// What this host cannot know: reservations about the verdict "open".
    pub(super) fn caveats(&self) -> impl Iterator<Item = &Finding> {
        self.with_status(StepStatus::Unknown)
    }

    fn with_status(&self, status: StepStatus) -> impl Iterator<Item = &Finding> {
        let findings = self.findings.iter();
        findings.filter(move |finding| finding.status() == status)
    }

    /// How the findings explain what became of `probe`.
    pub(super) fn explanation(&self, probe: &ProbeReport) -> Explanation<'_> {
        match (self.blocked().next(), probe.is_open()) {
            (Some(first), true) => Explanation::Contradiction(first),
            (Some(first), false) => Explanation::Cause(self.cause(probe).unwrap_or(first)),
            (None, true) => Explanation::Agreement,
            (None, false) => Explanation::NoCause,
        }
    }

    /// Where more than one finding blocks: the one that is about rules if a rule dropped the
    /// probe, else the one that is about routing.
    fn cause(&self, probe: &ProbeReport) -> Option<&Finding> {
        let is_about_routing = !probe.is_dropped_by_rule();
        let mut blocked = self.blocked();
        blocked.find(|finding| finding.stage().is_routing() == is_about_routing)
    }
}
