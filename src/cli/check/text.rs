//! `check` for a terminal.

use std::{fmt::Write, net::IpAddr};

use virt_forward_policy::{
    Decision, Denial,
    sanitize::{argument, arguments, escape},
};
use virt_forward_ruleset::gates::GateState;

use super::{
    finding::{Direction, Finding, Masquerader, RouteDrop, TableFault},
    report::{CheckReport, Explanation, Verdict},
};
use crate::{
    output,
    step::StepLine,
    terminal::{Style, Terminal},
};

impl CheckReport<'_> {
    /// A line for each step, the conclusion, and what to do.
    pub(crate) fn render(&self, screen: &Terminal) -> String {
        let head = format!("{} from {} to {}", self.packet, self.from, self.to);
        let mut text = format!("{}\n\n", title(&head, screen));
        for finding in &self.findings {
            text.push_str(&finding.line().render(screen));
        }
        if let Some(probe) = &self.probe {
            let head = format!(
                "Probe: {} from {} to {}",
                self.packet, probe.source, probe.destination
            );
            let _ = writeln!(text, "\n{}\n", title(&head, screen));
            for line in probe.lines() {
                text.push_str(&line.render(screen));
            }
        }
        let tone = match self.verdict() {
            Verdict::Open => Style::Good,
            Verdict::Blocked => Style::Bad,
        };
        let conclusion = output::wrapped(&self.conclusion(), screen.text_width());
        let _ = writeln!(text, "\n{}", screen.paint(tone, &conclusion));
        for fix in self.fixes() {
            let _ = writeln!(text, "  {fix}");
        }
        text
    }

    /// The verdict and its cause, on one line.
    pub(super) fn conclusion(&self) -> String {
        let Some(probe) = &self.probe else {
            return self.evaluated();
        };
        let explanation = match self.explanation(probe) {
            Explanation::Cause(finding) => format!(" Cause: {}.", finding.text()),
            Explanation::Agreement => self.reservations(),
            Explanation::NoCause => " No other cause was found.".to_owned(),
            Explanation::Contradiction(finding) => {
                format!(" It passed despite this: {}.", finding.text())
            }
        };
        probe.conclusion() + &explanation
    }

    /// The conclusion of the evaluation alone.
    fn evaluated(&self) -> String {
        if let Some(finding) = self.blocked().next() {
            return format!("Blocked: {}.", finding.text());
        }
        let Self {
            from, to, packet, ..
        } = self;
        let source = self.source.filter(|source| *source != from.address);
        let source = source.map(|source| format!(" with the source address {source}"));
        format!(
            "Open: {packet} from {from} reaches {to}{}.{}",
            source.unwrap_or_default(),
            self.reservations()
        )
    }

    fn reservations(&self) -> String {
        let caveats: Vec<_> = self.caveats().map(Finding::text).collect();
        if caveats.is_empty() {
            String::new()
        } else {
            format!(" But: {}.", caveats.join("; "))
        }
    }

    /// Lines that fix what blocks the packet, and then what may.
    fn fixes(&self) -> Vec<String> {
        let findings = self.blocked().chain(self.caveats());
        let mut fixes: Vec<_> = findings.flat_map(Finding::fixes).collect();
        fixes.extend(self.probe_fixes());
        fixes
    }

    /// Lines about the rule that dropped the probe, unless the evaluation found a cause.
    pub(super) fn probe_fixes(&self) -> Vec<String> {
        match &self.probe {
            Some(probe) if self.blocked().next().is_none() => probe.fixes(),
            _ => Vec::new(),
        }
    }
}

fn title(head: &str, screen: &Terminal) -> String {
    let head = output::wrapped(head, screen.text_width());
    screen.paint(Style::Head, &head)
}

impl Finding {
    fn line(&self) -> StepLine {
        StepLine {
            status: self.status(),
            stage: self.stage().as_str(),
            text: self.text(),
        }
    }

