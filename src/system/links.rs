//! Interfaces of the host.

use std::{collections::BTreeSet, fs, path::Path};

use crate::paths;
use virt_forward_policy::network::KernelName;

/// Whether the interface exists. If that cannot be determined, it is assumed to: dropping the
/// record of a network closes it, and one record too many opens nothing.
pub fn exists(name: &KernelName) -> bool {
    let path = Path::new(paths::INTERFACES).join(name.as_str());
    path.try_exists().unwrap_or(true)
}

/// Whether the interface exists and is a bridge. libvirt creates only bridges for networks.
pub fn has_bridge(name: &KernelName) -> bool {
    is_bridge(name.as_str())
}

/// Whether the interface exists and is a bridge.
pub fn is_bridge(interface: &str) -> bool {
    let path = Path::new(paths::INTERFACES).join(interface);
    path.join("bridge").try_exists().unwrap_or(false)
}

/// All bridges of the host.
pub fn bridges() -> BTreeSet<String> {
    let all = fs::read_dir(paths::INTERFACES).into_iter().flatten();
    let names = all.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.filter(|name| is_bridge(name)).collect()
}
