//! The values of the sysctls.

use crate::doctor::SysRoot;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ForwardingSysctls {
    /// `net.ipv4.ip_forward`.
    pub(crate) is_ipv4_forwarding: bool,
    /// Interfaces, and `all` and `default`.
    pub(crate) ipv6: Vec<Ipv6Interface>,
    /// The interfaces with routes from router advertisements.
    pub(crate) autoconfigured: Vec<String>,
}

/// An entry of `/proc/sys/net/ipv6/conf`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ipv6Interface {
    pub(crate) name: String,
    pub(crate) is_forwarding: bool,
    pub(crate) accept_ra: Option<i64>,
    /// It is a port of a bridge, so it has no routes of its own.
    pub(crate) is_bridge_port: bool,
}

impl Ipv6Interface {
    /// Whether the kernel ignores router advertisements because the interface forwards. Where
    /// accept_ra is 0, systemd-networkd or NetworkManager handles them (net/ipv6/addrconf.c,
    /// `addrconf_fixup_forwarding`).
    pub(super) fn ignores_advertisements(&self) -> bool {
        self.is_forwarding && self.accept_ra == Some(1)
    }
}

impl ForwardingSysctls {
    pub(crate) fn collect(root: &SysRoot, autoconfigured: Vec<String>) -> Self {
        const CONF: &str = "/proc/sys/net/ipv6/conf";
        let interface = |name: String| Ipv6Interface {
            is_forwarding: root
                .number(format!("{CONF}/{name}/forwarding"))
                .is_some_and(|value| value > 0),
            accept_ra: root.number(format!("{CONF}/{name}/accept_ra")),
            is_bridge_port: root.has(format!("/sys/class/net/{name}/brport")),
            name,
        };
        Self {
            is_ipv4_forwarding: root.number("/proc/sys/net/ipv4/ip_forward") == Some(1),
            ipv6: root.names(CONF).into_iter().map(interface).collect(),
            autoconfigured,
        }
    }

    pub(super) fn is_autoconfigured(&self, interface: &Ipv6Interface) -> bool {
        self.autoconfigured.contains(&interface.name)
    }
}

/// The name of an interface as a part of a key: sysctl(8) takes a dot in it for a separator.
pub(super) fn key_part(interface: &str) -> String {
    interface.replace('.', "/")
}

pub(super) fn accept_ra_key(interface: &str) -> String {
    format!("net.ipv6.conf.{}.accept_ra", key_part(interface))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sysctls_are_read_for_each_interface() {
        let dir = tempfile::tempdir().unwrap();
        let root = SysRoot::at(dir.path());
        root.put("/proc/sys/net/ipv4/ip_forward", "1\n");
        root.put("/proc/sys/net/ipv6/conf/eth0.5/accept_ra", "2\n");
        root.put("/proc/sys/net/ipv6/conf/eth0.5/forwarding", "1\n");
        root.put("/proc/sys/net/ipv6/conf/tap0/forwarding", "0\n");
        root.put("/sys/class/net/tap0/brport/state", "3\n");
        let found = ForwardingSysctls::collect(&root, vec![]);
        assert!(found.is_ipv4_forwarding);
        let expected = [
            Ipv6Interface {
                name: "eth0.5".to_owned(),
                is_forwarding: true,
                accept_ra: Some(2),
                is_bridge_port: false,
            },
            Ipv6Interface {
                name: "tap0".to_owned(),
                is_forwarding: false,
                accept_ra: None,
                is_bridge_port: true,
            },
        ];
        assert_eq!(found.ipv6, expected);
        assert_eq!(accept_ra_key("eth0.5"), "net.ipv6.conf.eth0/5.accept_ra");
    }
}
