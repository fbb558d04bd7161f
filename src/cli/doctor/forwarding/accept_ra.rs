//! A host that forwards IPv6 ignores router advertisements unless accept_ra is 2, and loses the
//! routes that it has from them (net/ipv6/addrconf.c, `addrconf_fixup_forwarding`).

use std::fmt::{self, Display, Formatter};

use strum::IntoStaticStr;
use virt_forward_policy::sanitize::{argument, escape};

use super::observed::{ForwardingSysctls, Ipv6Interface, accept_ra_key};
use crate::doctor::{
    context::Context,
    diagnosis::{Diagnosis, Fix, Severity, Subject},
};

#[derive(Clone, Debug, PartialEq, Eq, IntoStaticStr)]
#[cfg_attr(test, derive(strum::VariantNames))]
#[strum(serialize_all = "kebab-case")]
pub(crate) enum AcceptRaFinding {
    /// The interface has routes from router advertisements and will lose them.
    RoutesAtRisk { interface: String },
    /// The interfaces have no such routes and would accept none: intentionally, or because the
    /// first advertisement is still to come.
    Ignored { interfaces: Vec<String> },
}

impl Diagnosis for AcceptRaFinding {
    fn subject(&self) -> Subject {
        Subject::AcceptRa
    }

    fn kind(&self) -> &'static str {
        self.into()
    }

    fn severity(&self) -> Severity {
        match self {
            Self::RoutesAtRisk { .. } => Severity::Error,
            Self::Ignored { .. } => Severity::Note,
        }
    }

    fn fix(&self) -> Vec<Fix> {
        let interfaces = match self {
            Self::RoutesAtRisk { interface } => std::slice::from_ref(interface),
            Self::Ignored { interfaces } => interfaces,
        };
        let command = |name: &String| format!("sysctl {}=2", argument(&accept_ra_key(name)));
        interfaces.iter().map(command).map(Fix::command).collect()
    }
}

impl Display for AcceptRaFinding {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::RoutesAtRisk { interface } => write!(
                f,
                "{} has IPv6 routes from router advertisements and will lose them: this host \
                 forwards IPv6 and {} is 1",
                escape(interface),
                accept_ra_key(interface)
            ),
            Self::Ignored { interfaces } => {
                let interfaces: Vec<_> = interfaces.iter().map(|name| escape(name)).collect();
                write!(
                    f,
                    "router advertisements are ignored on {}: this host forwards IPv6 and \
                     accept_ra is 1. An interface that takes its address or default route from \
                     them needs 2",
                    interfaces.join(", ")
                )
            }
        }
    }
}

pub(crate) fn check(context: &Context, sysctls: &ForwardingSysctls) -> Vec<AcceptRaFinding> {
    let at_risk = sysctls.ipv6.iter().filter(|interface| {
        sysctls.is_autoconfigured(interface) && interface.ignores_advertisements()
    });
    let mut findings: Vec<_> = at_risk
        .map(|interface| AcceptRaFinding::RoutesAtRisk {
            interface: interface.name.clone(),
        })
        .collect();
    let ignoring = sysctls.ipv6.iter().filter(|interface| {
        interface.ignores_advertisements()
            && !sysctls.is_autoconfigured(interface)
            && is_routed(interface)
            && !is_managed(context, interface)
    });
    let interfaces: Vec<_> = ignoring.map(|interface| interface.name.clone()).collect();
    if !interfaces.is_empty() {
        findings.push(AcceptRaFinding::Ignored { interfaces });
    }
    findings
}

/// Whether the entry is an interface that can have routes.
fn is_routed(interface: &Ipv6Interface) -> bool {
    !["all", "default", "lo"].contains(&interface.name.as_str()) && !interface.is_bridge_port
}

/// Whether virt-forward itself sets accept_ra there; then the forwarding check reports it.
fn is_managed(context: &Context, interface: &Ipv6Interface) -> bool {
    let key = accept_ra_key(&interface.name);
    let settings = &context.inspection.wanted.settings;
    settings
        .iter()
        .any(|setting| setting.wanted.key.name() == key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::fixtures::TestHost;

    fn interface(name: &str, accept_ra: i64, is_forwarding: bool) -> Ipv6Interface {
        Ipv6Interface {
            name: name.to_owned(),
            is_forwarding,
            accept_ra: Some(accept_ra),
            is_bridge_port: false,
        }
    }

    fn found(interface: Ipv6Interface, is_autoconfigured: bool) -> Vec<AcceptRaFinding> {
        let host = TestHost::new();
        let autoconfigured = is_autoconfigured.then(|| interface.name.clone());
        let sysctls = ForwardingSysctls {
            autoconfigured: autoconfigured.into_iter().collect(),
            ipv6: vec![interface],
            ..ForwardingSysctls::default()
        };
        check(&host.context(), &sysctls)
    }

    #[test]
    fn only_a_host_that_forwards_loses_advertised_routes() {
        assert_eq!(found(interface("eth0.5", 1, false), true), []);
        assert_eq!(found(interface("eth0.5", 2, true), true), []);
        // systemd-networkd and NetworkManager set 0 and handle the routes themselves.
        assert_eq!(found(interface("eth0.5", 0, true), true), []);
        let at_risk = found(interface("eth0.5", 1, true), true);
        let interface = "eth0.5".to_owned();
        assert_eq!(at_risk, [AcceptRaFinding::RoutesAtRisk { interface }]);
        assert_eq!(
            at_risk[0].fix(),
            [Fix::command("sysctl net.ipv6.conf.eth0/5.accept_ra=2")]
        );
    }

    #[test]
    fn an_interface_that_waits_for_its_first_advertisement_is_noted() {
        for name in ["all", "default", "lo"] {
            assert_eq!(found(interface(name, 1, true), false), []);
        }
        assert_eq!(found(interface("eth0", 1, false), false), []);
        assert_eq!(found(interface("eth0", 2, true), false), []);
        let port = Ipv6Interface {
            is_bridge_port: true,
            ..interface("tap0", 1, true)
        };
        assert_eq!(found(port, false), []);
        let ignoring = found(interface("eth0", 1, true), false);
        let interfaces = vec!["eth0".to_owned()];
        assert_eq!(ignoring, [AcceptRaFinding::Ignored { interfaces }]);
    }
}
