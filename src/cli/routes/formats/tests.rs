//! What all formats have in common, and the text of each.

use clap::ValueEnum;

use super::{dnsmasq, error::FormatError, format::RouteFormat, iproute2};
use crate::routes::{
    model::{Plan, PlannedRoute},
    warning::Warning,
};

fn route(network: &str, to: &str, via: &str) -> PlannedRoute {
    PlannedRoute {
        network: network.to_owned(),
        to: to.parse().unwrap(),
        via: via.parse().unwrap(),
    }
}

fn plan() -> Plan {
    Plan {
        routes: vec![
            route("kube02", "10.17.3.0/24", "192.168.0.40"),
            route("a'; reboot #\u{1b}[2J", "10.16.0.0/14", "192.168.0.40"),
            route("kube02", "fd00:10:17:3::/64", "fd00:0:0:1::40"),
        ],
        defaults: vec!["192.168.0.1".parse().unwrap(), "fd00::1".parse().unwrap()],
        replaced_defaults: vec!["192.168.0.40".parse().unwrap()],
        default4: Some([192, 168, 0, 1].into()),
        warnings: vec![Warning::AsymmetricGateway],
    }
}

/// Three networks of both families; the router remains the default gateway.
fn reference() -> Plan {
    let mut routes = Vec::new();
    for (name, number) in [("kube02", 3), ("kube03", 4), ("kube05", 5)] {
        routes.push(route(name, &format!("10.17.{number}.0/24"), "192.168.0.40"));
        let net = format!("fd00:10:17:{number}::/64");
        routes.push(route(name, &net, "fd00:0:0:1::40"));
    }
    Plan {
        routes,
        defaults: Vec::new(),
        replaced_defaults: Vec::new(),
        default4: Some([192, 168, 0, 1].into()),
        warnings: Vec::new(),
    }
}

fn name(format: RouteFormat) -> String {
    format.to_possible_value().unwrap().get_name().to_owned()
}

#[test]
fn every_format_has_its_snapshot() {
    for format in RouteFormat::value_variants() {
        let text = format
            .render(&reference(), format.default_interface())
            .unwrap();
        insta::assert_snapshot!(name(*format), text);
        let with_default = format.render(&plan(), format.default_interface()).unwrap();
        insta::assert_snapshot!(format!("{}-gateway", name(*format)), with_default);
    }
}

#[test]
fn every_format_has_every_route_and_no_name_leaves_its_comment() {
    for format in RouteFormat::value_variants() {
        let text = format.render(&plan(), "eth0").unwrap();
        let is_ipv4_only = *format == RouteFormat::Dnsmasq;
        for net in ["10.17.3.0", "10.16.0.0", "fd00:10:17:3::"] {
            let is_expected = !(is_ipv4_only && net.contains(':'));
            assert_eq!(text.contains(net), is_expected, "{format:?}: {text}");
        }
        assert!(!text.contains('\u{1b}'), "{format:?}: {text}");
        let uncommented = text.lines().filter(|line| {
            let line = line.trim_start();
            let is_comment = ["#", "rem ", "!"].iter().any(|mark| line.starts_with(mark));
            !is_comment && line.contains("reboot")
        });
        for line in uncommented {
            let (before, _) = line.split_once("reboot").unwrap();
            let is_quoted = *format == RouteFormat::Json || *format == RouteFormat::Routeros;
            assert!(before.contains(" # ") || is_quoted, "{format:?}: {line}");
        }
    }
}

#[test]
fn a_plan_without_routes_configures_nothing() {
    let empty = Plan {
        routes: Vec::new(),
        ..reference()
    };
    for format in RouteFormat::value_variants() {
        // DHCP options always contain the default route.
        if matches!(format, RouteFormat::Json | RouteFormat::Dnsmasq) {
            continue;
        }
        let text = format.render(&empty, "eth0").unwrap();
        let is_comment = |line: &str| ["#", "!", "rem"].iter().any(|mark| line.starts_with(mark));
        assert!(
            text.lines().all(|line| line.is_empty() || is_comment(line)),
            "{format:?}: {text}"
        );
    }
}

#[test]
fn an_iproute2_script_can_be_run_again() {
    let text = iproute2::render(&plan());
    let commands = text.lines().filter(|line| line.starts_with("ip "));
    let commands: Vec<_> = commands.collect();
    assert_eq!(commands.len(), 5);
    assert!(commands.iter().all(|line| line.contains(" route replace ")));
}

#[test]
fn dhcp_options_contain_the_default_route() {
    let text = dnsmasq::render(&plan()).unwrap();
    let routes = "10.17.3.0/24,192.168.0.40,10.16.0.0/14,192.168.0.40,0.0.0.0/0,192.168.0.1";
    for option in [121, 249] {
        let line = format!("\ndhcp-option={option},{routes}\n");
        assert!(text.contains(&line), "{text}");
    }
    let without_router = Plan {
        default4: None,
        ..plan()
    };
    let error = dnsmasq::render(&without_router).unwrap_err();
    assert_eq!(error, FormatError::NoDefaultRoute);
}

#[test]
fn dhcp_options_have_a_limited_size() {
    // Each /24 takes 8 bytes, the default route 5.
    let with_routes = |count| Plan {
        routes: vec![route("kube02", "10.17.3.0/24", "192.168.0.40"); count],
        ..plan()
    };
    assert!(dnsmasq::render(&with_routes(31)).is_ok());
    let error = dnsmasq::render(&with_routes(32)).unwrap_err();
    assert_eq!(error, FormatError::TooManyRoutes { routes: 32 });
}

#[test]
fn only_formats_for_hosts_take_a_default_route() {
    let formats = RouteFormat::value_variants().iter();
    let for_routers: Vec<_> = formats.filter(|format| format.is_for_routers()).collect();
    assert_eq!(for_routers, [&RouteFormat::Openwrt, &RouteFormat::Routeros]);
    assert_eq!(RouteFormat::Openwrt.default_interface(), "lan");
}
