//! Forwarding and routing of the packet and of its reply.

use std::{io, net::IpAddr};

use super::{
    finding::{Direction, Finding, RouteDrop},
    path::{PathEvaluation, PathRoute},
};
use crate::{endpoint::ResolvedEndpoint, host::Incoming};

impl PathEvaluation<'_> {
    /// Evaluates forwarding and routing in both directions; `None` if an endpoint is on no
    /// interface.
    pub(super) fn routes(&mut self) -> anyhow::Result<Option<PathRoute>> {
        let context = self.context;
        let (from, to) = (&context.from, &context.to);
        let (Some(iif), Some(oif)) = (self.interface(from, to)?, self.interface(to, from)?) else {
            return Ok(None);
        };
        self.forwarding(&iif, Direction::Forward);
        self.forwarding(&oif, Direction::Reply);
        self.route(Direction::Forward, (from, to), (&iif, &oif))?;
        self.route(Direction::Reply, (to, from), (&oif, &iif))?;
        Ok(Some(PathRoute { iif, oif }))
    }

    /// The interface that an endpoint is behind: the bridge of its network, or the one that the
    /// kernel routes packets from the `other` endpoint to, with all rules and next hops.
    fn interface(
        &mut self,
        endpoint: &ResolvedEndpoint,
        other: &ResolvedEndpoint,
    ) -> anyhow::Result<Option<String>> {
        if let Some(network) = endpoint.network {
            return Ok(network.routed_bridge().map(ToString::to_string));
        }
        let host = self.context.host;
        // A neighbour's packets arrive on its own link, whatever the routes say.
        if let Some(link) = host.neighbouring_link(endpoint.address) {
            return Ok(Some(link.to_owned()));
        }
        let bridge = other.network.and_then(|network| network.routed_bridge());
        if let Some(bridge) = bridge {
            let packet = Incoming {
                from: other.address,
                to: endpoint.address,
                interface: bridge.to_string(),
            };
            if let Ok(interface) = self.context.kernel.route(&packet)? {
                return Ok(Some(interface));
            }
        }
        let link = host.link_of(endpoint.address).map(str::to_owned);
        if link.is_none() {
            self.found(Finding::Unrouted {
                destination: endpoint.address,
            });
        }
        Ok(link)
    }

    fn forwarding(&mut self, interface: &str, direction: Direction) {
        let is_ipv4 = self.context.to.address.is_ipv4();
        let interface = interface.to_owned();
        let is_enabled = self.context.settings.forwards(&interface, is_ipv4);
        self.found(if is_enabled {
            Finding::ForwardingEnabled {
                interface,
                direction,
            }
        } else {
            Finding::ForwardingDisabled {
                interface,
                direction,
                is_ipv4,
            }
        });
    }

    /// Compares the kernel's routing decision for a packet with the interface that its
    /// destination is behind.
    fn route(
        &mut self,
        direction: Direction,
        (from, to): (&ResolvedEndpoint, &ResolvedEndpoint),
        (iif, expected): (&str, &str),
    ) -> anyhow::Result<()> {
        let packet = Incoming {
            from: from.address,
            to: to.address,
            interface: iif.to_owned(),
        };
        let (source, destination) = (from.address, to.address);
        let finding = match self.context.kernel.route(&packet)? {
            Ok(oif) if oif == expected => Finding::Routed {
                direction,
                source,
                destination,
                iif: iif.to_owned(),
                oif,
            },
            Ok(oif) => Finding::Misrouted {
                direction,
                source,
                destination,
                oif,
                expected: expected.to_owned(),
            },
            Err(error) => Finding::RouteDropped {
                direction,
                drop: self.route_drop(&error, source, destination, iif),
            },
        };
        self.found(finding);
        Ok(())
    }

    /// The meaning of the kernel's error.
    fn route_drop(
        &self,
        error: &io::Error,
        source: IpAddr,
        destination: IpAddr,
        iif: &str,
    ) -> RouteDrop {
        let is_rp_filter_strict =
            source.is_ipv4() && self.context.settings.is_rp_filter_strict(iif);
        let other = self.context.host.route_to(source);
        if let Some(other) = other.filter(|route| is_rp_filter_strict && route.interface != iif) {
            return RouteDrop::StrictReversePath {
                source,
                iif: iif.to_owned(),
                oif: other.interface.clone(),
            };
        }
        let iif = iif.to_owned();
        match error.kind() {
            io::ErrorKind::CrossesDevices => RouteDrop::NoReversePath { source, iif },
            io::ErrorKind::NetworkUnreachable => RouteDrop::NoRoute { destination },
            io::ErrorKind::HostUnreachable => RouteDrop::NotForwarded { iif, destination },
            _ => RouteDrop::Other {
                source,
                destination,
                error: error.to_string(),
            },
        }
    }
}
