//! The source and the destination of a packet.

use std::{fmt, net::IpAddr};

use virt_forward_policy::{network::Network, sanitize::escape};

/// An address at one end of a packet's path, with the network that it belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ResolvedEndpoint<'a> {
    pub(crate) address: IpAddr,
    /// `None` for an external host.
    pub(crate) network: Option<&'a Network>,
    pub(crate) kind: EndpointKind,
}

/// What FROM or TO named, where an address was needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum EndpointKind {
    /// The address itself.
    Address,
    /// A network; the address is one example of its many.
    Network,
    /// A guest, by this name.
    Guest(String),
}

impl ResolvedEndpoint<'_> {
    /// Whether a particular host was named, which should have the address.
    pub(crate) fn is_one_host(&self) -> bool {
        self.kind != EndpointKind::Network
    }
}

/// `10.17.4.2 in kube03`, `192.168.0.30`
impl fmt::Display for ResolvedEndpoint<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.network {
            Some(network) => write!(f, "{} in {}", self.address, escape(&network.name)),
            None => write!(f, "{}", self.address),
        }
    }
}
