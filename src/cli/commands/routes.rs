//! `routes`: what others need to reach the networks.

use std::net::IpAddr;

use anyhow::{Result, bail};
use ipnet::IpNet;
use virt_forward_policy::{config::Config, network::BridgeName};
use virt_forward_reconcile as reconcile;

use super::{config, deadline};
use crate::{
    args::{Args, RoutesArgs},
    exit::Exit,
    host::Host,
    networks::Networks,
    output,
    routes::{
        Plan, Wish,
        announce::{Announcement, Daemon, Neighbor, Protocol},
        formats::Format,
        listed, own_address,
    },
    settings::Kernel,
};

/// Prints them.
pub(crate) fn routes(args: &Args, wanted: &RoutesArgs) -> Result<Exit> {
    let config = config(args)?;
    let interface = match &wanted.interface {
        None => wanted.format.usual_interface(),
        Some(name) => match name.parse::<BridgeName>() {
            Ok(_) => name,
            Err(_) => {
                return Ok(misused(&format!(
                    "--interface {name}: no name of an interface"
                )));
            }
        },
    };
    let networks = Networks::find(args.connect.as_deref())?;
    let config = reconcile::usable(&config, &networks.active, deadline())?;
    let host = Host::ask()?;
    let wish = Wish {
        via: wanted.via.clone(),
        gateway: wanted.gateway,
        router: wanted.router.clone(),
    };
    if let Some(protocol) = wanted.announce {
        return announce(&config, networks, &host, &wish, wanted, protocol);
    }
    let plan = match Plan::new(&config, &networks.active, &host, &wish, &Kernel) {
        Ok(plan) if wanted.format.is_for_routers() => plan.without_defaults(),
        Ok(plan) => plan,
        Err(why) if why.is_usage() => return Ok(misused(&why.to_string())),
        Err(why) => bail!("{why}"),
    };
    output::print(&wanted.format.text(&plan, interface)?)?;
    if !wanted.format.has_warnings() {
        for warning in &plan.warnings {
            output::complain(warning);
        }
    }
    Ok(Exit::Done)
}

/// Prints the configuration of this host's own daemon.
fn announce(
    config: &Config,
    networks: Networks,
    host: &Host,
    wish: &Wish,
    wanted: &RoutesArgs,
    protocol: Protocol,
) -> Result<Exit> {
    let daemon = match wanted.format {
        Format::Frr => Daemon::Frr,
        Format::Bird => Daemon::Bird,
        _ => {
            return Ok(misused(
                "--announce goes with --format frr or --format bird",
            ));
        }
    };
    match (protocol, wanted.neighbor.is_empty()) {
        (Protocol::Bgp, true) => {
            return Ok(misused("--announce bgp needs a --neighbor, or several"));
        }
        (Protocol::Ospf, false) => {
            return Ok(misused(
                "--neighbor is for BGP: OSPF finds its neighbours by itself",
            ));
        }
        _ => {}
    }
    // Those that are stopped now are announced when they start.
    let inactive = networks
        .inactive
        .into_iter()
        .filter_map(|one| one.definition);
    let networks: Vec<_> = networks.active.into_iter().chain(inactive).collect();
    let networks = listed(config, &networks);
    let address = match own_address(config, &networks, host, wish) {
        Ok(address) => address,
        Err(why) if why.is_usage() => return Ok(misused(&why.to_string())),
        Err(why) => bail!("{why}"),
    };
    let has = |net: &IpNet| net.addr() == IpAddr::V4(address);
    let mut interfaces = host.interfaces.iter();
    let Some(uplink) = interfaces.find(|one| one.addresses.iter().any(has)) else {
        bail!("this host has no interface with the address {address}");
    };
    let lan: Vec<_> = uplink.addresses.iter().map(IpNet::trunc).collect();
    let is_beside = |neighbor: &&Neighbor| !lan.iter().any(|net| net.contains(&neighbor.address));
    if let Some(stranger) = wanted.neighbor.iter().find(is_beside) {
        let address = stranger.address;
        return Ok(misused(&format!(
            "--neighbor {address} is not in the LAN of {}",
            uplink.name
        )));
    }
    let announcement = Announcement {
        protocol,
        router_id: address,
        uplink: uplink.name.clone(),
        lan,
        networks,
        asn: wanted.asn,
        neighbors: wanted.neighbor.clone(),
    };
    output::print(&announcement.text(daemon))?;
    Ok(Exit::Done)
}

fn misused(why: &str) -> Exit {
    output::complain(why);
    Exit::Wrong
}
