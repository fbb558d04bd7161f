//! Networks and configs for unit tests.

use crate::{
    config::{Config, RuleId},
    network::{Mode, Network},
};

pub(crate) fn network(name: &str, mode: Mode) -> Network {
    Network {
        name: name.into(),
        mode,
        bridge: Some(format!("br_{name}").parse().unwrap()),
        forward_dev: None,
        zone: None,
        nat_ipv6: false,
        addresses: vec![],
        routes: vec![],
        groups: None,
        fault: None,
    }
}

pub(crate) fn config(text: &str) -> Config {
    Config::read(text, "config.toml".to_owned()).unwrap()
}

pub(crate) fn with(mut network: Network, addresses: &[&str]) -> Network {
    network.addresses = addresses.iter().map(|net| net.parse().unwrap()).collect();
    network
}

/// The rules with these numbers.
pub(crate) fn rules(numbers: &[usize]) -> Vec<RuleId> {
    numbers.iter().copied().map(RuleId::Number).collect()
}
