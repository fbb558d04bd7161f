//! Prepares a probe: finds unused addresses and writes the cleanup journal.

use std::{net::IpAddr, ops::Range, thread};

use anyhow::{Result, anyhow, bail};
use virt_forward_policy::{
    Packet,
    network::Network,
    sanitize::{argument, escape},
};

use super::{
    cleanup::{CleanupJournal, KernelLeftovers},
    plan::{bridge, candidates},
    rules::protocol_number,
};
use crate::{
    endpoint::{EndpointKind, ResolvedEndpoint},
    host::{Host, Interface},
    neighbors,
};

/// Ports above net.ipv4.ip_local_port_range, which no program gets by default: a host that has the
/// source address does not use them.
const PORTS: Range<u32> = 61_100..65_100;

/// A probe whose addresses are chosen, and that has changed nothing yet.
pub(crate) struct PreparedProbe {
    pub(super) packet: Packet,
    /// The source port, or the identifier of an echo request.
    pub(super) port: u16,
    pub(super) journal: CleanupJournal,
}

/// Chooses unused addresses for both endpoints, and writes the cleanup journal.
///
/// # Errors
///
/// If another host uses the address to send from, if a network has no free address, or if the
/// journal cannot be written.
pub(crate) fn prepare<'a>(
    from: ResolvedEndpoint<'a>,
    to: ResolvedEndpoint<'a>,
    packet: Packet,
    host: &Host,
) -> Result<(ResolvedEndpoint<'a>, ResolvedEndpoint<'a>, PreparedProbe)> {
    let span = PORTS.end - PORTS.start;
    let port = u16::try_from(PORTS.start + std::process::id() % span)?;
    let mut choices = (Vec::new(), Vec::new());
    let journal = CleanupJournal::write(|used| {
        choices = (
            source_candidates(&from, used),
            destination_candidates(&to, used),
        );
        leftovers((&from, &choices.0), (&to, &choices.1), packet, port, host)
    })?;
    let (sources, destinations) = choices;
    // Each wait for a reply of a neighbour takes a second: both at once.
    let (from, to) = thread::scope(|scope| {
        let to = scope.spawn(|| choose_address(to, destinations, host));
        (choose_address(from, sources, host), to.join())
    });
    let to = to.unwrap_or_else(|_| Err(anyhow!("cannot look for a free address")));
    let prepared = PreparedProbe {
        packet,
        port,
        journal,
    };
    Ok((from?, to?, prepared))
}

/// The addresses to send from, best first; empty for an external host, which is impersonated.
fn source_candidates(endpoint: &ResolvedEndpoint, used: &[IpAddr]) -> Vec<IpAddr> {
    match (endpoint.network, &endpoint.kind) {
        (None, _) => Vec::new(),
        (Some(_), EndpointKind::Address) => vec![endpoint.address],
        (Some(network), EndpointKind::Network | EndpointKind::Guest(_)) => {
            free_candidates(network, endpoint.address, used)
        }
    }
}

/// The addresses to send to, best first; empty if the packet goes to the host that has the address.
fn destination_candidates(endpoint: &ResolvedEndpoint, used: &[IpAddr]) -> Vec<IpAddr> {
    match (endpoint.network, &endpoint.kind) {
        (Some(network), EndpointKind::Network) => free_candidates(network, endpoint.address, used),
        _ => Vec::new(),
    }
}

fn free_candidates(network: &Network, beside: IpAddr, used: &[IpAddr]) -> Vec<IpAddr> {
    let mut own = network.addresses.iter();
    let own = own.find(|net| net.contains(&beside));
    own.map(|own| candidates(own, used)).unwrap_or_default()
}

/// The endpoint with the first of its candidates that no neighbour uses.
fn choose_address<'a>(
    endpoint: ResolvedEndpoint<'a>,
    choices: Vec<IpAddr>,
    host: &Host,
) -> Result<ResolvedEndpoint<'a>> {
    let (Some(network), Ok(bridge)) = (endpoint.network, bridge(&endpoint, host)) else {
        return Ok(endpoint);
    };
    let name = escape(&network.name);
    if choices.is_empty() {
        if endpoint.kind == EndpointKind::Network {
            bail!("{name} has no free address");
        }
        return Ok(endpoint);
    }
    let used = neighbors::resolve(&choices, bridge.index)?;
    let free = choices.into_iter().find(|one| !used.contains(one));
    match (free, &endpoint.kind) {
        (Some(_), EndpointKind::Address) => Ok(endpoint),
        (Some(free), _) => Ok(ResolvedEndpoint {
            address: free,
            network: endpoint.network,
            kind: EndpointKind::Network,
        }),
        (None, EndpointKind::Address) => bail!(
            "{} is in use: a probe from it would get the replies of its owner\n\
             hint: name the network to probe from a free address: virt-forward check {} … --probe",
            endpoint.address,
            argument(&network.name)
        ),
        (None, _) => bail!("no free address was found in {name}"),
    }
}

/// What the kernel may learn from the probe, and does not know yet.
fn leftovers(
    (from, sources): (&ResolvedEndpoint, &[IpAddr]),
    (to, destinations): (&ResolvedEndpoint, &[IpAddr]),
    packet: Packet,
    port: u16,
    host: &Host,
) -> Result<KernelLeftovers> {
    let sources = choices_or_own(from, sources);
    let destinations = choices_or_own(to, destinations);
    // In the order of deletion: see KernelLeftovers.
    let mut neighbours = unknown_neighbours(to, &destinations, host)?;
    neighbours.extend(unknown_neighbours(from, &sources, host)?);
    Ok(KernelLeftovers {
        protocol: protocol_number(packet, from.address.is_ipv4()),
        sources,
        destinations,
        port,
        neighbours,
    })
}

fn choices_or_own(endpoint: &ResolvedEndpoint, choices: &[IpAddr]) -> Vec<IpAddr> {
    if choices.is_empty() {
        vec![endpoint.address]
    } else {
        choices.to_vec()
    }
}

/// Those of the addresses without a neighbour entry, with the interface that would get it.
fn unknown_neighbours(
    endpoint: &ResolvedEndpoint,
    addresses: &[IpAddr],
    host: &Host,
) -> Result<Vec<(IpAddr, String)>> {
    let Some(interface) = interface(endpoint, host) else {
        return Ok(Vec::new());
    };
    let known = neighbors::entries(interface.index)?;
    let unknown = addresses.iter().filter(|one| !known.contains(one));
    Ok(unknown.map(|one| (*one, interface.name.clone())).collect())
}

fn interface<'a>(endpoint: &ResolvedEndpoint, host: &'a Host) -> Option<&'a Interface> {
    match endpoint.network {
        Some(_) => bridge(endpoint, host).ok(),
        None => host.interface(host.link_of(endpoint.address)?),
    }
}
