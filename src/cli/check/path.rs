//! The path of a packet through this host, step by step.

use std::net::IpAddr;

use virt_forward_policy::{
    Decision, evaluate,
    network::{BridgeName, Mode, Network},
};

use super::{
    context::CheckContext,
    finding::{Finding, Masquerader},
    report::CheckReport,
};
use crate::endpoint::ResolvedEndpoint;

/// Evaluates the whole path, also beyond the first step that blocks: more than one thing may have
/// to be fixed.
///
/// # Errors
///
/// If the kernel cannot be asked.
pub(crate) fn evaluate_path<'a>(context: &CheckContext<'a>) -> anyhow::Result<CheckReport<'a>> {
    let mut evaluation = PathEvaluation {
        context,
        findings: Vec::new(),
    };
    let source = evaluation.run()?;
    Ok(CheckReport {
        from: context.from.clone(),
        to: context.to.clone(),
        packet: context.packet,
        source,
        findings: evaluation.findings,
        probe: None,
    })
}

/// The interfaces that a packet enters and leaves by.
pub(super) struct PathRoute {
    pub(super) iif: String,
    pub(super) oif: String,
}

/// An evaluation in progress.
pub(super) struct PathEvaluation<'a> {
    pub(super) context: &'a CheckContext<'a>,
    findings: Vec<Finding>,
}

impl PathEvaluation<'_> {
    pub(super) fn found(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    /// Collects the findings; returns the source address that the destination sees.
    fn run(&mut self) -> anyhow::Result<Option<IpAddr>> {
        let (from, to) = (&self.context.from, &self.context.to);
        self.network(from, to)?;
        self.network(to, from)?;
        match (from.network, to.network) {
            (Some(one), Some(other)) if one.name == other.name => {
                let network = one.name.clone();
                self.found(Finding::SameNetwork { network });
                return Ok(Some(from.address));
            }
            (None, None) => {
                self.found(Finding::NoNetwork);
                return Ok(None);
            }
            _ => {}
        }
        let Some(route) = self.routes()? else {
            return Ok(None);
        };
        let decision = self.policy();
        self.firewalls(&decision);
        self.docker(&route);
        Ok(self.source(&decision, &route))
    }

    /// The network of an endpoint, its bridge and the guest.
    fn network(
        &mut self,
        endpoint: &ResolvedEndpoint,
        other: &ResolvedEndpoint,
    ) -> anyhow::Result<()> {
        let Some(network) = endpoint.network else {
            return Ok(());
        };
        let Some(bridge) = network.routed_bridge() else {
            self.found(Finding::NetworkNotRouted {
                network: network.name.clone(),
                mode: network.mode,
            });
            return Ok(());
        };
        self.bridge(network, bridge);
        self.guest(endpoint, bridge)?;
        // libvirt's DHCP gives no default route there (src/network/bridge_driver.c,
        // `networkDnsmasqConfContents`: dhcp-option=3).
        if network.mode == Mode::Isolated {
            let mut own = network.addresses.iter().map(ipnet::IpNet::addr);
            self.found(Finding::NoDefaultRoute {
                network: network.name.clone(),
                destination: other.address,
                gateway: own.find(|one| one.is_ipv4() == other.address.is_ipv4()),
            });
        }
        Ok(())
    }

    fn bridge(&mut self, network: &Network, bridge: &BridgeName) {
        let (network, bridge) = (network.name.clone(), bridge.clone());
        let interface = self.context.host.interface(bridge.as_str());
        self.found(match interface {
            None => Finding::BridgeMissing { network, bridge },
            Some(interface) if !interface.is_up => Finding::BridgeDown { network, bridge },
            Some(_) => Finding::NetworkActive { network, bridge },
        });
    }

    fn guest(&mut self, endpoint: &ResolvedEndpoint, bridge: &BridgeName) -> anyhow::Result<()> {
        let kernel = self.context.kernel;
        let address = endpoint.address;
        if endpoint.is_one_host() && kernel.has_neighbour(address, bridge.as_str())? == Some(false)
        {
            let bridge = bridge.clone();
            self.found(Finding::NeighbourUnreachable { address, bridge });
        }
        Ok(())
    }

    fn policy(&mut self) -> Decision {
        let context = self.context;
        let from = context.policy_endpoint(&context.from);
        let to = context.policy_endpoint(&context.to);
        let usable = &context.inspection.wanted.usable;
        let decision = evaluate(usable, context.packet, &from, &to);
        let endpoints = [&context.from, &context.to].into_iter();
        let closed: Vec<_> = endpoints
            .filter_map(|endpoint| endpoint.network)
            .filter(|network| context.is_admin_closed(network))
            .map(|network| network.name.clone())
            .collect();
        self.found(match &decision {
            Decision::Denied(denial) if !closed.is_empty() => Finding::AdminClosed {
                networks: closed,
                denial: denial.clone(),
            },
            Decision::Denied(denial) if context.is_libvirt_flushed() => {
                Finding::DeniedByFlushedRules(denial.clone())
            }
            decision => Finding::Decided(decision.clone()),
        });
        decision
    }

    /// The source address that the destination sees; `None` if the packet is denied, or if the
    /// interface that it leaves by has no address.
    fn source(&mut self, decision: &Decision, route: &PathRoute) -> Option<IpAddr> {
        let context = self.context;
        let source = context.from.address;
        let is_kept = match decision {
            Decision::Denied(_) => return None,
            // The identity SNAT is a rule of the table.
            Decision::AllowedByPolicy { keeps_source, .. } => {
                *keeps_source && context.inspection.table.is_some()
            }
            Decision::AllowedByLibvirt(_) => false,
        };
        let host = &context.inspection.wanted.host;
        let by = if host.masqueraded.contains(&route.iif) {
            Some(Masquerader::Docker)
        } else {
            let network = context.from.network.filter(|_| !is_kept);
            network
                .filter(|network| network.is_masqueraded(source.is_ipv4()))
                .map(|_| Masquerader::Libvirt)
        };
        let Some(by) = by else {
            self.found(Finding::SourceKept { source });
            self.return_route();
            return Some(source);
        };
        let interface = context.host.interface(&route.oif);
        let mut own = interface.into_iter().flat_map(|one| &one.addresses);
        let own = own.find(|net| net.addr().is_ipv4() == source.is_ipv4());
        let source = own.map(ipnet::IpNet::addr);
        self.found(Finding::Masqueraded { by, source });
        source
    }

    /// An external host that sees a guest's address needs a route to it, which this host cannot
    /// see.
    fn return_route(&mut self) {
        if let (Some(network), None) = (self.context.from.network, self.context.to.network) {
            self.found(Finding::ReturnRouteNeeded {
                host: self.context.to.address,
                network: network.name.clone(),
            });
        }
    }
}
