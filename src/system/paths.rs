//! Where things are on a host. Fixed, not from the environment: the hook runs as root
//! and libvirtd hands it no environment of use.

/// The admin's configuration; a missing file means the defaults.
pub const CONFIG: &str = "/etc/virt-forward/config.toml";

/// What we know of the running host; on tmpfs, so a reboot forgets it with the rules.
pub const STATE: &str = "/run/virt-forward";

/// libvirt's own status files, one for each active network (libvirt:
/// src/network/bridge_driver_conf.c, `stateDir`).
pub const LIBVIRT_STATUS: &str = "/run/libvirt/network";

/// The DHCP leases that libvirt has given, a file `BRIDGE.status` for each network (libvirt:
/// src/network/leaseshelper.c); its own NSS module reads them there too.
pub const LIBVIRT_LEASES: &str = "/var/lib/libvirt/dnsmasq";

/// Where libvirt looks for hooks.
pub const HOOKS: &str = "/etc/libvirt/hooks";

/// Interfaces of the host, by name.
pub const INTERFACES: &str = "/sys/class/net";

/// Kernel settings of the host.
pub const SYSCTLS: &str = "/proc/sys";

/// IPv6 routes with their flags, as `ip -6 route` does not show them.
pub const IPV6_ROUTES: &str = "/proc/net/ipv6_route";

/// The tables of iptables-legacy that are in use, one a line; for IPv4 and IPv6.
pub const LEGACY_TABLES4: &str = "/proc/net/ip_tables_names";
/// The same for IPv6.
pub const LEGACY_TABLES6: &str = "/proc/net/ip6_tables_names";

/// Where programs that we run as root are looked for, in this order. The last is NixOS.
pub const PROGRAMS: [&str; 5] = [
    "/usr/sbin",
    "/sbin",
    "/usr/bin",
    "/bin",
    "/run/current-system/sw/bin",
];
