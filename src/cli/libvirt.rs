//! libvirt's API, read-only: the only file that names the `virt` crate.

use std::{net::IpAddr, sync::mpsc, thread, time::Duration};

use anyhow::{Result, anyhow, bail};
use virt::{connect::Connect, error::clear_error_callback, sys};
use virt_forward_core::text::shown;

/// The daemon that the hook works for.
const SYSTEM: &str = "qemu:///system";

/// A daemon that hangs, or waits for a hook that waits for us, answers nothing.
const PATIENCE: Duration = Duration::from_secs(10);

/// A network as libvirt has it.
pub(crate) struct Defined {
    pub(crate) name: String,
    pub(crate) is_active: bool,
    /// Its definition, the live one where it is active; nothing where it has gone meanwhile.
    pub(crate) xml: Option<String>,
}

/// Every network that is defined or active.
pub(crate) fn networks(uri: Option<&str>) -> Result<Vec<Defined>> {
    answered(uri, ask)
}

/// The version of libvirt that answers: 9.0.0 is 9000000.
pub(crate) fn version(uri: Option<&str>) -> Result<u64> {
    let ask = |uri: &str| {
        clear_error_callback();
        Connect::open_read_only(Some(uri))?.lib_version()
    };
    answered(uri, ask).map(u64::from)
}

/// The addresses of a running guest, as DHCP leases, its agent and ARP have them.
pub(crate) fn addresses_of(uri: Option<&str>, guest: &str) -> Result<Vec<IpAddr>> {
    let guest = guest.to_owned();
    answered(uri, move |uri| ask_for_guest(uri, &guest))
}

/// A guest that runs.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) name: String,
    /// Its definition, as it is now.
    pub(crate) xml: String,
    /// The addresses that are known of each of its interfaces, by MAC.
    pub(crate) addresses: Vec<(String, Vec<IpAddr>)>,
}

/// Every guest that runs.
pub(crate) fn running(uri: Option<&str>) -> Result<Vec<Running>> {
    answered(uri, ask_for_running)
}

/// What `question` finds out at `uri`, if that does not take too long.
fn answered<T: Send + 'static>(
    uri: Option<&str>,
    question: impl FnOnce(&str) -> Result<T, virt::error::Error> + Send + 'static,
) -> Result<T> {
    let uri = uri.unwrap_or(SYSTEM).to_owned();
    let (sender, receiver) = mpsc::channel();
    let asked = uri.clone();
    // If it never answers, the thread ends with the process.
    thread::spawn(move || sender.send(question(&asked)));
    match receiver.recv_timeout(PATIENCE) {
        Ok(answer) => answer.map_err(|why| {
            let why = why.message();
            anyhow!("cannot ask libvirt at {uri}: {}", shown(why))
        }),
        Err(_) => bail!("libvirt at {uri} does not answer"),
    }
}

fn ask_for_guest(uri: &str, name: &str) -> Result<Vec<IpAddr>, virt::error::Error> {
    clear_error_callback();
    let connection = Connect::open_read_only(Some(uri))?;
    let guest = connection.lookup_domain_by_name(name)?;
    let mut addresses = Vec::new();
    let sources = [
        sys::VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_LEASE,
        sys::VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_AGENT,
        sys::VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_ARP,
    ];
    for source in sources {
        // An agent that is not there is no reason not to ask the next.
        let interfaces = guest.interface_addresses(source, 0).unwrap_or_default();
        let all = interfaces.into_iter().flat_map(|one| one.addrs);
        let parsed = all.filter_map(|one| one.addr.parse::<IpAddr>().ok());
        addresses.extend(parsed.filter(is_usable));
    }
    Ok(addresses)
}

/// Not by their agents: one that hangs keeps libvirt waiting for seconds, and there are many.
fn ask_for_running(uri: &str) -> Result<Vec<Running>, virt::error::Error> {
    clear_error_callback();
    let connection = Connect::open_read_only(Some(uri))?;
    let guests = connection.list_all_domains(sys::VIR_CONNECT_LIST_DOMAINS_ACTIVE)?;
    // One that ends between two questions is no reason to tell of no other.
    let running = guests.into_iter().filter_map(|guest| {
        let mut addresses = Vec::new();
        for source in [
            sys::VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_LEASE,
            sys::VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_ARP,
        ] {
            let interfaces = guest.interface_addresses(source, 0).unwrap_or_default();
            addresses.extend(interfaces.into_iter().filter_map(|one| {
                let parsed = one.addrs.iter().filter_map(|one| one.addr.parse().ok());
                Some((one.hwaddr?, parsed.filter(is_usable).collect()))
            }));
        }
        Some(Running {
            name: guest.name().ok()?,
            xml: guest.xml_desc(0).ok()?,
            addresses,
        })
    });
    Ok(running.collect())
}

/// The agent tells of all addresses of the guest, its own loopback among them.
fn is_usable(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !address.is_loopback() && !address.is_link_local(),
        IpAddr::V6(address) => !address.is_loopback() && !address.is_unicast_link_local(),
    }
}

fn ask(uri: &str) -> Result<Vec<Defined>, virt::error::Error> {
    // libvirt.so prints each error to stderr by itself otherwise.
    clear_error_callback();
    let connection = Connect::open_read_only(Some(uri))?;
    let networks = connection.list_all_networks(0)?;
    let mut defined = Vec::new();
    for network in networks {
        let name = network.name()?;
        let xml = network.xml_desc(0).ok();
        defined.push(Defined {
            name,
            // One that stops between two questions is not active.
            is_active: network.is_active().unwrap_or(false) && xml.is_some(),
            xml,
        });
    }
    Ok(defined)
}
