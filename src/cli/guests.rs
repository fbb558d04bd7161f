//! Guests and their networks: running domains from libvirt, and leases of its DHCP servers.

use std::{
    collections::BTreeMap,
    fs,
    net::IpAddr,
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use quick_xml::{
    Reader, XmlVersion,
    events::{BytesStart, Event},
};
use serde::Deserialize;
use virt_forward_policy::network::Network;
use virt_forward_system::paths;

use crate::{
    libvirt::{self, Running},
    output,
};

/// The guests of one network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Guest {
    pub(crate) name: String,
    pub(crate) addresses: Vec<IpAddr>,
}

/// Guests by network name.
pub(crate) type Guests = BTreeMap<String, Vec<Guest>>;

/// The guests in `networks`. If libvirt does not answer, running guests are left out with a
/// warning.
pub(crate) fn of(uri: Option<&str>, networks: &[&Network]) -> Guests {
    let running = libvirt::running(uri).unwrap_or_else(|why| {
        output::warn(&format!("{why:#}; running guests are left out"));
        Vec::new()
    });
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.map_or(0, |now| now.as_secs());
    let leases = |network: &Network| match (&network.bridge, uri) {
        // The leases of another host's libvirt are not on this host.
        (Some(bridge), None) => {
            let file = Path::new(paths::LIBVIRT_LEASES).join(format!("{bridge}.status"));
            leases(&fs::read_to_string(file).unwrap_or_default(), now)
        }
        _ => Vec::new(),
    };
    let leased: Vec<_> = networks.iter().map(|one| (*one, leases(one))).collect();
    sorted(&running, &leased)
}

/// A DHCP lease.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
struct Lease {
    ip_address: IpAddr,
    /// IPv6 clients need not send one.
    mac_address: Option<String>,
    hostname: Option<String>,
    expiry_time: Option<u64>,
}

/// The unexpired leases in a status file; none if it cannot be parsed.
fn leases(text: &str, now: u64) -> Vec<Lease> {
    let all: Vec<serde_json::Value> = serde_json::from_str(text).unwrap_or_default();
    let all = all
        .into_iter()
        .filter_map(|one| serde_json::from_value(one).ok());
    // 0 means a lease that does not expire.
    let is_current = |one: &Lease| !matches!(one.expiry_time, Some(end @ 1..) if end < now);
    all.filter(is_current).collect()
}

fn sorted(running: &[Running], networks: &[(&Network, Vec<Lease>)]) -> Guests {
    let mut guests = Guests::new();
    let plugs: Vec<_> = running.iter().map(|one| (one, plugs(&one.xml))).collect();
    for (network, leases) in networks {
        let of_network = guests.entry(network.name.clone()).or_default();
        let mut unclaimed: Vec<_> = leases.iter().collect();
        for (guest, plugs) in &plugs {
            for plug in plugs.iter().filter(|plug| plug.is_in(network)) {
                let is_its = |mac: &str| mac.eq_ignore_ascii_case(&plug.mac);
                let asked = guest.addresses.iter().filter(|(mac, _)| is_its(mac));
                let mut addresses: Vec<_> = asked.flat_map(|(_, all)| all).copied().collect();
                let leased = |one: &&Lease| one.mac_address.as_deref().is_some_and(is_its);
                addresses.extend(
                    unclaimed
                        .iter()
                        .copied()
                        .filter(leased)
                        .map(|one| one.ip_address),
                );
                unclaimed.retain(|one| !leased(one));
                add(of_network, &guest.name, &addresses);
            }
        }
        // A client that is not a guest of this libvirt, or whose MAC differs from its definition.
        for lease in unclaimed {
            let name = lease.hostname.as_deref().or(lease.mac_address.as_deref());
            add(of_network, name.unwrap_or_default(), &[lease.ip_address]);
        }
        of_network.sort_by(|a, b| a.name.cmp(&b.name));
    }
    guests
}

/// Merges the interfaces of a guest in one network.
fn add(guests: &mut Vec<Guest>, name: &str, addresses: &[IpAddr]) {
    let at = guests.iter().position(|guest| guest.name == name);
    let mut guest = at
        .map(|at| guests.swap_remove(at))
        .unwrap_or_else(|| Guest {
            name: name.to_owned(),
            addresses: Vec::new(),
        });
    for address in addresses {
        if !guest.addresses.contains(address) {
            guest.addresses.push(*address);
        }
    }
    guests.push(guest);
}

/// An interface of a guest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct GuestNic {
    network: Option<String>,
    bridge: Option<String>,
    mac: String,
}

