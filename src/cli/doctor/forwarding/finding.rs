//! Forwarding between the networks, and from and to the outside.

use std::{
    fmt::{self, Display, Formatter},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use strum::IntoStaticStr;
use virt_forward_policy::{
    network::{Mode, Network},
    sanitize::{argument, escape},
};

use super::observed::{ForwardingSysctls, accept_ra_key, key_part};
use crate::doctor::{
    context::Context,
    diagnosis::{Diagnosis, Fix, Severity, Subject, passed_unless_error},
};

#[derive(Clone, Debug, PartialEq, Eq, IntoStaticStr)]
#[cfg_attr(test, derive(strum::VariantNames))]
#[strum(serialize_all = "kebab-case")]
pub(crate) enum ForwardingFinding {
    /// All required sysctls are set.
    Enabled,
    /// A sysctl that open networks need.
    Differs {
        key: String,
        value: String,
        wanted: String,
    },
    /// The uplink does not forward, so replies do not reach guests. libvirt enables forwarding
    /// when a network starts, and never again (src/network/bridge_driver.c,
    /// `networkEnableIPForwarding`).
    NoReplies {
        networks: Vec<String>,
        uplink: String,
        is_ipv4: bool,
        /// The keys to set, each with its value.
        sysctls: Vec<(String, u8)>,
    },
}

impl Diagnosis for ForwardingFinding {
    fn subject(&self) -> Subject {
        Subject::Forwarding
    }

    fn kind(&self) -> &'static str {
        self.into()
    }

    fn severity(&self) -> Severity {
        match self {
            Self::Enabled => Severity::Ok,
            Self::Differs { .. } | Self::NoReplies { .. } => Severity::Error,
        }
    }

    fn fix(&self) -> Vec<Fix> {
        match self {
            Self::Enabled => Vec::new(),
            Self::Differs { .. } => vec![Fix::apply()],
            Self::NoReplies { sysctls, .. } => {
                let command =
                    |(key, value): &(String, u8)| format!("sysctl {}={value}", argument(key));
                sysctls.iter().map(command).map(Fix::command).collect()
            }
        }
    }
}

impl Display for ForwardingFinding {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Enabled => f.write_str("all required forwarding sysctls are enabled"),
            Self::Differs { key, value, wanted } => write!(f, "{key} is {value}, not {wanted}"),
            Self::NoReplies {
                networks,
                uplink,
                is_ipv4,
                ..
            } => {
                let networks: Vec<_> = networks.iter().map(|name| escape(name)).collect();
                let family = if *is_ipv4 { "IPv4" } else { "IPv6" };
                write!(
                    f,
                    "replies from outside do not reach {}: {family} forwarding is disabled on {uplink}",
                    networks.join(", ")
                )
            }
        }
    }
}

/// Whether anything is disabled that has to be enabled.
pub(crate) fn check(context: &Context, sysctls: &ForwardingSysctls) -> Vec<ForwardingFinding> {
    // The uplink first: virt-forward enables nothing where the host forwards as a whole.
    let mut findings: Vec<_> = [true, false]
        .into_iter()
        .filter_map(|is_ipv4| check_uplink(context, sysctls, is_ipv4))
        .collect();
    if context.is_config_valid {
        findings.extend(differing(context));
    }
    passed_unless_error(findings, ForwardingFinding::Enabled)
}

fn differing(context: &Context) -> Vec<ForwardingFinding> {
    let mut findings = Vec::new();
    for setting in &context.inspection.wanted.settings {
        // The check of the networks reports a bridge that is missing.
        if let Some(value) = &setting.value
            && !setting.is_right()
        {
            findings.push(ForwardingFinding::Differs {
                key: setting.wanted.key.name(),
                value: value.clone(),
                wanted: setting.wanted.value.clone(),
            });
        }
    }
    findings
}

