//! A network namespace with one end of a veth pair.
//!
//! The other end is a port of a bridge, as a guest's interface is, or redirected (tc mirred) into an
//! uplink, so that its packets arrive like those of an external host.

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

use super::plan::Ingress;
use crate::{host::Interface, netlink::with_rtnetlink};

/// The name of the veth end in the namespace.
const INNER: &str = "eth0";

/// Sysctls of the namespace, written before it has an interface: no unsolicited packets, and echo
/// requests from datagram sockets.
const NETNS_SYSCTLS: [(&str, &str); 7] = [
    ("ipv6/conf/all/accept_dad", "0"),
    ("ipv6/conf/default/accept_dad", "0"),
    ("ipv6/conf/default/accept_ra", "0"),
    ("ipv6/conf/default/autoconf", "0"),
    ("ipv6/conf/default/router_solicitations", "0"),
    // No link-local address: `IN6_ADDR_GEN_MODE_NONE`.
    ("ipv6/conf/default/addr_gen_mode", "1"),
    ("ipv4/ping_group_range", "0 2147483647"),
];

/// A bridge with STP keeps a new port in the states listening and learning for its forward delay
/// each, by default 15 seconds.
const STP_FORWARD_DELAY_MAX: Duration = Duration::from_secs(32);
const PAUSE: Duration = Duration::from_millis(20);
/// `BR_STATE_FORWARDING`
const FORWARDING: &str = "3";

/// A namespace with its veth pair, which the kernel deletes with it, even if this process is killed.
pub(super) struct ProbeNetns {
    namespace: Namespace,
    /// The index of the veth end outside.
    outer: u32,
    /// The MAC address of the veth end inside.
    pub(super) mac: [u8; 6],
}

/// The static neighbour entry of the namespace: the next hop, which is this host.
struct NextHop {
    address: IpAddr,
    mac: [u8; 6],
}

impl ProbeNetns {
    /// Creates a namespace with `address`, which sends to `peer`; `number` distinguishes the
    /// namespaces of one process.
    ///
    /// # Errors
    ///
    /// If the namespace, the veth pair or its configuration cannot be created.
    pub(super) fn new(
        ingress: &Ingress,
        number: u8,
        address: IpAddr,
        peer: IpAddr,
        deadline: Deadline,
    ) -> Result<Self> {
        let interface = ingress.interface();
        let namespace = Namespace::new()?;
        namespace.run(write_sysctls)??;
        let process = std::process::id();
        let name = format!("vfp{process}{}", char::from(b'a' + number));
        let [inner_mac, outer_mac] = [0x02, 0xfe].map(|first| mac(first, process, number));
        let outer = with_rtnetlink(async |handle| {
            add_veth(
                &handle,
                &name,
                (inner_mac, outer_mac),
                interface.mtu,
                &namespace,
            )
            .await
        })
        .with_context(|| format!("cannot create the interface {name}"))?;
        let netns = Self {
            namespace,
            outer,
            mac: inner_mac,
        };
        match ingress {
            Ingress::Bridge(bridge) => netns.set_up(Some(bridge.index)),
            Ingress::Uplink(_) => netns.set_up(None),
        }
        .with_context(|| format!("cannot attach {name} to {}", interface.name))?;
        let hop = NextHop {
            address: peer,
            mac: match ingress {
                Ingress::Bridge(bridge) => bridge.mac.unwrap_or_default(),
                // The frame has to be addressed to the interface that receives it.
                Ingress::Uplink(_) => outer_mac,
            },
        };
        netns
            .run_in(|| with_rtnetlink(async |handle| configure(&handle, address, &hop).await))?
            .context("cannot configure the namespace of the probe")?;
        match ingress {
            Ingress::Bridge(bridge) => wait_for_forwarding(&name, bridge)?,
            Ingress::Uplink(uplink) => tc::redirect_ingress(&name, &uplink.name, deadline)?,
        }
        Ok(netns)
    }

    /// Runs a closure on a thread in the namespace.
    pub(super) fn run_in<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        Ok(self.namespace.run(work)?)
    }

    /// Sets the outer veth end up, as a port of `bridge` if there is one.
    fn set_up(&self, bridge: Option<u32>) -> Result<()> {
        let message = LinkUnspec::new_with_index(self.outer).up();
        let message = match bridge {
            Some(bridge) => message.controller(bridge),
            None => message,
        };
        with_rtnetlink(async |handle| Ok(handle.link().set(message.build()).execute().await?))
    }
}

impl Drop for ProbeNetns {
    fn drop(&mut self) {
        // The kernel would delete it with the namespace, a moment later.
        let _ = with_rtnetlink(async |handle| Ok(handle.link().del(self.outer).execute().await?));
    }
}

/// Waits until the port of the bridge forwards.
fn wait_for_forwarding(name: &str, bridge: &Interface) -> Result<()> {
    if !bridge.is_up {
        return Ok(());
    }
    let state = Path::new(paths::INTERFACES).join(name).join("brport/state");
    let until = Instant::now() + STP_FORWARD_DELAY_MAX;
    while fs::read_to_string(&state).is_ok_and(|now| now.trim() != FORWARDING) {
        if Instant::now() > until {
            return Err(anyhow!(
                "timed out waiting for the port {name} of {} to forward",
                bridge.name
            ));
        }
        thread::sleep(PAUSE);
    }
    Ok(())
}

fn write_sysctls() -> Result<()> {
    for (key, value) in NETNS_SYSCTLS {
        let path = Path::new(paths::SYSCTLS).join("net").join(key);
        match fs::write(&path, value) {
            // A kernel without IPv6 has none of its sysctls.
            Err(why) if why.kind() == io::ErrorKind::NotFound => {}
            other => other.with_context(|| format!("cannot set {}", path.display()))?,
        }
    }
    Ok(())
}

/// A locally administered address. That of the outer end is a high one, as a bridge without an
/// address of its own takes the lowest of its ports.
fn mac(first: u8, process: u32, number: u8) -> [u8; 6] {
    let [one, two, three, four] = process.to_be_bytes();
    [first, 0x76 ^ number, one, two, three, four]
}

/// Creates the pair, one end of it in the namespace; returns the index of the other.
async fn add_veth(
    handle: &Handle,
    name: &str,
    (inner, outer): ([u8; 6], [u8; 6]),
    mtu: u32,
    namespace: &Namespace,
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
    // The outer end sends nothing of its own. A kernel without IPv6 has no such file.
    let disable_ipv6 = format!("net/ipv6/conf/{name}/disable_ipv6");
    let _ = fs::write(Path::new(paths::SYSCTLS).join(disable_ipv6), "1");
    index(handle, name).await
}

async fn index(handle: &Handle, name: &str) -> Result<u32> {
    let mut found = handle.link().get().match_name(name.to_owned()).execute();
    let link = found.try_next().await?;
    link.map(|link| link.header.index)
        .ok_or_else(|| anyhow!("interface {name} does not exist"))
}

/// Sets the address, the default route and the next hop of the inner end.
async fn configure(handle: &Handle, address: IpAddr, hop: &NextHop) -> Result<()> {
    let inner = index(handle, INNER).await?;
    let up = LinkUnspec::new_with_index(inner).up();
    handle.link().set(up.build()).execute().await?;
    let longest = if address.is_ipv4() { 32 } else { 128 };
    let mut add = handle.address().add(inner, address, longest);
    // Duplicate address detection was done before.
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
    // A static entry: packets go to this host, whatever else is on the link.
    let next = handle.neighbours().add(inner, hop.address);
    next.link_layer_address(&hop.mac).execute().await?;
    Ok(())
}
