//! What a packet is sent from, and to: a namespace with one end of a cable in it. The other end
//! is in a bridge, as a guest's is; or what comes out of it is taken for what comes in by an
//! interface of the host.

use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::fd::AsRawFd,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow};
use futures_util::TryStreamExt;
use rtnetlink::{
    Handle, LinkMessageBuilder, LinkUnspec, LinkVeth, RouteMessageBuilder,
    packet_route::{
        address::AddressHeaderFlags,
        link::{InfoData, InfoVeth},
        route::RouteScope,
    },
};
use virt_forward_system::{deadline::Deadline, exec::tc, netns::Namespace, paths};

use super::seats::Entry;
use crate::{host::Interface, netlink::asked};

/// The inner end.
const INNER: &str = "eth0";

/// Settings of a namespace before there is an interface: it says nothing that it is not told to
/// say, and may send pings without being a raw socket's owner.
const QUIET: [(&str, &str); 7] = [
    ("ipv6/conf/all/accept_dad", "0"),
    ("ipv6/conf/default/accept_dad", "0"),
    ("ipv6/conf/default/accept_ra", "0"),
    ("ipv6/conf/default/autoconf", "0"),
    ("ipv6/conf/default/router_solicitations", "0"),
    // No link-local address: `IN6_ADDR_GEN_MODE_NONE`.
    ("ipv6/conf/default/addr_gen_mode", "1"),
    ("ipv4/ping_group_range", "0 2147483647"),
];

/// A bridge with STP listens and learns before it passes anything on, 15 seconds each unless it
/// is told otherwise.
const LONGEST_LEARNING: Duration = Duration::from_secs(32);
const PAUSE: Duration = Duration::from_millis(20);
/// `BR_STATE_FORWARDING`
const FORWARDING: &str = "3";

/// One namespace with its cable. The cable goes with it, also where this process is killed.
pub(super) struct Stand {
    namespace: Namespace,
    port: u32,
    /// Of the inner end.
    pub(super) mac: [u8; 6],
}

/// Who else it speaks to without asking: the next hop on the way.
pub(super) struct NextHop {
    pub(super) address: IpAddr,
    pub(super) mac: [u8; 6],
}

impl Stand {
    /// One whose inner end has `address`. `number` tells apart those of one process.
    pub(super) fn new(
        entry: &Entry,
        number: u8,
        address: IpAddr,
        far: IpAddr,
        deadline: Deadline,
    ) -> Result<Self> {
        let interface = entry.interface();
        let namespace = Namespace::new()?;
        namespace.run(quieten)??;
        let process = std::process::id();
        let name = format!("vfp{process}{}", char::from(b'a' + number));
        let [inner, outer] = [0x02, 0xfe].map(|first| mac(first, process, number));
        let port = asked(async |handle| {
            cable(&handle, &name, outer, interface.mtu, &namespace, inner).await
        })
        .with_context(|| format!("cannot make the interface {name}"))?;
        let stand = Self {
            namespace,
            port,
            mac: inner,
        };
        match entry {
            Entry::Bridge(bridge) => stand.up(Some(bridge.index)),
            Entry::Wire(_) => stand.up(None),
        }
        .with_context(|| format!("cannot plug {name} into {}", interface.name))?;
        let hop = NextHop {
            address: far,
            mac: match entry {
                Entry::Bridge(bridge) => bridge.mac.unwrap_or_default(),
                // Whoever it is for, it must look as if it were for this host.
                Entry::Wire(_) => outer,
            },
        };
        stand
            .inside(|| asked(async |handle| furnish(&handle, address, &hop).await))?
            .context("cannot set up the sender")?;
        match entry {
            Entry::Bridge(bridge) => learnt(&name, bridge)?,
            Entry::Wire(wire) => tc::redirect_in(&name, &wire.name, deadline)?,
        }
        Ok(stand)
    }

    /// Does something in it.
    pub(super) fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        Ok(self.namespace.run(work)?)
    }

    fn up(&self, bridge: Option<u32>) -> Result<()> {
        let message = LinkUnspec::new_with_index(self.port).up();
        let message = match bridge {
            Some(bridge) => message.controller(bridge),
            None => message,
        };
        asked(async |handle| Ok(handle.link().set(message.build()).execute().await?))
    }
}