fn check_uplink(
    context: &Context,
    sysctls: &ForwardingSysctls,
    is_ipv4: bool,
) -> Option<ForwardingFinding> {
    let any: IpAddr = if is_ipv4 {
        Ipv4Addr::UNSPECIFIED.into()
    } else {
        Ipv6Addr::UNSPECIFIED.into()
    };
    let uplink = &context.host.route_to(any)?.interface;
    let networks: Vec<_> = context
        .routed()
        .filter(|(network, _)| is_outward(network, is_ipv4))
        .map(|(network, _)| network.name.clone())
        .collect();
    if networks.is_empty() || context.sysctls.forwards(uplink, is_ipv4) {
        return None;
    }
    Some(ForwardingFinding::NoReplies {
        networks,
        uplink: uplink.clone(),
        is_ipv4,
        sysctls: if is_ipv4 {
            enable_ipv4(sysctls, uplink)
        } else {
            enable_ipv6(sysctls)
        },
    })
}

/// Whether guests of the network reach the outside.
fn is_outward(network: &Network, is_ipv4: bool) -> bool {
    let has_subnet = if is_ipv4 {
        !network.subnets4().is_empty()
    } else {
        !network.subnets6().is_empty()
    };
    has_subnet && matches!(network.mode, Mode::Nat | Mode::Route | Mode::Open)
}

/// A write to ip_forward sets the interfaces only if it changes the value.
fn enable_ipv4(sysctls: &ForwardingSysctls, uplink: &str) -> Vec<(String, u8)> {
    let key = if sysctls.is_ipv4_forwarding {
        format!("net.ipv4.conf.{}.forwarding", key_part(uplink))
    } else {
        "net.ipv4.ip_forward".to_owned()
    };
    vec![(key, 1)]
}

/// Interfaces with routes from router advertisements would lose them unless accept_ra is 2.
fn enable_ipv6(sysctls: &ForwardingSysctls) -> Vec<(String, u8)> {
    let at_risk = sysctls
        .ipv6
        .iter()
        .filter(|interface| sysctls.is_autoconfigured(interface) && interface.accept_ra == Some(1));
    let accept_ra = at_risk.map(|interface| (accept_ra_key(&interface.name), 2));
    let all = ("net.ipv6.conf.all.forwarding".to_owned(), 1);
    accept_ra.chain([all]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::fixtures::TestHost;
    use virt_forward_reconcile::SettingSeen;
    use virt_forward_ruleset::sysctls::{Key, Setting};

    #[test]
    fn an_uplink_that_does_not_forward_is_an_error() {
        let mut host = TestHost::new();
        let mut sysctls = ForwardingSysctls::default();
        assert_eq!(
            check(&host.context(), &sysctls),
            [ForwardingFinding::Enabled]
        );
        host.sysctls.stop_forwarding("eth0");
        let fix = |sysctls: &ForwardingSysctls| check(&host.context(), sysctls)[0].fix();
        assert_eq!(
            fix(&sysctls),
            [Fix::command("sysctl net.ipv4.ip_forward=1")]
        );
        sysctls.is_ipv4_forwarding = true;
        assert_eq!(
            fix(&sysctls),
            [Fix::command("sysctl net.ipv4.conf.eth0.forwarding=1")]
        );
    }

    #[test]
    fn a_sysctl_that_open_networks_need_is_compared() {
        let mut host = TestHost::new();
        let path = ["net", "ipv4", "conf", "br2", "forwarding"];
        let key = Key::try_from(path.map(str::to_owned).to_vec()).unwrap();
        let setting = |value: Option<&str>| SettingSeen {
            wanted: Setting {
                key: key.clone(),
                value: "1".to_owned(),
            },
            value: value.map(str::to_owned),
        };
        // A bridge that is missing has no value.
        let settings = [Some("0"), Some("1"), None].map(setting);
        host.inspection.wanted.settings = settings.to_vec();
        let differs = ForwardingFinding::Differs {
            key: "net.ipv4.conf.br2.forwarding".to_owned(),
            value: "0".to_owned(),
            wanted: "1".to_owned(),
        };
        let sysctls = ForwardingSysctls::default();
        assert_eq!(check(&host.context(), &sysctls), [differs]);
        let mut context = host.context();
        context.is_config_valid = false;
        assert_eq!(check(&context, &sysctls), [ForwardingFinding::Enabled]);
    }
}
