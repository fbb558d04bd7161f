//! The other way round: a network's XML.

use virt_forward_policy::network::Network;

/// `<network>` as libvirt would write it.
pub(crate) fn xml(network: &Network) -> String {
    let escaped = |text: &str| {
        let escaped = quick_xml::escape::escape(text).into_owned();
        // A parser takes these for others.
        let escaped = escaped.replace('\r', "&#13;").replace('\n', "&#10;");
        escaped.replace('\t', "&#9;")
    };
    let mut xml = format!("<network><name>{}</name>", escaped(&network.name));
    if let Some(groups) = &network.groups {
        let groups = escaped(&groups.join(" "));
        xml += &format!(
            "<metadata><p:policy xmlns:p='urn:virt-forward:1' groups=\"{groups}\"/></metadata>"
        );
    }
    let dev = network.forward_dev.as_ref();
    let dev = dev.map_or(String::new(), |dev| format!(" dev=\"{}\"", escaped(dev)));
    let mode = match network.mode.word() {
        "isolated" => "none",
        "unrouted" => "bridge",
        word => word,
    };
    let nat = if network.nat_ipv6 { "yes" } else { "no" };
    xml += &format!("<forward mode='{mode}'{dev}><nat ipv6='{nat}'/></forward>");
    if let Some(bridge) = &network.bridge {
        xml += &format!("<bridge name='{bridge}'/>");
    }
    let nets = [("ip", &network.addresses), ("route", &network.routes)];
    for (element, nets) in nets {
        for net in nets {
            let family = if net.addr().is_ipv4() { "ipv4" } else { "ipv6" };
            let (address, prefix) = (net.addr(), net.prefix_len());
            xml += &format!("<{element} family='{family}' address='{address}' prefix='{prefix}'/>");
        }
    }
    xml + "</network>"
}
