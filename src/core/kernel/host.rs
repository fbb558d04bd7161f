//! Interfaces of the host.

use std::path::Path;

use crate::{network::BridgeName, paths};

/// Whether there is such an interface now.
pub fn has(bridge: &BridgeName) -> bool {
    Path::new(paths::INTERFACES).join(bridge.as_str()).exists()
}