impl Drop for Stand {
    fn drop(&mut self) {
        // The kernel would do the same a moment later.
        let _ = asked(async |handle| Ok(handle.link().del(self.port).execute().await?));
    }
}

/// Waits until the bridge passes on what comes by that port.
fn learnt(name: &str, bridge: &Interface) -> Result<()> {
    if !bridge.is_up {
        return Ok(());
    }
    let state = Path::new(paths::INTERFACES).join(name).join("brport/state");
    let until = Instant::now() + LONGEST_LEARNING;
    while fs::read_to_string(&state).is_ok_and(|now| now.trim() != FORWARDING) {
        if Instant::now() > until {
            return Err(anyhow!("{} does not let {name} speak", bridge.name));
        }
        thread::sleep(PAUSE);
    }
    Ok(())
}

fn quieten() -> Result<()> {
    for (key, value) in QUIET {
        let path = Path::new(paths::SYSCTLS).join("net").join(key);
        match fs::write(&path, value) {
            // Without IPv6 there is nothing to be said over it.
            Err(why) if why.kind() == io::ErrorKind::NotFound => {}
            other => other.with_context(|| format!("cannot set {}", path.display()))?,
        }
    }
    Ok(())
}

/// Locally administered. That of the outer end is higher than any: a bridge takes the lowest of
/// its ports' for its own, where nobody gave it one.
fn mac(first: u8, process: u32, number: u8) -> [u8; 6] {
    let [one, two, three, four] = process.to_be_bytes();
    [first, 0x76 ^ number, one, two, three, four]
}

/// Both ends at once, the inner one in its namespace from the start. The number of the outer.
async fn cable(
    handle: &Handle,
    name: &str,
    outer: [u8; 6],
    mtu: u32,
    namespace: &Namespace,
    inner: [u8; 6],
) -> Result<u32> {
    let peer = LinkMessageBuilder::<LinkUnspec>::new()
        .name(INNER)
        .address(inner.to_vec())
        .mtu(mtu)
        .setns_by_fd(namespace.as_file().as_raw_fd());
    let message = LinkMessageBuilder::<LinkVeth>::new(name, INNER)
        .set_info_data(InfoData::Veth(InfoVeth::Peer(peer.build())))
        .address(outer.to_vec())
        .mtu(mtu);
    handle.link().add(message.build()).execute().await?;
    // Nobody speaks to it over IPv6, and it says nothing either. Without IPv6 there is no file.
    let silent = format!("net/ipv6/conf/{name}/disable_ipv6");
    let _ = fs::write(Path::new(paths::SYSCTLS).join(silent), "1");
    index(handle, name).await
}

async fn index(handle: &Handle, name: &str) -> Result<u32> {
    let mut found = handle.link().get().match_name(name.to_owned()).execute();
    let link = found.try_next().await?;
    link.map(|link| link.header.index)
        .ok_or_else(|| anyhow!("{name} is gone"))
}

/// Address, default route and next hop of the inner end.
async fn furnish(handle: &Handle, address: IpAddr, hop: &NextHop) -> Result<()> {
    let inner = index(handle, INNER).await?;
    let up = LinkUnspec::new_with_index(inner).up();
    handle.link().set(up.build()).execute().await?;
    let longest = if address.is_ipv4() { 32 } else { 128 };
    let mut add = handle.address().add(inner, address, longest);
    // Usable at once: who has it was asked before.
    add.message_mut().header.flags |= AddressHeaderFlags::Nodad;
    add.execute().await?;
    let route = match address {
        IpAddr::V4(_) => RouteMessageBuilder::<Ipv4Addr>::new()
            .destination_prefix(Ipv4Addr::UNSPECIFIED, 0)
            .scope(RouteScope::Link)
            .output_interface(inner)
            .build(),
        IpAddr::V6(_) => RouteMessageBuilder::<Ipv6Addr>::new()
            .destination_prefix(Ipv6Addr::UNSPECIFIED, 0)
            .output_interface(inner)
            .build(),
    };
    handle.route().add(route).execute().await?;
    // It asks nobody: what it sends goes to the host, whatever else is on that link.
    let next = handle.neighbours().add(inner, hop.address);
    next.link_layer_address(&hop.mac).execute().await?;
    Ok(())
}
