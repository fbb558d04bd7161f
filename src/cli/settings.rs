//! What this kernel is set to.

use std::{fs, path::Path};

use virt_forward_system::paths;

/// Settings of interfaces.
pub(crate) trait Settings {
    /// Whether IPv4 that comes in there is dropped if the answer would leave by another
    /// (`rp_filter` = 1, strict).
    fn is_strict(&self, interface: &str) -> bool;
    /// Whether what comes in there is forwarded.
    fn forwards(&self, interface: &str, is_ipv4: bool) -> bool;
}

/// Those of this host.
pub(crate) struct Kernel;

impl Settings for Kernel {
    fn is_strict(&self, interface: &str) -> bool {
        // The higher of the two counts (Documentation/networking/ip-sysctl.rst).
        let of = |name: &str| setting("ipv4", name, "rp_filter").unwrap_or(0);
        of("all").max(of(interface)) == 1
    }

    fn forwards(&self, interface: &str, is_ipv4: bool) -> bool {
        match is_ipv4 {
            true => setting("ipv4", interface, "forwarding") == Some(1),
            // Since Linux 6.17 an interface can do so alone.
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
