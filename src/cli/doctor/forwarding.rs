//! Settings of the kernel, and routes: what keeps packets from going where they should.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use virt_forward_policy::{
    network::{Mode, Network},
    overlap,
    sanitize::{argument, escape},
};

use super::{Finding, Root, Scene, or_ok};
use crate::ways::Way;

const FORWARDING: &str = "forwarding";
const ROUTES: &str = "routes";

/// What the kernel is set to for one interface.
pub(crate) fn settings(scene: &Scene, root: &Root, autoconfigured: &[String]) -> Vec<Finding> {
    // First what the host as a whole forwards: where that is on, virt-forward switches nothing on.
    let mut found = way_out(scene, root, autoconfigured);
    if scene.is_config_right {
        found.extend(wanted(scene));
    }
    found.extend(advertised(root, autoconfigured));
    found.extend(unadvertised(scene, root, autoconfigured));
    or_ok(found, FORWARDING, "this host forwards what it should")
}

/// What open networks need.
fn wanted(scene: &Scene) -> Vec<Finding> {
    let settings = scene.inspection.wanted.settings.iter();
    // A bridge that is gone is told of elsewhere.
    let wrong = settings.filter(|setting| !setting.is_right() && setting.value.is_some());
    let finding = |setting: &virt_forward_reconcile::SettingSeen| {
        let (key, wanted) = (setting.wanted.key.name(), &setting.wanted.value);
        let value = setting.value.as_deref().unwrap_or_default();
        Finding::wrong(FORWARDING, format!("{key} is {value}, not {wanted}")).with_apply()
    };
    wrong.map(finding).collect()
}

/// The way between guests and the world, for which libvirt switches forwarding on at each start
/// of a network, and never again (src/network/bridge_driver.c, `networkEnableIPForwarding`).
fn way_out(scene: &Scene, root: &Root, autoconfigured: &[String]) -> Vec<Finding> {
    let is_outward =
        |network: &&Network| matches!(network.mode, Mode::Nat | Mode::Route | Mode::Open);
    let outward: Vec<_> = scene
        .routed()
        .map(|(network, _)| network)
        .filter(is_outward)
        .collect();
    let names = |has: fn(&Network) -> bool| -> Vec<_> {
        let with = outward.iter().filter(|network| has(network));
        with.map(|network| escape(&network.name)).collect()
    };
    let mut found = Vec::new();
    for is_ipv4 in [true, false] {
        let (any, names): (IpAddr, _) = match is_ipv4 {
            true => (
                Ipv4Addr::UNSPECIFIED.into(),
                names(|one| !one.subnets4().is_empty()),
            ),
            false => (
                Ipv6Addr::UNSPECIFIED.into(),
                names(|one| !one.subnets6().is_empty()),
            ),
        };
        if let Some(uplink) = scene.host.way_to(any).map(|way| &way.interface)
            && !names.is_empty()
            && !scene.settings.forwards(uplink, is_ipv4)
        {
            let what = format!(
                "answers from outside do not get to {}: this host forwards no {} that comes in by {uplink}",
                names.join(", "),
                if is_ipv4 { "IPv4" } else { "IPv6" },
            );
            let remedy = match is_ipv4 {
                true => forwarded4(root, uplink),
                false => forwarded6(root, autoconfigured),
            };
            found.push(Finding::wrong(FORWARDING, what).with_all(remedy));
        }
    }
    found
}

/// The switch for all only reaches each interface when it is turned.
fn forwarded4(root: &Root, uplink: &str) -> Vec<String> {
    let key = match root.number("/proc/sys/net/ipv4/ip_forward") {
        Some(1) => format!("net.ipv4.conf.{}.forwarding", dotted(uplink)),
        _ => "net.ipv4.ip_forward".to_owned(),
    };
    vec![format!("sysctl {key}=1")]
}

fn forwarded6(root: &Root, autoconfigured: &[String]) -> Vec<String> {
    let kept = autoconfigured
        .iter()
        .filter(|one| accept_ra(root, one) == Some(1));
    let kept = kept.map(|one| format!("sysctl {}=2", accept_ra_key(one)));
    kept.chain(["sysctl net.ipv6.conf.all.forwarding=1".to_owned()])
        .collect()
}

/// A dot in a name is a slash for sysctl(8).
fn dotted(interface: &str) -> String {
    interface.replace('.', "/")
}

fn setting(root: &Root, interface: &str, name: &str) -> Option<i64> {
    root.number(format!("/proc/sys/net/ipv6/conf/{interface}/{name}"))
}

