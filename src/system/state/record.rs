//! What is known of one network.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use virt_forward_policy::{self as policy, Access, config::Config, network::Network};
use virt_forward_ruleset::table::Ip;

/// A network that runs, or is about to, and its access.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Stored")]
pub struct Record {
    /// The network as libvirt described it.
    pub network: Network,
    /// What policy grants it.
    #[serde(flatten)]
    pub access: Access,
    /// Whether it runs, and who decides about it.
    pub state: NetworkState,
    /// The families that its bridge forwards because of virt-forward alone.
    pub enabled: BTreeSet<Ip>,
}

/// Whether a network runs, and who decides about it. Only an active network may be open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NetworkState {
    /// It runs, and the configuration decides.
    Active,
    /// It is about to start: its bridge is recorded before it exists.
    Starting,
    /// Its bridge exists, but libvirt does not have it active.
    Inactive,
    /// libvirt has it active, but no hook was called for it and no command named it.
    Unmanaged,
    /// The administrator closed it. It stays closed until it starts again or `apply` names it.
    AdminClosed,
}

impl Record {
    /// The record of an active network. `config` is free of [conflicts](policy::without).
    pub fn new(config: &Config, network: Network) -> Self {
        Self {
            access: policy::access_of(config, &network),
            network,
            state: NetworkState::Active,
            enabled: BTreeSet::new(),
        }
    }

    /// The record of a closed network, which is known so that it does not count as external.
    pub fn closed(network: Network, state: NetworkState) -> Self {
        Self {
            network,
            access: Access::default(),
            state,
            enabled: BTreeSet::new(),
        }
    }

    /// The record of the same network under `config`.
    pub fn renewed(&self, config: &Config) -> Self {
        let renewed = match self.state {
            NetworkState::Active => Self::new(config, self.network.clone()),
            state => Self::closed(self.network.clone(), state),
        };
        Self {
            enabled: self.enabled.clone(),
            ..renewed
        }
    }

    /// Whether the administrator closed it.
    pub fn is_admin_closed(&self) -> bool {
        self.state == NetworkState::AdminClosed
    }
}

/// The stored form, of this version and of earlier ones, which kept `is_held` and `standing` in
/// place of `state`.
#[derive(Deserialize)]
struct Stored {
    network: Network,
    #[serde(flatten)]
    access: Access,
    state: Option<NetworkState>,
    #[serde(default)]
    is_held: bool,
    #[serde(default)]
    standing: Standing,
    #[serde(default)]
    enabled: BTreeSet<Ip>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Standing {
    #[default]
    Active,
    Starting,
    Inactive,
    Stranger,
}

impl From<Stored> for Record {
    fn from(stored: Stored) -> Self {
        let earlier = match stored.standing {
            // The next `started` opens it, closed by the administrator or not.
            Standing::Starting => NetworkState::Starting,
            _ if stored.is_held => NetworkState::AdminClosed,
            Standing::Active => NetworkState::Active,
            Standing::Inactive => NetworkState::Inactive,
            Standing::Stranger => NetworkState::Unmanaged,
        };
        Self {
            network: stored.network,
            access: stored.access,
            state: stored.state.unwrap_or(earlier),
            enabled: stored.enabled,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NETWORK: &str = r#""network":{"name":"n","mode":"nat","bridge":"virbr0","forward_dev":null,
        "nat_ipv6":false,"addresses":["10.0.0.1/24"],"routes":[]},"groups":[]"#;

    fn read(rest: &str) -> Record {
        serde_json::from_str(&format!("{{{NETWORK}{rest}}}")).unwrap()
    }

    #[test]
    fn a_record_of_an_earlier_version_has_the_same_meaning() {
        for (rest, state) in [
            ("", NetworkState::Active),
            (
                r#","is_held":false,"standing":"active""#,
                NetworkState::Active,
            ),
            (
                r#","is_held":true,"standing":"active""#,
                NetworkState::AdminClosed,
            ),
            (
                r#","is_held":true,"standing":"stranger""#,
                NetworkState::AdminClosed,
            ),
            (
                r#","is_held":true,"standing":"inactive""#,
                NetworkState::AdminClosed,
            ),
            (
                r#","is_held":true,"standing":"starting""#,
                NetworkState::Starting,
            ),
            (
                r#","is_held":false,"standing":"starting""#,
                NetworkState::Starting,
            ),
            (
                r#","is_held":false,"standing":"inactive""#,
                NetworkState::Inactive,
            ),
            (
                r#","is_held":false,"standing":"stranger""#,
                NetworkState::Unmanaged,
            ),
        ] {
            assert_eq!(read(rest).state, state, "{rest}");
        }
    }

    #[test]
    fn a_record_is_read_as_it_was_written() {
        for state in [
            NetworkState::Active,
            NetworkState::Starting,
            NetworkState::Inactive,
            NetworkState::Unmanaged,
            NetworkState::AdminClosed,
        ] {
            let mut record = Record::closed(read("").network, state);
            record.enabled = [Ip::V6].into();
            let text = serde_json::to_string(&record).unwrap();
            assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), record);
        }
    }

    #[test]
    fn only_an_active_network_is_opened_by_the_config() {
        let config = Config::default();
        let network = read("").network;
        for state in [
            NetworkState::Starting,
            NetworkState::Inactive,
            NetworkState::Unmanaged,
            NetworkState::AdminClosed,
        ] {
            let record = Record::closed(network.clone(), state).renewed(&config);
            assert!(record.access.is_empty() && record.state == state);
        }
        let active = Record::closed(network, NetworkState::Active).renewed(&config);
        assert!(!active.access.is_empty());
    }
}
