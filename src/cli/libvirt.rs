//! libvirt's API, read-only: the only file that names the `virt` crate.

use std::{sync::mpsc, thread, time::Duration};

use anyhow::{Result, anyhow, bail};
use virt::{connect::Connect, error::clear_error_callback};
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
    let uri = uri.unwrap_or(SYSTEM).to_owned();
    let (sender, receiver) = mpsc::channel();
    let asked = uri.clone();
    // If it never answers, the thread ends with the process.
    thread::spawn(move || sender.send(ask(&asked)));
    match receiver.recv_timeout(PATIENCE) {
        Ok(networks) => networks.map_err(|why| {
            let why = why.message();
            anyhow!("cannot ask libvirt at {uri}: {}", shown(why))
        }),
        Err(_) => bail!("libvirt at {uri} does not answer"),
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
