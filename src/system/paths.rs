//! Paths on the host. They are constants and do not come from the environment: the hook runs as
//! root, and libvirtd passes it no useful environment.

/// The administrator's configuration; a missing file means the defaults.
pub const CONFIG: &str = "/etc/virt-forward/config.toml";

/// The state directory, on tmpfs: it has to vanish with the rules at a reboot.
pub const STATE: &str = "/run/virt-forward";

/// libvirt's status files, one per active network (libvirt:
/// src/network/bridge_driver_conf.c, `stateDir`).
pub const LIBVIRT_STATUS: &str = "/run/libvirt/network";

/// The DHCP leases of libvirt, a file `BRIDGE.status` per network (libvirt:
/// src/network/leaseshelper.c). libvirt's NSS module reads them, too.
pub const LIBVIRT_LEASES: &str = "/var/lib/libvirt/dnsmasq";

/// The directory of libvirt's hooks.
pub const HOOKS: &str = "/etc/libvirt/hooks";

/// The host's interfaces, by name.
pub const INTERFACES: &str = "/sys/class/net";

/// The host's sysctls.
pub const SYSCTLS: &str = "/proc/sys";

/// IPv6 routes with their flags, which `ip -6 route` does not show.
pub const IPV6_ROUTES: &str = "/proc/net/ipv6_route";

/// The IPv4 tables of iptables-legacy that are in use, one per line.
pub const LEGACY_TABLES4: &str = "/proc/net/ip_tables_names";
/// The same for IPv6.
pub const LEGACY_TABLES6: &str = "/proc/net/ip6_tables_names";

/// The directories that are searched for programs, in this order. The last one is NixOS's.
pub const PROGRAMS: [&str; 5] = [
    "/usr/sbin",
    "/sbin",
    "/usr/bin",
    "/bin",
    "/run/current-system/sw/bin",
];