impl GuestNic {
    /// The network, or the bridge if the interface is attached to one directly.
    fn is_in(&self, network: &Network) -> bool {
        let bridge = network.bridge.as_ref().map(|bridge| bridge.as_str());
        match &self.network {
            Some(name) => *name == network.name,
            None => self.bridge.is_some() && self.bridge.as_deref() == bridge,
        }
    }
}

/// The interfaces in a domain's XML; if it is ill-formed, those before the error.
///
/// ```xml
/// <domain><devices><interface type='network'>
///   <mac address='52:54:00:00:00:01'/><source network='kube02' bridge='virbr_kube02'/>
/// ```
fn plugs(xml: &str) -> Vec<GuestNic> {
    let mut reader = Reader::from_str(xml);
    reader.config_mut().expand_empty_elements = true;
    let mut path: Vec<String> = Vec::new();
    let mut plugs: Vec<GuestNic> = Vec::new();
    loop {
        match reader.read_event() {
            Ok(Event::Start(element)) => {
                path.push(element.name().as_ref().to_owned());
                let path: Vec<_> = path.iter().map(String::as_str).collect();
                match (path.as_slice(), plugs.last_mut()) {
                    (["domain", "devices", "interface"], _) => plugs.push(GuestNic::default()),
                    (["domain", "devices", "interface", "mac"], Some(plug)) => {
                        plug.mac = attribute(&element, "address").unwrap_or_default();
                    }
                    (["domain", "devices", "interface", "source"], Some(plug)) => {
                        plug.network = attribute(&element, "network");
                        plug.bridge = attribute(&element, "bridge");
                    }
                    _ => {}
                }
            }
            Ok(Event::End(_)) => {
                path.pop();
            }
            Ok(Event::Eof) | Err(_) => return plugs,
            Ok(_) => {}
        }
    }
}

fn attribute(element: &BytesStart, name: &str) -> Option<String> {
    let attribute = element.try_get_attribute(name).ok()??;
    let value = attribute.normalized_value(XmlVersion::Implicit1_0).ok()?;
    Some(value.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::fixtures::networks;

    #[test]
    fn guests_are_in_the_networks_of_their_interfaces() {
        let networks = networks(&["kube02 nat 10.17.3.1/24", "a<b nat 10.17.4.1/24"]);
        let xml = "<domain><metadata><interface><source network='kube02'/></interface></metadata>
            <devices><interface type='network'><mac address='52:54:00:00:00:01'/>
            <source network='kube02' portid='x' bridge='br_kube02'/></interface>
            <interface type='network'><source network='a&lt;b'/><mac address='52:54:00:00:00:02'/>
            </interface><interface type='bridge'><mac address='52:54:00:00:00:03'/>
            <source bridge='br_kube02'/></interface>
            <interface type='user'><mac address='52:54:00:00:00:04'/></interface></devices></domain>";
        let running = Running {
            name: "node \"1\"".to_owned(),
            xml: xml.to_owned(),
            addresses: vec![(
                "52:54:00:00:00:01".to_owned(),
                vec!["10.17.3.21".parse().unwrap()],
            )],
        };
        let text = r#"[{"ip-address": "10.17.3.22", "mac-address": "52:54:00:00:00:03", "expiry-time": 200},
            {"ip-address": "10.17.3.9", "mac-address": "52:54:00:00:00:09", "hostname": "web", "expiry-time": 0},
            {"ip-address": "10.17.3.8", "mac-address": "52:54:00:00:00:08", "expiry-time": 99},
            {"ip-address": "10.17.3.7", "mac-address": "52:54:00:00:00:07"}, {"odd": 1}]"#;
        let leased = [
            (&networks[0], leases(text, 100)),
            (&networks[1], Vec::new()),
        ];
        let guests = sorted(&[running], &leased);
        let said = |network: &str| {
            let guests = guests[network].iter().map(|guest| {
                let addresses: Vec<_> = guest.addresses.iter().map(ToString::to_string).collect();
                format!("{} {}", guest.name, addresses.join(" "))
            });
            guests.collect::<Vec<_>>()
        };
        let expected = [
            "52:54:00:00:00:07 10.17.3.7",
            "node \"1\" 10.17.3.21 10.17.3.22",
            "web 10.17.3.9",
        ];
        assert_eq!(said("kube02"), expected);
        assert_eq!(said("a<b"), ["node \"1\" "]);
        assert!(plugs("<domain><devices><interface>").len() == 1);
        assert!(plugs("</x>").is_empty());
        assert!(leases("[", 0).is_empty());
    }
}
