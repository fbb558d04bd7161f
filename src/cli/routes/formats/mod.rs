//! A plan, written down for a program: a file here for each.
//!
//! Where a format knows comments, the text says at its head what it is and where it goes. The
//! names of networks get into comments only, made safe.

mod bird;
mod dnsmasq;
mod frr;
mod ifcfg;
mod ifupdown;
mod iproute2;
mod json;
mod netplan;
mod networkd;
mod networkmanager;
mod openwrt;
mod routeros;
mod windows;

use std::net::IpAddr;

use ipnet::IpNet;
use virt_forward_policy::sanitize::escape;

use super::plan::{Plan, Route};

/// For whom the text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// A script of ip(8) commands, until the next boot: pipe it to a shell
    Iproute2,
    /// A script of nmcli(1) commands, for good
    #[value(alias = "nmcli")]
    Networkmanager,
    /// A file for /etc/netplan
    Netplan,
    /// A drop-in for a .network file of systemd-networkd
    Networkd,
    /// Files for /etc/sysconfig/network-scripts
    Ifcfg,
    /// A file for /etc/network/interfaces.d
    Ifupdown,
    /// DHCP options 121 and 249, for the LAN's dnsmasq
    Dnsmasq,
    /// A part of /etc/config/network, for a router
    Openwrt,
    /// Commands for a router of MikroTik's
    Routeros,
    /// Commands for an administrator's prompt
    Windows,
    /// Static routes for FRR; with --announce, this host's own configuration
    Frr,
    /// The same for BIRD 2
    Bird,
    /// For programs
    Json,
}

impl Format {
    /// The interface that a machine or router of that kind usually has in the LAN.
    pub(crate) fn usual_interface(self) -> &'static str {
        match self {
            Format::Openwrt => "lan",
            _ => "eth0",
        }
    }

    /// Whether it is for the router, which is not to be told where its own default route leads.
    pub(crate) fn is_for_routers(self) -> bool {
        matches!(self, Format::Openwrt | Format::Routeros)
    }

    /// Whether warnings are part of the text.
    pub(crate) fn has_warnings(self) -> bool {
        self == Format::Json
    }

    /// The text; `interface` is the one of the machine that it is for.
    pub(crate) fn text(self, plan: &Plan, interface: &str) -> anyhow::Result<String> {
        Ok(match self {
            Format::Iproute2 => iproute2::text(plan),
            Format::Networkmanager => networkmanager::text(plan),
            Format::Netplan => netplan::text(plan, interface),
            Format::Networkd => networkd::text(plan),
            Format::Ifcfg => ifcfg::text(plan, interface),
            Format::Ifupdown => ifupdown::text(plan, interface),
            Format::Dnsmasq => dnsmasq::text(plan)?,
            Format::Openwrt => openwrt::text(plan, interface),
            Format::Routeros => routeros::text(plan),
            Format::Windows => windows::text(plan),
            Format::Frr => frr::text(plan),
            Format::Bird => bird::text(plan),
            Format::Json => json::text(plan)?,
        })
    }
}

/// A route, or a default route, which belongs to no network.
struct Line {
    to: IpNet,
    via: IpAddr,
    /// What it is for, safe for a comment.
    what: String,
}

/// The default routes come last: who cannot be reached any more without one has the others.
fn lines(plan: &Plan, is_ipv4: bool) -> Vec<Line> {
    let line = |route: &Route| Line {
        to: route.to,
        via: route.via,
        what: escape(&route.network),
    };
    let defaults = plan.defaults.iter().filter(|via| via.is_ipv4() == is_ipv4);
    let defaults = defaults.map(|via| Line {
        to: match is_ipv4 {
            true => IpNet::new_assert([0, 0, 0, 0].into(), 0),
            false => IpNet::new_assert([0; 16].into(), 0),
        },
        via: *via,
        what: "the default route".to_owned(),
    });
    plan.of_family(is_ipv4).map(line).chain(defaults).collect()
}

fn all_lines(plan: &Plan) -> Vec<Line> {
    let mut all = lines(plan, true);
    all.extend(lines(plan, false));
    all
}

impl Line {
    fn is_default(&self) -> bool {
        self.to.prefix_len() == 0
    }
}

/// `text` as lines of comment that `mark` begins.
fn comment(mark: &str, text: &str) -> String {
    let lines = text.lines().map(|line| match line.is_empty() {
        true => format!("{mark}\n"),
        false => format!("{mark} {line}\n"),
    });
    lines.collect()
}

/// For formats that add a default route to a machine's own configuration, where `own` is what
/// has set one so far; nothing where none is added.
fn default_note(mark: &str, plan: &Plan, own: &str) -> String {
    match plan.defaults.is_empty() {
        true => String::new(),
        false => comment(
            mark,
            &format!(
                "A static default route of the machine's own wins over this one: {own} has to go."
            ),
        ),
    }
}