    /// The finding, as a message.
    pub(super) fn text(&self) -> String {
        match self {
            Finding::NetworkActive { network, bridge } => {
                format!("{} is active, its bridge {bridge} is up", escape(network))
            }
            Finding::NetworkNotRouted { network, mode } => format!(
                "this host does not route {} (mode {})",
                escape(network),
                mode.word()
            ),
            Finding::BridgeMissing { network, bridge } => format!(
                "bridge {bridge} of {} does not exist, although libvirt reports the network as \
                 active",
                escape(network)
            ),
            Finding::BridgeDown { network, bridge } => {
                format!("bridge {bridge} of {} is down", escape(network))
            }
            Finding::NeighbourUnreachable { address, bridge } => {
                let protocol = if address.is_ipv4() { "ARP" } else { "NDP" };
                format!("no {protocol} reply for {address} on {bridge}; is the guest running?")
            }
            Finding::NoDefaultRoute {
                network,
                destination,
                ..
            } => format!(
                "guests of {} get no default route from libvirt because it is isolated; they need \
                 a route to {destination}",
                escape(network)
            ),
            Finding::SameNetwork { network } => format!(
                "both endpoints are in {}: bridged, not filtered by this host",
                escape(network)
            ),
            Finding::NoNetwork => "neither endpoint is in a virtual network".to_owned(),
            Finding::Decided(Decision::AllowedByPolicy { grant, .. }) => grant.to_string(),
            Finding::Decided(Decision::AllowedByLibvirt(libvirt)) => {
                format!("no group or rule allows it, but {libvirt}")
            }
            Finding::Decided(Decision::Denied(denial)) => denial.to_string(),
            Finding::AdminClosed { networks, denial } => closed(networks, denial),
            Finding::DeniedByFlushedRules(denial) => {
                format!("{denial}, but libvirt's rules were flushed")
            }
            Finding::ForwardingEnabled {
                interface,
                direction,
            } => format!("forwarding is enabled on {interface}{}", direction.suffix()),
            Finding::ForwardingDisabled {
                interface,
                direction,
                is_ipv4,
            } => forwarding_disabled(interface, *direction, *is_ipv4),
            Finding::Routed {
                source,
                destination,
                iif,
                oif,
                ..
            } => format!("from {source} to {destination}: iif {iif}, oif {oif}"),
            Finding::Unrouted { destination } => no_route(*destination),
            Finding::Misrouted {
                source,
                destination,
                oif,
                expected,
                ..
            } => format!(
                "from {source} to {destination}: oif {oif}, but {destination} is behind {expected}"
            ),
            Finding::RouteDropped { drop, .. } => drop.text(),
            Finding::TableInSync => "inet virt_forward marks the packet".to_owned(),
            Finding::TableFaulty { fault, is_needed } => {
                let fault = match fault {
                    TableFault::Missing => "is missing",
                    TableFault::OutOfSync => "is out of sync with the config",
                };
                needed(format!("table inet virt_forward {fault}"), *is_needed)
            }
            Finding::Gate {
                chain,
                owner,
                state,
                is_needed,
            } => gate(&format!("{chain} ({owner})"), *state, *is_needed),
            Finding::DropsUnmarked { chain, owner } => format!(
                "{chain} ({owner}) drops the packet unless one of its own rules accepts it; the \
                 config does not allow it"
            ),
            Finding::BlockingChain { chain, .. } => {
                format!("{chain} drops packets that none of its rules accepts")
            }
            Finding::MayBlock { chain } => {
                format!("{chain} has rules that drop packets, and no gate")
            }
            Finding::LibvirtRulesFlushed => "libvirt's rules were flushed".to_owned(),
            Finding::FirewalldPeersMissing => "firewalld has no rules for the peers".to_owned(),
            Finding::FirewalldZone(outsider) => match &outsider.zone {
                None => format!(
                    "{} is in firewalld's default zone, which rejects the packet",
                    outsider.bridge
                ),
                Some(zone) => format!(
                    "{} is in firewalld's zone {zone}, which may reject the packet",
                    outsider.bridge
                ),
            },
            Finding::DockerDrops { destination, iif } => format!(
                "Docker drops packets to the container's own address {destination} that arrive on \
                 {iif}"
            ),
            Finding::SourceKept { source } => {
                format!("the packet arrives with its own address, {source}")
            }
            Finding::Masqueraded { by, source } => masqueraded(*by, *source),
            Finding::ReturnRouteNeeded { host, network } => {
                format!("{host} needs a route to {} via this host", escape(network))
            }
        }
    }

