//! DHCP options for dnsmasq(8), which passes routes to LAN hosts together with their addresses
//! (RFC 3442).

use super::{entry::comment, error::FormatError};
use crate::routes::{family::IpFamily, model::Plan};

const HEAD: &str = "\
Routes to libvirt networks, for all DHCP clients of the LAN: /etc/dnsmasq.d/virt-forward.conf
A client that receives option 121 ignores every other default route, so the last route here is the
default route. Old versions of Windows request option 249 instead. DHCP has no IPv6 routes.";

/// The size of a DHCP option in bytes.
pub(super) const OPTION_SIZE: usize = 255;

pub(super) fn render(plan: &Plan) -> Result<String, FormatError> {
    let router = plan.default4.ok_or(FormatError::NoDefaultRoute)?;
    let mut values = Vec::new();
    let mut size = encoded_size(0);
    for route in plan.routes_of(IpFamily::V4) {
        values.push(format!("{},{}", route.to, route.via));
        size += encoded_size(route.to.prefix_len());
    }
    if size > OPTION_SIZE {
        let routes = values.len();
        return Err(FormatError::TooManyRoutes { routes });
    }
    values.push(format!("0.0.0.0/0,{router}"));
    let mut text = comment("#", HEAD);
    for option in [121, 249] {
        text.push_str(&format!("dhcp-option={option},{}\n", values.join(",")));
    }
    Ok(text)
}

/// The bytes of a route: the prefix length, the significant bytes of the subnet, the next hop.
fn encoded_size(prefix_len: u8) -> usize {
    1 + usize::from(prefix_len.div_ceil(8)) + 4
}
