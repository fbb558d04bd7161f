//! This host's interfaces, addresses and routes, read through rtnetlink.

use std::{collections::HashMap, io, net::IpAddr};

use anyhow::{Context, Result, anyhow};
use futures_util::TryStreamExt;
use ipnet::IpNet;
use rtnetlink::{
    Handle, IpVersion, RouteMessageBuilder,
    packet_route::{
        AddressFamily,
        address::{AddressAttribute, AddressMessage},
        link::{LinkAttribute, LinkFlags, LinkLayerType},
        route::{RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteType},
        rule::RuleAttribute,
    },
};

use crate::{neighbors, netlink::with_rtnetlink};

/// Interfaces and routes of this host.
#[derive(Clone, Debug, Default)]
pub(crate) struct Host {
    pub(crate) interfaces: Vec<Interface>,
    /// The unicast routes of the main table.
    pub(crate) routes: Vec<Route>,
}

#[derive(Clone, Debug)]
pub(crate) struct Interface {
    pub(crate) index: u32,
    pub(crate) name: String,
    pub(crate) is_up: bool,
    /// The Ethernet address; `None` on an interface without Ethernet.
    pub(crate) mac: Option<[u8; 6]>,
    pub(crate) mtu: u32,
    /// Addresses with prefix lengths, without link-local ones.
    pub(crate) addresses: Vec<IpNet>,
}

