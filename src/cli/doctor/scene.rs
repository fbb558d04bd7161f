//! What more than one subject looks at.

use virt_forward_policy::{config::Config, network::Network};
use virt_forward_reconcile::Inspection;
use virt_forward_ruleset::gates::chain_model::Chains;
use virt_forward_system::state::Record;

use crate::{host::Host, networks::Networks, settings::Settings};

/// The host, its networks, and what is wanted for them.
pub(crate) struct Scene<'a> {
    /// One that opens nothing, where the file is wrong.
    pub(crate) config: &'a Config,
    pub(crate) is_config_right: bool,
    pub(crate) inspection: &'a Inspection,
    /// All chains that forwarded packets come by, or could.
    pub(crate) chains: &'a Chains,
    pub(crate) networks: &'a Networks,
    pub(crate) host: &'a Host,
    pub(crate) settings: &'a dyn Settings,
}

impl Scene<'_> {
    /// Whether any network is to be open.
    pub(crate) fn is_any_open(&self) -> bool {
        self.inspection.wanted.table.is_some()
    }

    pub(crate) fn records(&self) -> impl Iterator<Item = &Record> {
        self.inspection.wanted.records.iter()
    }

    /// The active networks that this host routes, with their bridges.
    pub(crate) fn routed(&self) -> impl Iterator<Item = (&Network, &str)> {
        let active = self.networks.active.iter();
        active.filter_map(|network| Some((network, network.routed_bridge()?.as_str())))
    }

    /// Whether an interface is a network's bridge.
    pub(crate) fn is_bridge(&self, interface: &str) -> bool {
        self.routed().any(|(_, bridge)| bridge == interface)
    }
}

/// Hosts for tests.
#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::host::{Interface, Route};
    use virt_forward_policy::network::read;
    use virt_forward_reconcile::Preview;
    use virt_forward_ruleset::gates::Survey;

    /// Everything forwards, and nothing is strict.
    struct Usual;

    impl Settings for Usual {
        fn is_strict(&self, _: &str) -> bool {
            false
        }
        fn forwards(&self, _: &str, _: bool) -> bool {
            true
        }
    }

    /// A host with `kube02` on `br2`, 10.17.3.0/24, and `kube03` on `br3`, 10.17.4.0/24, both open,
    /// and all as it should be.
    pub(crate) struct Fake {
        pub(crate) config: Config,
        pub(crate) inspection: Inspection,
        pub(crate) chains: Chains,
        pub(crate) networks: Networks,
        pub(crate) host: Host,
    }

    impl Fake {
        pub(crate) fn new() -> Self {
            let config = Config::default();
            let active = vec![
                network("kube02", "br2", "10.17.3.1"),
                network("kube03", "br3", "10.17.4.1"),
            ];
            let records = active.iter().cloned();
            let records = records.map(|network| Record::new(&config, network));
            let table = Some("table inet virt_forward {\n}\n".to_owned());
            let wanted = Preview {
                records: records.collect(),
                table: table.clone(),
                survey: Survey::default(),
                trouble: None,
                is_libvirt_flushed: false,
                is_host_changed: false,
                host: virt_forward_ruleset::table::Host::default(),
                direct_access: Vec::new(),
                outsiders: Vec::new(),
                is_firewalld_closed: false,
                misfits: Vec::new(),
                usable: config.clone(),
                settings: Vec::new(),
            };
            Self {
                config,
                inspection: Inspection { wanted, table },
                chains: Chains::default(),
                networks: Networks {
                    active,
                    ..Networks::default()
                },
                host: Host {
                    interfaces: vec![
                        Interface::new("lo", &["127.0.0.1/8"]),
                        Interface::new("eth0", &["192.168.0.40/24"]),
                        Interface::new("br2", &["10.17.3.1/24"]),
                        Interface::new("br3", &["10.17.4.1/24"]),
                    ],
                    routes: vec![
                        route("0.0.0.0/0", "eth0"),
                        route("10.17.3.0/24", "br2"),
                        route("10.17.4.0/24", "br3"),
                    ],
                },
            }
        }

        pub(crate) fn scene(&self) -> Scene<'_> {
            Scene {
                config: &self.config,
                is_config_right: true,
                inspection: &self.inspection,
                chains: &self.chains,
                networks: &self.networks,
                host: &self.host,
                settings: &Usual,
            }
        }
    }

    pub(crate) fn network(name: &str, bridge: &str, address: &str) -> Network {
        let xml = format!(
            "<network><name>{name}</name><forward mode='nat'/><bridge name='{bridge}'/>\
             <ip address='{address}' prefix='24'/></network>"
        );
        read(xml.as_bytes()).unwrap()
    }

    /// With a gateway where it leads to more than one subnet.
    pub(crate) fn route(to: &str, interface: &str) -> Route {
        Route {
            to: to.parse().unwrap(),
            interface: interface.to_owned(),
            gateway: (interface == "eth0").then(|| "192.168.0.1".parse().unwrap()),
            source: None,
            metric: 0,
        }
    }
}