fn accept_ra(root: &Root, interface: &str) -> Option<i64> {
    setting(root, interface, "accept_ra")
}

/// A host that forwards takes no more routes from routers, unless accept_ra is 2, and loses
/// those that it has (net/ipv6/addrconf.c, `addrconf_fixup_forwarding`).
fn advertised(root: &Root, autoconfigured: &[String]) -> Vec<Finding> {
    let at_risk = autoconfigured.iter().filter(|interface| {
        let forwards = setting(root, interface, "forwarding").is_some_and(|value| value > 0);
        forwards && accept_ra(root, interface) == Some(1)
    });
    let finding = |interface: &String| {
        let key = accept_ra_key(interface);
        let what = format!(
            "{interface} has IPv6 routes that its router advertises, and loses them, as this \
             host forwards IPv6 and {key} is 1"
        );
        Finding::wrong("accept_ra", what).with(format!("sysctl {key}=2"))
    };
    at_risk.map(finding).collect()
}

/// Interfaces that have no advertised routes and would take none: by intent, or because the first
/// advertisement is still to come. Where virt-forward itself forwards all of IPv6, [`wanted`] finds
/// them.
fn unadvertised(scene: &Scene, root: &Root, autoconfigured: &[String]) -> Option<Finding> {
    let wanted = &scene.inspection.wanted.settings;
    let is_wanted = |key: &str| wanted.iter().any(|one| one.wanted.key.name() == key);
    let mut names = root.names("/proc/sys/net/ipv6/conf");
    names.retain(|name| {
        let is_uplink = !["all", "default", "lo"].contains(&name.as_str())
            && !autoconfigured.contains(name)
            && !root.has(format!("/sys/class/net/{name}/brport"));
        is_uplink
            && setting(root, name, "forwarding").is_some_and(|value| value > 0)
            && accept_ra(root, name) == Some(1)
            && !is_wanted(&accept_ra_key(name))
    });
    if names.is_empty() {
        return None;
    }
    let shown_names: Vec<_> = names.iter().map(|name| escape(name)).collect();
    let what = format!(
        "router advertisements are ignored on {}, as this host forwards IPv6 and accept_ra is 1 there: \
         whatever is to get its address or its default route that way needs 2",
        shown_names.join(", ")
    );
    let remedy = names
        .iter()
        .map(|name| format!("sysctl {}=2", accept_ra_key(name)));
    Some(Finding::note("accept_ra", what).with_all(remedy))
}

fn accept_ra_key(interface: &str) -> String {
    format!("net.ipv6.conf.{}.accept_ra", dotted(interface))
}

/// The ways into networks.
pub(crate) fn routes(scene: &Scene) -> Vec<Finding> {
    let mut found = Vec::new();
    for (network, bridge) in scene.routed() {
        if !scene.host.interface(bridge).is_some_and(|one| one.is_up) {
            continue;
        }
        for net in network.subnets() {
            let name = escape(&network.name);
            match scene.host.way_into(&net, bridge, scene.settings) {
                Way::Right => {}
                Way::Astray { by, .. } if has_part_of(scene, by, &net) => {}
                Way::Astray { by, to, is_dropped } => {
                    let strict = match is_dropped {
                        true => format!(
                            ", and drops what comes from there, as rp_filter is 1 on {bridge}"
                        ),
                        false => String::new(),
                    };
                    let what = format!(
                        "this host sends to {net} of {name} by {by}, not by {bridge}{strict}"
                    );
                    // By the route to all the world, say: that of its own is gone, and comes back with it.
                    let remedy = match to.prefix_len() < net.prefix_len() {
                        true => again(scene, network, bridge, &net),
                        false => format!("ip route del {to} dev {by}"),
                    };
                    found.push(Finding::wrong(ROUTES, what).with(remedy));
                }
                Way::None => {
                    let what = format!("this host has no route to {net} of {name}");
                    found.push(
                        Finding::wrong(ROUTES, what).with(again(scene, network, bridge, &net)),
                    );
                }
            }
            found.extend(parts(scene, &name, bridge, &net));
        }
    }
    or_ok(found, ROUTES, "those to the networks lead to their bridges")
}

/// What brings the network's own route back. Its address, where that went with the link (IPv6
/// ones do); starting the network again would do too, but takes the guests out of its bridge.
fn again(scene: &Scene, network: &Network, bridge: &str, net: &IpNet) -> String {
    let own = network.addresses.iter().find(|own| own.trunc() == *net);
    let interface = scene.host.interface(bridge);
    let has = |own: &IpNet| interface.is_some_and(|one| one.addresses.contains(own));
    match own {
        Some(own) if has(own) => format!("ip route add {net} dev {bridge}"),
        Some(own) => format!("ip addr add {own} dev {bridge}"),
        None => {
            let name = argument(&network.name);
            format!(
                "virsh net-destroy {name}; virsh net-start {name}   # and plug its guests in again"
            )
        }
    }
}