/// For formats that are for routers.
const HALF_SEEN: &str = "\
Beware on a router that tracks connections: machines of the LAN send by way of it, but are
answered by the KVM host directly. It sees half of each connection, and where it drops what is
\"invalid\", TCP stalls. Exempt these subnets from that, or give the routes to the machines
instead (format dnsmasq).";

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum;

    fn plan() -> Plan {
        let route = |network: &str, to: &str, via: &str| Route {
            network: network.to_owned(),
            to: to.parse().unwrap(),
            via: via.parse().unwrap(),
        };
        Plan {
            routes: vec![
                route("kube02", "10.17.3.0/24", "192.168.0.40"),
                route("a'; reboot #\u{1b}[2J", "10.16.0.0/14", "192.168.0.40"),
                route("kube02", "fd00:10:17:3::/64", "fd00:0:0:1::40"),
            ],
            defaults: vec!["192.168.0.1".parse().unwrap(), "fd00::1".parse().unwrap()],
            replaced: vec!["192.168.0.40".parse().unwrap()],
            default4: Some([192, 168, 0, 1].into()),
            warnings: vec!["w".to_owned()],
        }
    }

    #[test]
    fn every_format_has_every_route_and_no_name_gets_out_of_its_comment() {
        for format in Format::value_variants() {
            let text = format.text(&plan(), "eth0").unwrap();
            let is_ipv4_only = *format == Format::Dnsmasq;
            for net in ["10.17.3.0", "10.16.0.0", "fd00:10:17:3::"] {
                let is_there = text.contains(net);
                assert!(
                    is_there || is_ipv4_only && net.starts_with('f'),
                    "{format:?}: {text}"
                );
            }
            assert!(!text.contains('\u{1b}'), "{format:?}: {text}");
            let uncommented = text.lines().filter(|line| {
                let line = line.trim_start();
                let is_comment = ["#", "rem ", "!"].iter().any(|mark| line.starts_with(mark));
                !is_comment && line.contains("reboot")
            });
            for line in uncommented {
                let at = line.find("reboot").unwrap();
                let before = &line[..at];
                let is_quoted = *format == Format::Json || *format == Format::Routeros;
                assert!(before.contains(" # ") || is_quoted, "{format:?}: {line}");
            }
        }
    }

    #[test]
    fn without_routes_nothing_is_configured() {
        let none = Plan {
            routes: Vec::new(),
            defaults: Vec::new(),
            replaced: Vec::new(),
            default4: Some([192, 168, 0, 1].into()),
            warnings: Vec::new(),
        };
        for format in Format::value_variants() {
            // Options of DHCP have the default route in any case.
            if matches!(format, Format::Json | Format::Dnsmasq) {
                continue;
            }
            let text = format.text(&none, "eth0").unwrap();
            let is_comment =
                |line: &str| ["#", "!", "rem"].iter().any(|mark| line.starts_with(mark));
            assert!(
                text.lines().all(|line| line.is_empty() || is_comment(line)),
                "{format:?}: {text}"
            );
        }
    }

    #[test]
    fn scripts_of_ip_can_be_run_twice() {
        let text = iproute2::text(&plan());
        let commands: Vec<_> = text
            .lines()
            .filter(|line| line.starts_with("ip "))
            .collect();
        assert_eq!(
            commands[0],
            "ip -4 route replace 10.17.3.0/24 via 192.168.0.40 proto static metric 10  # kube02"
        );
        assert_eq!(commands.len(), 5);
        assert!(commands.iter().all(|line| line.contains(" route replace ")));
    }

    #[test]
    fn dhcp_repeats_the_default_route_and_says_what_it_has_no_room_for() {
        let text = dnsmasq::text(&plan()).unwrap();
        let routes = "10.17.3.0/24,192.168.0.40,10.16.0.0/14,192.168.0.40,0.0.0.0/0,192.168.0.1";
        assert!(
            text.contains(&format!("\ndhcp-option=121,{routes}\n")),
            "{text}"
        );
        assert!(
            text.contains(&format!("\ndhcp-option=249,{routes}\n")),
            "{text}"
        );
        let without = Plan {
            default4: None,
            ..plan()
        };
        let why = dnsmasq::text(&without).unwrap_err().to_string();
        assert!(why.contains("--router"), "{why}");
        let mut many = plan();
        let route = many.routes[0].clone();
        many.routes = vec![route; 40];
        let why = dnsmasq::text(&many).unwrap_err().to_string();
        assert!(why.contains("255"), "{why}");
    }
}
