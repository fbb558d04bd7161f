//! Groups that networks name in their metadata and the config does not define.

use crate::{config::Config, network::Network};

/// A reference of a network's metadata to a group that the config does not define.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownGroup {
    /// The network.
    pub network: String,
    /// The name of the group.
    pub group: String,
}

/// The references of `networks` to groups that `config` does not define. They open nothing.
pub fn unknown_groups<'a>(
    config: &Config,
    networks: impl Iterator<Item = &'a Network>,
) -> Vec<UnknownGroup> {
    if !config.metadata {
        return Vec::new();
    }
    let is_defined = |name: &String| config.groups.iter().any(|group| group.name == *name);
    let mut unknown = Vec::new();
    for network in networks {
        for group in network.groups.iter().flatten() {
            if !is_defined(group) {
                unknown.push(UnknownGroup {
                    network: network.name.clone(),
                    group: group.clone(),
                });
            }
        }
    }
    unknown
}
