//! A host with two links, for tests.

use virt_forward_policy::network::{Network, read};

use crate::{
    host::{Host, Interface, Route},
    sysctl::SysctlView,
};

/// Sysctls of the named interfaces. On all others rp_filter is not strict, and forwarding is on.
#[derive(Default)]
pub(super) struct FixedSettings {
    pub(super) strict: Vec<&'static str>,
    pub(super) not_forwarding: Vec<&'static str>,
}

impl SysctlView for FixedSettings {
    fn is_rp_filter_strict(&self, interface: &str) -> bool {
        self.strict.contains(&interface)
    }

    fn forwards(&self, interface: &str, _: bool) -> bool {
        !self.not_forwarding.contains(&interface)
    }
}

/// A network whose bridge is `br_NAME`, and whose subnet is `SUBNET.0/24`.
pub(super) fn network(name: &str, forward: &str, subnet: &str) -> Network {
    let xml = format!(
        "<network><name>{name}</name>{forward}<bridge name='br_{name}'/>\
         <ip address='{subnet}.1' prefix='24'/></network>"
    );
    read(xml.as_bytes()).unwrap()
}

pub(super) fn route(to: &str, interface: &str, gateway: Option<&str>) -> Route {
    Route {
        to: to.parse().unwrap(),
        interface: interface.to_owned(),
        gateway: gateway.map(|gateway| gateway.parse().unwrap()),
        source: None,
        metric: 0,
    }
}

/// The default route is on `eth0`, whose second address is in the router's subnet.
pub(super) fn host() -> Host {
    Host {
        interfaces: vec![
            Interface::new("eth0", &["192.168.7.2/24", "192.168.0.40/24"]),
            Interface::new("eth1", &["172.16.0.2/24"]),
            Interface::new("br_nat", &["10.17.4.1/24"]),
        ],
        routes: vec![
            route("0.0.0.0/0", "eth0", Some("192.168.0.1")),
            route("172.16.0.0/24", "eth1", None),
            route("10.17.4.0/24", "br_nat", None),
        ],
    }
}