    /// Lines for a shell or the config that fix the finding; none for status "ok".
    pub(super) fn fixes(&self) -> Vec<String> {
        match self {
            Finding::BridgeMissing { network, .. } => {
                let name = argument(network);
                vec![format!("virsh net-destroy {name}; virsh net-start {name}")]
            }
            Finding::BridgeDown { bridge, .. } => vec![format!("ip link set {bridge} up")],
            Finding::NoDefaultRoute {
                destination,
                gateway: Some(gateway),
                ..
            } => vec![format!(
                "ip route add {destination} via {gateway}   # in the guest"
            )],
            Finding::Decided(Decision::Denied(denial)) => match denial.example() {
                Some(example) => {
                    let mut lines = vec!["add to the config, for example:".to_owned()];
                    lines.extend(example.lines());
                    lines
                }
                None => Vec::new(),
            },
            Finding::AdminClosed { networks, .. } => {
                let names = arguments(networks.iter().map(String::as_str));
                vec![format!("virt-forward apply {names}")]
            }
            Finding::ForwardingDisabled { .. }
            | Finding::TableFaulty { .. }
            | Finding::FirewalldPeersMissing => vec!["virt-forward apply".to_owned()],
            Finding::Gate {
                state: GateState::High | GateState::Missing | GateState::Shadowed,
                ..
            } => vec!["virt-forward apply".to_owned()],
            Finding::RouteDropped {
                drop: RouteDrop::StrictReversePath { iif, .. },
                ..
            } => vec![format!("sysctl net.ipv4.conf.{iif}.rp_filter=2")],
            Finding::DropsUnmarked { .. } => vec!["virt-forward doctor".to_owned()],
            Finding::BlockingChain { remedy, .. } => {
                let mut lines = vec![remedy.what.clone()];
                lines.extend(remedy.lines.iter().cloned());
                lines
            }
            Finding::LibvirtRulesFlushed => {
                vec!["systemctl restart libvirtd   # or virtnetworkd".to_owned()]
            }
            Finding::FirewalldZone(outsider) => vec![outsider.remedy()],
            Finding::DockerDrops { iif, .. } => vec![format!(
                "docker network create -o \
                 com.docker.network.bridge.trusted_host_interfaces={iif} …"
            )],
            Finding::ReturnRouteNeeded { .. } => vec!["virt-forward routes".to_owned()],
            _ => Vec::new(),
        }
    }
}

impl Direction {
    fn suffix(self) -> &'static str {
        match self {
            Direction::Forward => "",
            Direction::Reply => " (reply path)",
        }
    }
}

impl RouteDrop {
    fn text(&self) -> String {
        match self {
            RouteDrop::StrictReversePath { source, iif, oif } => format!(
                "rp_filter is 1 on {iif}: packets from {source} are dropped because this host \
                 routes {source} via {oif}"
            ),
            RouteDrop::NoReversePath { source, iif } => format!(
                "this host has no route back to {source} via {iif}, so rp_filter drops its packets"
            ),
            RouteDrop::NoRoute { destination } => no_route(*destination),
            RouteDrop::NotForwarded { iif, destination } => format!(
                "this host does not forward packets that arrive on {iif}, or has no route to \
                 {destination}"
            ),
            RouteDrop::Other {
                source,
                destination,
                error,
            } => format!("this host does not forward from {source} to {destination}: {error}"),
        }
    }
}

fn closed(networks: &[String], denial: &Denial) -> String {
    let names: Vec<_> = networks.iter().map(|name| escape(name)).collect();
    let verb = if names.len() == 1 { "is" } else { "are" };
    format!(
        "{} {verb} closed by the administrator, and {denial}",
        names.join(" and ")
    )
}

fn forwarding_disabled(interface: &str, direction: Direction, is_ipv4: bool) -> String {
    let cause = if is_ipv4 {
        format!("net.ipv4.conf.{interface}.forwarding is 0")
    } else {
        format!(
            "neither net.ipv6.conf.all.forwarding nor \
             net.ipv6.conf.{interface}.force_forwarding is 1"
        )
    };
    format!(
        "forwarding is disabled on {interface}{}: {cause}",
        direction.suffix()
    )
}

fn no_route(destination: IpAddr) -> String {
    format!("this host has no route to {destination}")
}

fn gate(chain: &str, state: GateState, is_needed: bool) -> String {
    match state {
        GateState::Present => format!("{chain} accepts marked packets"),
        GateState::NotNeeded => format!("{chain} drops no marked packet"),
        GateState::High => format!(
            "the gate in {chain} is above rules that drop some packets, so marked packets skip \
             those rules"
        ),
        GateState::Missing => {
            let text = format!("there is no gate in {chain}");
            if is_needed {
                format!("{text}, which drops the packet")
            } else {
                needed(text, false)
            }
        }
        GateState::Shadowed => {
            let text = format!("the gate in {chain} is shadowed by rules before it");
            needed(text, is_needed)
        }
    }
}

fn needed(text: String, is_needed: bool) -> String {
    if is_needed {
        text
    } else {
        format!("{text}; the packet passes without it")
    }
}

fn masqueraded(by: Masquerader, source: Option<IpAddr>) -> String {
    let by = match by {
        Masquerader::Docker => "Docker",
        Masquerader::Libvirt => "libvirt",
    };
    match source {
        Some(source) => {
            format!("{by} masquerades the packet: it arrives with the address {source}")
        }
        None => format!("{by} masquerades the packet: it arrives with an address of this host"),
    }
}
