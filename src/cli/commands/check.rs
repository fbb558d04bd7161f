//! `check`: why a packet passes, or what blocks it.

use std::net::IpAddr;

use anyhow::{Result, bail};
use virt_forward_policy::{
    Packet,
    sanitize::{argument, escape},
};
use virt_forward_reconcile as reconcile;

use super::{config, deadline};
use crate::{
    args::{Args, CheckArgs},
    check::{self, CheckContext, KernelLookup, NamedEndpoint, ResolveError, Verdict},
    endpoint::ResolvedEndpoint,
    exit::Exit,
    host::{Forwarded, Host, Incoming},
    libvirt,
    networks::Networks,
    output, probe, sysctl,
    terminal::Terminal,
};

/// Evaluates the path of a packet, sends one if asked to, and prints the report.
pub(crate) fn check(args: &Args, asked: &CheckArgs) -> Result<Exit> {
    let config = config(args)?;
    let networks = Networks::find(args.connect.as_deref())?;
    let host = Host::ask()?;
    let (from, to) = match endpoints(args, asked, &networks, &host) {
        Ok(endpoints) => endpoints,
        Err(error) => return unresolved(&error, &networks),
    };
    let packet = packet(asked);
    let (from, to, prepared) = if asked.probe {
        let (from, to, prepared) = probe::prepare(from, to, packet, &host)?;
        (from, to, Some(prepared))
    } else {
        (from, to, None)
    };
    let inspection = reconcile::inspect(&config, networks.as_active(), deadline())?;
    let mut report = check::evaluate_path(&CheckContext {
        config: &config,
        inspection: &inspection,
        host: &host,
        settings: &sysctl::Kernel,
        kernel: &host,
        from,
        to,
        packet,
    })?;
    let mut probe_error = None;
    if let Some(prepared) = prepared {
        match probe::probe(prepared, &report.from, &report.to, &host, deadline()) {
            Ok(probe) => report = report.with_probe(probe),
            Err(error) => probe_error = Some(error),
        }
    }
    let screen = Terminal::of_stdout(args.color);
    let text = if asked.json {
        report.to_json()?
    } else {
        report.render(&screen)
    };
    output::print_painted(&text, &screen)?;
    if let Some(error) = probe_error {
        return Err(error.context("cannot probe"));
    }
    Ok(match report.verdict() {
        Verdict::Open => Exit::Success,
        Verdict::Blocked => Exit::Drift,
    })
}

fn packet(asked: &CheckArgs) -> Packet {
    match (asked.tcp, asked.udp) {
        (Some(port), _) => Packet::Tcp(port),
        (None, Some(port)) => Packet::Udp(port),
        (None, None) => Packet::Icmp,
    }
}

fn endpoints<'a>(
    args: &Args,
    asked: &CheckArgs,
    networks: &'a Networks,
    host: &Host,
) -> Result<(ResolvedEndpoint<'a>, ResolvedEndpoint<'a>), ResolveError> {
    let named = |word: &str| {
        NamedEndpoint::new(word, &networks.active, || {
            guest_addresses(args, word, networks)
        })
    };
    let (from, to) = (named(&asked.from)?, named(&asked.to)?);
    check::resolve_endpoints(&from, &to, &networks.active, host)
}

/// The addresses of the guest with that name; none if it is the name of a network.
fn guest_addresses(args: &Args, name: &str, networks: &Networks) -> Vec<IpAddr> {
    if networks.has(name) {
        return Vec::new();
    }
    // A libvirt that does not answer knows no guest of that name either.
    libvirt::addresses_of(args.connect.as_deref(), name).unwrap_or_default()
}

fn unresolved(error: &ResolveError, networks: &Networks) -> Result<Exit> {
    match error {
        ResolveError::Unknown(word) if networks.has(word) => bail!(
            "network {} is not active\nhint: virsh net-start {}",
            escape(word),
            argument(word)
        ),
        ResolveError::Unknown(word) => bail!(
            "{} is not an address, a network, or a running guest with a known address; networks: \
             {}",
            escape(word),
            networks.listed()
        ),
        ResolveError::NoCommonFamily => {
            bail!("FROM and TO have no address family in common")
        }
        ResolveError::ThisHost(address) => bail!(
            "{address} is an address of this host: its packets are not forwarded, so virt-forward \
             does not filter them"
        ),
    }
}

impl KernelLookup for Host {
    fn route(&self, packet: &Incoming) -> Result<Forwarded> {
        self.forwards(packet)
    }

    fn has_neighbour(&self, address: IpAddr, interface: &str) -> Result<Option<bool>> {
        self.knows(address, interface)
    }
}