/// Whether the interface is itself in such a subnet, which [`super::subnets`] tells.
fn has_part_of(scene: &Scene, interface: &str, net: &IpNet) -> bool {
    let interface = scene.host.interface(interface);
    interface.is_some_and(|one| one.addresses.iter().any(|own| overlap(own, net)))
}

/// Routes that take a part of it away.
fn parts(scene: &Scene, name: &str, bridge: &str, net: &IpNet) -> Vec<Finding> {
    let routes = scene.host.routes.iter();
    let smaller = routes.filter(|route| net.contains(&route.to) && route.to != *net);
    let others = smaller
        .filter(|route| route.interface != bridge && !has_part_of(scene, &route.interface, net));
    let finding = |route: &crate::host::Route| {
        let (to, by) = (route.to, &route.interface);
        let what = format!("{to}, a part of {net} of {name}, is sent by {by}, not by {bridge}");
        Finding::wrong(ROUTES, what).with(format!("ip route del {to} dev {by}"))
    };
    others.map(finding).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::{
        scene::tests::{Fake, route},
        tests::said,
    };

    #[test]
    fn a_route_that_leads_away_is_told() {
        let mut fake = Fake::new();
        assert!(said(&routes(&fake.scene()))[0].starts_with("ok"));
        fake.host.routes.push(route("10.17.4.64/26", "eth0"));
        assert_eq!(
            said(&routes(&fake.scene())),
            [
                "wrong routes: 10.17.4.64/26, a part of 10.17.4.0/24 of kube03, is sent by eth0, not by br3 | ip route del 10.17.4.64/26 dev eth0"
            ]
        );
        fake.host
            .routes
            .retain(|route| route.interface != "br3" && route.to.prefix_len() != 26);
        assert_eq!(
            said(&routes(&fake.scene())),
            [
                "wrong routes: this host sends to 10.17.4.0/24 of kube03 by eth0, not by br3 | ip route add 10.17.4.0/24 dev br3"
            ]
        );
        fake.host.interfaces.retain(|one| one.name != "br3");
        assert!(
            said(&routes(&fake.scene()))[0].starts_with("ok"),
            "the bridge is told elsewhere"
        );
    }

    #[test]
    fn only_a_host_that_forwards_loses_what_routers_advertise() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::at(dir.path());
        let fake = Fake::new();
        let found = |accept_ra: &str, forwarding: &str| {
            let conf = "/proc/sys/net/ipv6/conf/eth0.5";
            root.put(&format!("{conf}/accept_ra"), accept_ra);
            root.put(&format!("{conf}/forwarding"), forwarding);
            said(&settings(&fake.scene(), &root, &["eth0.5".to_owned()])).concat()
        };
        assert!(found("1", "0").starts_with("ok"));
        assert!(found("2", "1").starts_with("ok"));
        // systemd-networkd and NetworkManager do so, and take care of the routes themselves.
        assert!(found("0", "1").starts_with("ok"));
        assert!(found("1", "1").ends_with("| sysctl net.ipv6.conf.eth0/5.accept_ra=2"));
    }

    #[test]
    fn an_interface_whose_first_advertisement_is_to_come_is_noted() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::at(dir.path());
        let fake = Fake::new();
        let found = |name: &str, accept_ra: &str, forwarding: &str| {
            let conf = format!("/proc/sys/net/ipv6/conf/{name}");
            root.put(&format!("{conf}/accept_ra"), accept_ra);
            root.put(&format!("{conf}/forwarding"), forwarding);
            said(&settings(&fake.scene(), &root, &[]))
        };
        for name in ["all", "default", "lo"] {
            assert_eq!(found(name, "1", "1").len(), 1);
        }
        assert_eq!(found("eth0", "1", "0").len(), 1);
        assert_eq!(found("eth0", "2", "1").len(), 1);
        root.put("/sys/class/net/tap0/brport/state", "3");
        assert_eq!(found("tap0", "1", "1").len(), 1);
        let found = found("eth0", "1", "1");
        assert!(found[0].starts_with("ok"), "{found:?}");
        assert!(found[1].starts_with("note accept_ra: router advertisements are ignored on eth0,"));
        assert!(found[1].ends_with("| sysctl net.ipv6.conf.eth0.accept_ra=2"));
    }
}
