//! Neighbor resolution on a link: ARP for IPv4, neighbor discovery for IPv6.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use futures_util::TryStreamExt;
use rtnetlink::{
    Error, Handle,
    packet_route::{
        AddressFamily,
        neighbour::{
            NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState,
        },
    },
};

use crate::netlink::with_rtnetlink;

/// Time for two solicitations; the kernel sends one per second.
const PATIENCE: Duration = Duration::from_millis(1200);
const PAUSE: Duration = Duration::from_millis(10);

/// Whether the kernel's neighbor table has a reachable entry; sends no solicitation.
pub(crate) fn is_reachable(address: IpAddr, interface: u32) -> Result<Option<bool>> {
    let known = with_rtnetlink(async |handle| known(&handle, interface).await)?;
    Ok(known.get(&address).and_then(|state| match state {
        NeighbourState::Failed => Some(false),
        NeighbourState::Incomplete | NeighbourState::None => None,
        _ => Some(true),
    }))
}

/// The addresses in the kernel's neighbor table for a link.
pub(crate) fn entries(interface: u32) -> Result<Vec<IpAddr>> {
    let known = with_rtnetlink(async |handle| known(&handle, interface).await)?;
    Ok(known.into_keys().collect())
}

/// Solicits these addresses on the link and returns those that a host answers for.
pub(crate) fn resolve(addresses: &[IpAddr], interface: u32) -> Result<Vec<IpAddr>> {
    with_rtnetlink(async |handle| resolve_all(&handle, addresses, interface).await)
        .context("cannot resolve addresses on the link")
}

/// Deletes an entry of the neighbor table.
pub(crate) fn delete(address: IpAddr, interface: u32) -> Result<()> {
    with_rtnetlink(async |handle| delete_entry(&handle, address, interface).await)
        .with_context(|| format!("cannot delete the neighbor {address}"))
}

async fn resolve_all(handle: &Handle, addresses: &[IpAddr], interface: u32) -> Result<Vec<IpAddr>> {
    let before = known(handle, interface).await?;
    for address in addresses {
        solicit(handle, *address, interface, before.get(address)).await?;
    }
    let until = Instant::now() + PATIENCE;
    let used = loop {
        let now = known(handle, interface).await?;
        let state = |address: &&IpAddr| now.get(*address).copied();
        let is_used = |state| {
            matches!(
                state,
                Some(NeighbourState::Reachable | NeighbourState::Permanent | NeighbourState::Noarp)
            )
        };
        let is_free = |state| matches!(state, Some(NeighbourState::Failed) | None);
        let used: Vec<_> = addresses
            .iter()
            .filter(|one| is_used(state(one)))
            .copied()
            .collect();
        let mut asked = addresses.iter();
        let is_clear = asked.all(|one| is_used(state(&one)) || is_free(state(&one)));
        if is_clear || Instant::now() > until {
            break used;
        }
        tokio::time::sleep(PAUSE).await;
    };
    for address in addresses.iter().filter(|one| !before.contains_key(*one)) {
        delete_entry(handle, *address, interface).await?;
    }
    Ok(used)
}

/// Makes the kernel send a solicitation, even if it has an older entry.
async fn solicit(
    handle: &Handle,
    address: IpAddr,
    interface: u32,
    known: Option<&NeighbourState>,
) -> Result<()> {
    let request = handle.neighbours().add(interface, address).replace();
    let request = match known {
        Some(NeighbourState::Permanent | NeighbourState::Noarp) => return Ok(()),
        Some(
            NeighbourState::Reachable
            | NeighbourState::Stale
            | NeighbourState::Delay
            | NeighbourState::Probe,
        ) => request.state(NeighbourState::Probe),
        // `ip neighbour add … use`: resolve as if a packet had to be sent.
        _ => request
            .state(NeighbourState::None)
            .flags(NeighbourFlags::Use),
    };
    Ok(request.execute().await?)
}

async fn delete_entry(handle: &Handle, address: IpAddr, interface: u32) -> Result<()> {
    let mut message = NeighbourMessage::default();
    message.header.ifindex = interface;
    let (family, destination) = match address {
        IpAddr::V4(address) => (AddressFamily::Inet, NeighbourAddress::Inet(address)),
        IpAddr::V6(address) => (AddressFamily::Inet6, NeighbourAddress::Inet6(address)),
    };
    message.header.family = family;
    let destination = NeighbourAttribute::Destination(destination);
    message.attributes.push(destination);
    match handle.neighbours().del(message).execute().await {
        // There is no such entry.
        Err(Error::NetlinkError(why)) if why.to_io().kind() == std::io::ErrorKind::NotFound => {
            Ok(())
        }
        other => Ok(other?),
    }
}

/// The kernel's neighbor entries of a link.
async fn known(handle: &Handle, interface: u32) -> Result<BTreeMap<IpAddr, NeighbourState>> {
    let mut neighbours = handle.neighbours().get().execute();
    let mut known = BTreeMap::new();
    while let Some(neighbour) = neighbours.try_next().await? {
        let mut attributes = neighbour.attributes.iter();
        let address = attributes.find_map(|one| match one {
            NeighbourAttribute::Destination(NeighbourAddress::Inet(one)) => Some((*one).into()),
            NeighbourAttribute::Destination(NeighbourAddress::Inet6(one)) => Some((*one).into()),
            _ => None,
        });
        if let Some(address) = address
            && neighbour.header.ifindex == interface
        {
            known.insert(address, neighbour.header.state);
        }
    }
    Ok(known)
}
