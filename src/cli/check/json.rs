//! `check --json`, as docs/json.md describes it.

use serde::Serialize;
use virt_forward_policy::Decision;
use virt_forward_ruleset::gates::GateState;

use super::{
    finding::{Finding, RouteDrop, TableFault},
    report::{CheckReport, Verdict},
};
use crate::{output, probe::ProbeJson, step::StepStatus};

/// The version of the format: it changes if a field is renamed or removed.
const SCHEMA: u32 = 1;

#[derive(Serialize)]
struct ReportJson<'r> {
    schema: u32,
    from: String,
    to: String,
    packet: String,
    verdict: &'static str,
    source: Option<String>,
    why: String,
    steps: Vec<StepJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    probe: Option<ProbeJson<'r>>,
}

#[derive(Serialize)]
struct StepJson {
    step: &'static str,
    state: StepStatus,
    kind: &'static str,
    what: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    remedy: Vec<String>,
}

impl CheckReport<'_> {
    /// Indented JSON and a line end.
    ///
    /// # Errors
    ///
    /// Those of the serialiser.
    pub(crate) fn to_json(&self) -> serde_json::Result<String> {
        let steps = self.findings.iter().map(|finding| StepJson {
            step: finding.stage().as_str(),
            state: finding.status(),
            kind: finding.kind(),
            what: finding.text(),
            remedy: finding.fixes(),
        });
        output::json(&ReportJson {
            schema: SCHEMA,
            from: self.from.to_string(),
            to: self.to.to_string(),
            packet: self.packet.to_string(),
            verdict: match self.verdict() {
                Verdict::Open => "open",
                Verdict::Blocked => "blocked",
            },
            source: self.seen_source().map(|source| source.to_string()),
            why: self.conclusion(),
            steps: steps.collect(),
            probe: self
                .probe
                .as_ref()
                .map(|probe| probe.json(self.probe_fixes())),
        })
    }
}

impl Finding {
    /// The word for programs.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Finding::NetworkActive { .. } => "network-active",
            Finding::NetworkNotRouted { .. } => "network-not-routed",
            Finding::BridgeMissing { .. } => "bridge-missing",
            Finding::BridgeDown { .. } => "bridge-down",
            Finding::NeighbourUnreachable { .. } => "neighbour-unreachable",
            Finding::NoDefaultRoute { .. } => "no-default-route",
            Finding::SameNetwork { .. } => "same-network",
            Finding::NoNetwork => "no-network",
            Finding::Decided(Decision::AllowedByPolicy { .. }) => "allowed-by-config",
            Finding::Decided(Decision::AllowedByLibvirt(_)) => "allowed-by-libvirt",
            Finding::Decided(Decision::Denied(_)) => "denied",
            Finding::AdminClosed { .. } => "closed-by-administrator",
            Finding::DeniedByFlushedRules(_) => "denied-by-flushed-rules",
            Finding::ForwardingEnabled { .. } => "forwarding-enabled",
            Finding::ForwardingDisabled { .. } => "forwarding-disabled",
            Finding::Routed { .. } => "routed",
            Finding::Unrouted { .. } => "no-route",
            Finding::Misrouted { .. } => "misrouted",
            Finding::RouteDropped { drop, .. } => drop.kind(),
            Finding::TableInSync => "table-in-sync",
            Finding::TableFaulty { fault, .. } => match fault {
                TableFault::Missing => "table-missing",
                TableFault::OutOfSync => "table-out-of-sync",
            },
            Finding::Gate { state, .. } => match state {
                GateState::Present => "gate-present",
                GateState::NotNeeded => "gate-not-needed",
                GateState::High => "gate-too-high",
                GateState::Missing => "gate-missing",
                GateState::Shadowed => "gate-shadowed",
            },
            Finding::DropsUnmarked { .. } => "drops-unmarked",
            Finding::BlockingChain { .. } => "blocking-chain",
            Finding::MayBlock { .. } => "may-block",
            Finding::LibvirtRulesFlushed => "libvirt-rules-flushed",
            Finding::FirewalldPeersMissing => "firewalld-peers-missing",
            Finding::FirewalldZone(outsider) => match outsider.zone {
                None => "firewalld-default-zone",
                Some(_) => "firewalld-other-zone",
            },
            Finding::DockerDrops { .. } => "docker-drops",
            Finding::SourceKept { .. } => "source-kept",
            Finding::Masqueraded { .. } => "masqueraded",
            Finding::ReturnRouteNeeded { .. } => "return-route-needed",
        }
    }
}

impl RouteDrop {
    fn kind(&self) -> &'static str {
        match self {
            RouteDrop::StrictReversePath { .. } => "strict-reverse-path",
            RouteDrop::NoReversePath { .. } => "no-reverse-path",
            RouteDrop::NoRoute { .. } => "no-route",
            RouteDrop::NotForwarded { .. } => "not-forwarded",
            RouteDrop::Other { .. } => "route-error",
        }
    }
}
