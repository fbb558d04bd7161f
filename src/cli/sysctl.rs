//! Sysctls of interfaces that decide about forwarded packets.

use std::{fs, path::Path};

use virt_forward_system::paths;

/// The effective sysctls of interfaces.
pub(crate) trait SysctlView {
    /// Whether the kernel drops IPv4 packets that arrive on the interface if their reverse path
    /// leads through another one (`rp_filter` = 1, strict).
    fn is_rp_filter_strict(&self, interface: &str) -> bool;
    /// Whether the kernel forwards packets that arrive on the interface.
    fn forwards(&self, interface: &str, is_ipv4: bool) -> bool;
}

/// The sysctls of this host.
pub(crate) struct Kernel;

impl SysctlView for Kernel {
    fn is_rp_filter_strict(&self, interface: &str) -> bool {
        // The higher of the two counts (Documentation/networking/ip-sysctl.rst).
        let of = |name: &str| setting("ipv4", name, "rp_filter").unwrap_or(0);
        of("all").max(of(interface)) == 1
    }

    fn forwards(&self, interface: &str, is_ipv4: bool) -> bool {
        match is_ipv4 {
            true => setting("ipv4", interface, "forwarding") == Some(1),
            // Since Linux 6.17 a single interface can forward.
            false => {
                setting("ipv6", "all", "forwarding").is_some_and(|value| value > 0)
                    || setting("ipv6", interface, "force_forwarding") == Some(1)
            }
        }
    }
}

fn setting(family: &str, interface: &str, name: &str) -> Option<u8> {
    let conf = Path::new(paths::SYSCTLS)
        .join("net")
        .join(family)
        .join("conf");
    let text = fs::read_to_string(conf.join(interface).join(name)).ok()?;
    text.trim_end().parse().ok()
}
