//! The networks' bridges.

use virt_forward_policy::sanitize::{argument, shown};

use super::{Finding, Scene, or_ok};

const CHECK: &str = "networks";

pub(crate) fn findings(scene: &Scene) -> Vec<Finding> {
    let mut found = Vec::new();
    for (network, bridge) in scene.routed() {
        let name = shown(&network.name);
        match scene.host.interface(bridge) {
            None => {
                let what = format!("{bridge} is gone, though libvirt takes {name} for active");
                let name = argument(&network.name);
                let remedy = format!("virsh net-destroy {name}; virsh net-start {name}");
                found.push(Finding::wrong(CHECK, what).with(remedy));
            }
            Some(one) if !one.is_up => {
                let what = format!("the bridge {bridge} of {name} is not up");
                found.push(Finding::wrong(CHECK, what).with(format!("ip link set {bridge} up")));
            }
            Some(_) => {}
        }
    }
    for record in scene.records().filter(|record| record.is_admin_closed()) {
        let name = shown(&record.network.name);
        let what = format!("{name} was closed by hand, and stays so until it starts again");
        let name = argument(&record.network.name);
        found.push(Finding::note(CHECK, what).with(format!("virt-forward apply {name}")));
    }
    let count = scene.routed().count();
    let what = match count {
        0 => "none is active that could be opened".to_owned(),
        1 => "one is active, and its bridge is up".to_owned(),
        count => format!("{count} are active, and their bridges are up"),
    };
    or_ok(found, CHECK, &what)
}
