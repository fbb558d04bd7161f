//! dnsmasq(8), which gives routes to the LAN's machines with their addresses: RFC 3442.

use anyhow::{Result, bail};

use super::comment;
use crate::routes::plan::Plan;

/// What fits into one option.
const LONGEST: usize = 255;

pub(super) fn text(plan: &Plan) -> Result<String> {
    let Some(router) = plan.default4 else {
        bail!(
            "DHCP option 121 has to have the default route in it, and this host has none that \
             tells the router: name the router with --router"
        );
    };
    let routes: Vec<_> = plan.of_family(true).collect();
    let mut values: Vec<_> = routes
        .iter()
        .map(|route| format!("{},{}", route.to, route.via))
        .collect();
    values.push(format!("0.0.0.0/0,{router}"));
    // A byte for the length, as many of the subnet as that asks for, the router.
    let octets = |length: u8| 1 + usize::from(length.div_ceil(8)) + 4;
    let length: usize = routes
        .iter()
        .map(|route| octets(route.to.prefix_len()))
        .sum();
    if length + octets(0) > LONGEST {
        bail!(
            "{} routes do not fit into a DHCP option, which holds {LONGEST} bytes: announce them \
             (--format frr or bird), or give the route to the router",
            routes.len()
        );
    }
    let mut text = comment(
        "#",
        "Routes to libvirt networks, for all machines of the LAN: /etc/dnsmasq.d/virt-forward.conf\n\
         A client that is given option 121 takes no default route from elsewhere, so it is the last\n\
         one here. Old Windows asks for option 249. DHCP has no routes for IPv6.",
    );
    for option in [121, 249] {
        text.push_str(&format!("dhcp-option={option},{}\n", values.join(",")));
    }
    Ok(text)
}
