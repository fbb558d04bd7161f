//! The formats, and what differs between them.

use super::{
    bird, dnsmasq, frr, ifcfg, ifupdown, iproute2, json, netplan, networkd, networkmanager,
    openwrt, routeros, windows,
};
use crate::routes::model::Plan;

/// The program that takes the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum RouteFormat {
    /// A script of ip(8) commands, until the next reboot: pipe it to a shell
    Iproute2,
    /// A script of nmcli(1) commands, persistent: pipe it to a shell
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
    /// Sections of /etc/config/network, for an OpenWrt router
    Openwrt,
    /// Commands for a MikroTik router
    Routeros,
    /// Commands for an administrator's command prompt
    Windows,
    /// Static routes for FRR; with --announce, the configuration of this host's FRR
    Frr,
    /// Static routes for BIRD 2; with --announce, the configuration of this host's BIRD
    Bird,
    /// Routes and warnings for programs
    Json,
}

impl RouteFormat {
    /// The name of the LAN interface on most hosts, or routers, of this kind.
    pub(crate) fn default_interface(self) -> &'static str {
        match self {
            Self::Openwrt => "lan",
            _ => "eth0",
        }
    }

    /// Whether the text configures the router, whose own default route must not change.
    pub(crate) fn is_for_routers(self) -> bool {
        matches!(self, Self::Openwrt | Self::Routeros)
    }

    /// Whether the text contains the warnings.
    pub(crate) fn embeds_warnings(self) -> bool {
        self == Self::Json
    }

    /// Renders `plan` for a host whose LAN interface is `interface`.
    ///
    /// Fails if the format cannot express the plan.
    pub(crate) fn render(self, plan: &Plan, interface: &str) -> anyhow::Result<String> {
        Ok(match self {
            Self::Iproute2 => iproute2::render(plan),
            Self::Networkmanager => networkmanager::render(plan),
            Self::Netplan => netplan::render(plan, interface),
            Self::Networkd => networkd::render(plan),
            Self::Ifcfg => ifcfg::render(plan, interface),
            Self::Ifupdown => ifupdown::render(plan, interface),
            Self::Dnsmasq => dnsmasq::render(plan)?,
            Self::Openwrt => openwrt::render(plan, interface),
            Self::Routeros => routeros::render(plan),
            Self::Windows => windows::render(plan),
            Self::Frr => frr::render(plan),
            Self::Bird => bird::render(plan),
            Self::Json => json::render(plan)?,
        })
    }
}
