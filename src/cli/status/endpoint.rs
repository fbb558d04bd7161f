//! Endpoints of the reachability matrix, as users name them.

use std::net::IpAddr;

use ipnet::IpNet;
use virt_forward_policy::{MatrixEndpoint, sanitize::escape};

use super::Status;

/// The name of an endpoint in tables: `kube02`, `192.168.0.30`, `192.168.0.0/24`, `internet`.
pub(super) fn label(endpoint: &MatrixEndpoint) -> String {
    match endpoint {
        MatrixEndpoint::Network(name) => escape(name),
        MatrixEndpoint::External(net) if is_internet(net) && net.addr().is_ipv4() => {
            "internet".to_owned()
        }
        MatrixEndpoint::External(net) if is_internet(net) => "internet IPv6".to_owned(),
        MatrixEndpoint::External(net) => short(net),
    }
}

/// Whether the subnet stands for the Internet.
pub(super) fn is_internet(net: &IpNet) -> bool {
    net.prefix_len() == 0
}

/// A subnet; a single address without its prefix length.
pub(crate) fn short(net: &IpNet) -> String {
    if net.prefix_len() == net.max_prefix_len() {
        net.addr().to_string()
    } else {
        net.to_string()
    }
}

impl Status {
    /// The endpoints that a user means by `name`: a network, a subnet, the Internet, or the
    /// narrowest subnets that contain an address. `None` where there is none.
    pub(super) fn endpoints_named(&self, name: &str) -> Option<Vec<MatrixEndpoint>> {
        if self.networks.iter().any(|network| network.name == name) {
            return Some(vec![MatrixEndpoint::Network(name.to_owned())]);
        }
        let mut nets: Vec<IpNet> = self.external_endpoints().collect();
        if let Ok(net) = name.parse::<IpNet>() {
            nets.retain(|one| *one == net);
        } else if let Ok(address) = name.parse::<IpAddr>() {
            nets.retain(|net| net.contains(&address));
            let longest = nets.iter().map(IpNet::prefix_len).max();
            nets.retain(|net| Some(net.prefix_len()) == longest);
        } else {
            nets.retain(|net| name == "internet" && is_internet(net));
        }
        let endpoints: Vec<_> = nets.into_iter().map(MatrixEndpoint::External).collect();
        (!endpoints.is_empty()).then_some(endpoints)
    }

    /// The labels of all endpoints, for a message.
    pub(crate) fn endpoint_labels(&self) -> String {
        let networks = self.networks.iter();
        let mut labels: Vec<_> = networks.map(|network| escape(&network.name)).collect();
        for net in self.external_endpoints() {
            let label = label(&MatrixEndpoint::External(net));
            if !labels.contains(&label) {
                labels.push(label);
            }
        }
        labels.join(", ")
    }

    fn external_endpoints(&self) -> impl Iterator<Item = IpNet> {
        let ends = self.outside.iter().flat_map(|pair| [&pair.from, &pair.to]);
        ends.filter_map(MatrixEndpoint::external)
    }
}