#[cfg(test)]
impl Interface {
    pub(crate) fn new(name: &str, addresses: &[&str]) -> Self {
        Self {
            index: 0,
            name: name.to_owned(),
            is_up: true,
            mac: None,
            mtu: 1500,
            addresses: addresses.iter().map(|one| one.parse().unwrap()).collect(),
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Route {
    pub(crate) to: IpNet,
    pub(crate) interface: String,
    /// `None` if the subnet is directly connected.
    pub(crate) gateway: Option<IpAddr>,
    /// The preferred source address of the route, if set.
    pub(crate) source: Option<IpAddr>,
    pub(crate) metric: u32,
}

impl Host {
    /// Reads them from the kernel.
    pub(crate) fn ask() -> Result<Self> {
        with_rtnetlink(async |handle| ask(&handle).await)
            .context("cannot list interfaces and routes")
    }

    /// Asks the kernel how it would route a packet that arrives on an interface.
    pub(crate) fn forwards(&self, packet: &Incoming) -> Result<Forwarded> {
        let Some(interface) = self.interface(&packet.interface) else {
            return Ok(Err(io::ErrorKind::NotFound.into()));
        };
        let index = interface.index;
        let answer = with_rtnetlink(async |handle| ask_for_way(&handle, packet, index).await);
        let interface = answer.context("cannot look up a route")?;
        Ok(interface.and_then(|index| {
            let mut all = self.interfaces.iter();
            let found = all.find(|one| one.index == index);
            found
                .map(|one| one.name.clone())
                .ok_or_else(|| io::ErrorKind::NotFound.into())
        }))
    }

    /// Whether the kernel's neighbor table has a reachable entry for the address on that link.
    pub(crate) fn knows(&self, address: IpAddr, interface: &str) -> Result<Option<bool>> {
        let Some(interface) = self.interface(interface) else {
            return Ok(None);
        };
        neighbors::is_reachable(address, interface.index).context("cannot list neighbors")
    }

    /// The routing rules that match a fwmark: priority, value and mask.
    pub(crate) fn marked_rules() -> Result<Vec<(u32, u32, u32)>> {
        with_rtnetlink(async |handle| ask_for_rules(&handle).await)
            .context("cannot list routing rules")
    }

    pub(crate) fn interface(&self, name: &str) -> Option<&Interface> {
        self.interfaces.iter().find(|one| one.name == name)
    }

    /// The name of an interface by index.
    pub(crate) fn name_of(&self, index: u32) -> Option<&str> {
        let mut all = self.interfaces.iter();
        all.find(|one| one.index == index)
            .map(|one| one.name.as_str())
    }

    /// The interface of the route to an external address; `None` without a route.
    pub(crate) fn link_of(&self, address: IpAddr) -> Option<&str> {
        let way = self.route_to(address).or_else(|| {
            self.route_to(match address {
                IpAddr::V4(_) => [0, 0, 0, 0].into(),
                IpAddr::V6(_) => [0; 16].into(),
            })
        });
        let way = way.map(|way| way.interface.as_str());
        self.neighbouring_link(address).or(way)
    }

    /// The interface whose connected subnet contains the address.
    pub(crate) fn neighbouring_link(&self, address: IpAddr) -> Option<&str> {
        let beside = self.interfaces.iter().find(|one| {
            let mut own = one.addresses.iter();
            own.any(|own| own.contains(&address))
        });
        beside.map(|one| one.name.as_str())
    }

    /// The route to `address`; the default route if it is unspecified.
    pub(crate) fn route_to(&self, address: IpAddr) -> Option<&Route> {
        let routes = self.routes.iter();
        let fitting = routes.filter(|route| match address.is_unspecified() {
            true => route.to == IpNet::new_assert(address, 0),
            false => route.to.contains(&address),
        });
        fitting.max_by_key(|route| (route.to.prefix_len(), std::cmp::Reverse(route.metric)))
    }
}

/// A packet to forward.
pub(crate) struct Incoming {
    pub(crate) from: IpAddr,
    pub(crate) to: IpAddr,
    pub(crate) interface: String,
}

/// The output interface, or the errno of the kernel's refusal: EXDEV if the reverse path check
/// fails (rp_filter), EHOSTUNREACH if forwarding is off, ENETUNREACH without a route.
pub(crate) type Forwarded = io::Result<String>;

async fn ask_for_way(handle: &Handle, packet: &Incoming, index: u32) -> Result<io::Result<u32>> {
    let longest = if packet.to.is_ipv4() { 32 } else { 128 };
    let question = RouteMessageBuilder::<IpAddr>::new()
        .destination_prefix(packet.to, longest)
        .and_then(|question| question.source_prefix(packet.from, longest))
        .map_err(|why| anyhow!("{why:?}"))?
        .input_interface(index);
    let mut answers = handle.route().get(question.build()).execute();
    match answers.try_next().await {
        Ok(Some(answer)) => Ok(way_of(&answer)),
        Ok(None) => Ok(Err(io::ErrorKind::NotFound.into())),
        Err(rtnetlink::Error::NetlinkError(why)) => Ok(Err(why.to_io())),
        Err(why) => Err(why.into()),
    }
}

fn way_of(answer: &RouteMessage) -> io::Result<u32> {
    let mut attributes = answer.attributes.iter();
    let way = attributes.find_map(|one| match one {
        RouteAttribute::Oif(index) => Some(*index),
        _ => None,
    });
    match answer.header.kind {
        RouteType::Unicast => way.ok_or_else(|| io::ErrorKind::NotFound.into()),
        RouteType::Prohibit => Err(io::ErrorKind::PermissionDenied.into()),
        RouteType::Local => Err(io::ErrorKind::AddrInUse.into()),
        _ => Err(io::ErrorKind::NetworkUnreachable.into()),
    }
}

async fn ask_for_rules(handle: &Handle) -> Result<Vec<(u32, u32, u32)>> {
    let mut found = Vec::new();
    for version in [IpVersion::V4, IpVersion::V6] {
        let mut rules = handle.rule().get(version).execute();
        while let Some(rule) = rules.try_next().await? {
            // Without a mask the kernel compares all bits.
            let (mut priority, mut value, mut mask) = (0, None, u32::MAX);
            for attribute in &rule.attributes {
                match attribute {
                    RuleAttribute::Priority(number) => priority = *number,
                    RuleAttribute::FwMark(number) => value = Some(*number),
                    RuleAttribute::FwMask(number) => mask = *number,
                    _ => {}
                }
            }
            found.extend(value.map(|value| (priority, value, mask)));
        }
    }
    Ok(found)
}

async fn ask(handle: &Handle) -> Result<Host> {
    let mut interfaces = links(handle).await?;
    addresses(handle, &mut interfaces).await?;
    let names: HashMap<_, _> = interfaces
        .iter()
        .map(|one| (one.index, one.name.clone()))
        .collect();
    let mut routes = Vec::new();
    for version in [IpVersion::V4, IpVersion::V6] {
        routes.extend(routes_of(handle, version, &names).await?);
    }
    Ok(Host { interfaces, routes })
}

async fn links(handle: &Handle) -> Result<Vec<Interface>> {
    let mut links = handle.link().get().execute();
    let mut interfaces = Vec::new();
    while let Some(link) = links.try_next().await? {
        let is_ethernet = link.header.link_layer_type == LinkLayerType::Ether;
        let mut interface = Interface {
            index: link.header.index,
            name: String::new(),
            is_up: link.header.flags.contains(LinkFlags::Up),
            mac: None,
            mtu: 0,
            addresses: Vec::new(),
        };
        for attribute in link.attributes {
            match attribute {
                LinkAttribute::IfName(name) => interface.name = name,
                LinkAttribute::Mtu(mtu) => interface.mtu = mtu,
                LinkAttribute::Address(mac) if is_ethernet => interface.mac = mac.try_into().ok(),
                _ => {}
            }
        }
        interfaces.push(interface);
    }
    Ok(interfaces)
}

async fn addresses(handle: &Handle, interfaces: &mut [Interface]) -> Result<()> {
    let mut messages = handle.address().get().execute();
    while let Some(message) = messages.try_next().await? {
        let owner = interfaces
            .iter_mut()
            .find(|one| one.index == message.header.index);
        if let (Some(owner), Some(address)) = (owner, address(&message)) {
            owner.addresses.push(address);
        }
    }
    Ok(())
}

/// On a point-to-point link IFA_ADDRESS is the remote address and IFA_LOCAL the local one. IPv6 has
/// only IFA_ADDRESS.
fn address(message: &AddressMessage) -> Option<IpNet> {
    let attributes = message.attributes.iter();
    let local = attributes.clone().find_map(|one| match one {
        AddressAttribute::Local(address) => Some(*address),
        _ => None,
    });
    let mut attributes = attributes;
    let address = local.or_else(|| {
        attributes.find_map(|one| match one {
            AddressAttribute::Address(address) => Some(*address),
            _ => None,
        })
    })?;
    let is_link_local = match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    let net = IpNet::new(address, message.header.prefix_len).ok()?;
    (!is_link_local).then_some(net)
}

async fn routes_of(
    handle: &Handle,
    version: IpVersion,
    names: &HashMap<u32, String>,
) -> Result<Vec<Route>> {
    let mut message = RouteMessage::default();
    message.header.address_family = match version {
        IpVersion::V4 => AddressFamily::Inet,
        IpVersion::V6 => AddressFamily::Inet6,
    };
    let mut messages = handle.route().get(message).execute();
    let mut routes = Vec::new();
    while let Some(message) = messages.try_next().await? {
        routes.extend(route(&message, names));
    }
    Ok(routes)
}

/// The first of several next hops represents the route.
fn route(message: &RouteMessage, names: &HashMap<u32, String>) -> Option<Route> {
    let RouteHeader { table, kind, .. } = message.header;
    if table != RouteHeader::RT_TABLE_MAIN || kind != RouteType::Unicast {
        return None;
    }
    let unspecified: IpAddr = match message.header.address_family {
        AddressFamily::Inet => [0, 0, 0, 0].into(),
        _ => [0; 16].into(),
    };
    let (mut to, mut gateway, mut source) = (unspecified, None, None);
    let (mut interface, mut metric) = (None, 0);
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Destination(address) => to = ip(address)?,
            RouteAttribute::Gateway(address) => gateway = ip(address),
            RouteAttribute::PrefSource(address) => source = ip(address),
            RouteAttribute::Oif(index) => interface = names.get(index),
            RouteAttribute::Priority(number) => metric = *number,
            RouteAttribute::MultiPath(hops) => {
                let hop = hops.first()?;
                interface = names.get(&hop.interface_index);
                gateway = hop.attributes.iter().find_map(|one| match one {
                    RouteAttribute::Gateway(address) => ip(address),
                    _ => None,
                });
            }
            _ => {}
        }
    }
    Some(Route {
        to: IpNet::new(to, message.header.destination_prefix_length).ok()?,
        interface: interface?.clone(),
        gateway,
        source,
        metric,
    })
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(address) => Some(IpAddr::V4(*address)),
        RouteAddress::Inet6(address) => Some(IpAddr::V6(*address)),
        _ => None,
    }
}
