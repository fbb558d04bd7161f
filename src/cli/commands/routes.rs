//! `routes`: prints the routes that LAN hosts and routers need.

use anyhow::{Result, bail};
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
        Announcement, AnnouncementOptions, Format, Plan, Protocol, RouteOptions, RoutingDaemon,
    },
    sysctl::Kernel,
};

/// Prints the routes, or the configuration of this host's routing daemon.
pub(crate) fn routes(args: &Args, options: &RoutesArgs) -> Result<Exit> {
    let config = config(args)?;
    let interface = match &options.interface {
        None => options.format.default_interface(),
        Some(name) if name.parse::<BridgeName>().is_ok() => name,
        Some(name) => {
            let error = format!("--interface {name}: not a valid interface name");
            return Ok(usage_error(&error));
        }
    };
    let networks = Networks::find(args.connect.as_deref())?;
    let config = reconcile::usable(&config, &networks.active, deadline())?;
    let host = Host::ask()?;
    if let Some(protocol) = options.announce {
        return announce(&config, networks, &host, options, protocol);
    }
    let route_options = route_options(options);
    let plan = match Plan::new(&config, &networks.active, &host, &route_options, &Kernel) {
        Ok(plan) if options.format.is_for_routers() => plan.without_defaults(),
        Ok(plan) => plan,
        Err(error) if error.is_usage() => return Ok(usage_error(&error.to_string())),
        Err(error) => bail!(error),
    };
    output::print(&options.format.render(&plan, interface)?)?;
    if !options.format.embeds_warnings() {
        for warning in &plan.warnings {
            output::warn(&warning.to_string());
        }
    }
    Ok(Exit::Success)
}

fn announce(
    config: &Config,
    networks: Networks,
    host: &Host,
    options: &RoutesArgs,
    protocol: Protocol,
) -> Result<Exit> {
    let daemon = match options.format {
        Format::Frr => RoutingDaemon::Frr,
        Format::Bird => RoutingDaemon::Bird,
        _ => {
            let error = "--announce requires --format frr or --format bird";
            return Ok(usage_error(error));
        }
    };
    // The daemon announces a network that is inactive now once it starts.
    let mut defined = networks.active;
    let inactive = networks.inactive.into_iter();
    defined.extend(inactive.filter_map(|network| network.definition));
    let announcement_options = AnnouncementOptions {
        protocol,
        asn: options.asn,
        neighbors: options.neighbor.clone(),
    };
    let route_options = route_options(options);
    match Announcement::new(config, &defined, host, &route_options, announcement_options) {
        Ok(announcement) => output::print(&daemon.render(&announcement))?,
        Err(error) if error.is_usage() => return Ok(usage_error(&error.to_string())),
        Err(error) => bail!(error),
    }
    Ok(Exit::Success)
}

fn route_options(options: &RoutesArgs) -> RouteOptions {
    RouteOptions {
        via: options.via.clone(),
        gateway: options.gateway,
        router: options.router.clone(),
    }
}

fn usage_error(error: &str) -> Exit {
    output::warn(error);
    Exit::Usage
}
