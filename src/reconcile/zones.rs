//! The firewalld zones of libvirt's bridges.
//!
//! libvirt sets them at run time, and firewalld drops them at each restart and reload. A running daemon
//! of libvirt's is notified and sets them again; one that has exited, or is just starting, does not.
//! firewalld rejects everything from a bridge in no zone.

use crate::Result;
use virt_forward_policy::network::{KernelName, Network};
use virt_forward_ruleset::gates::libvirts_zone;
use virt_forward_system::{deadline::Deadline, exec::firewalld, links};

/// Puts the bridges of these networks that are in no zone into the zone that libvirt would choose, and
/// returns those bridges. A bridge in another zone stays there, as the administrator chose that.
pub fn restore_zones<'a>(
    networks: impl Iterator<Item = &'a Network>,
    deadline: Deadline,
) -> Result<Vec<KernelName>> {
    let active = firewalld::active_zones(deadline)?;
    let lost = networks.filter_map(|network| {
        let bridge = network.known_bridge()?;
        let is_lost = !active.contains(bridge.as_str()) && links::has_bridge(&bridge);
        is_lost.then_some((network, bridge))
    });
    let lost: Vec<_> = lost.collect();
    if lost.is_empty() {
        return Ok(Vec::new());
    }
    let zones = firewalld::zones(deadline)?;
    let mut restored = Vec::new();
    for (network, bridge) in lost {
        if let Some(zone) = libvirts_zone(network, &zones) {
            firewalld::set_zone(bridge.as_str(), &zone, deadline)?;
            restored.push(bridge);
        }
    }
    Ok(restored)
}
