//! The text of the log.

use virt_forward_policy::{config::Config, network::XmlError};
use virt_forward_reconcile::{Outcome, Report};
use virt_forward_system::syslog;

/// A line for the log, without the network's name.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// The event was handled.
    Info(String),
    /// The event was handled, and the network is not what its owner expects.
    Fault(String),
}

impl Line {
    pub(crate) fn info(text: &str) -> Self {
        Self::Info(text.to_owned())
    }
}

/// Logs a fault of a network, to stderr as well.
pub(crate) fn fault(network: &str, text: &str) {
    syslog::error_to_stderr(&format!(
        "network {network}: {text}; see virt-forward status"
    ));
}

/// The line for an outcome; none where nothing had to be done. libvirt calls the hook for updates of
/// inactive networks, and for the end of networks that never started.
pub(crate) fn outcome(report: &Report<Outcome>, config: &Config) -> Option<Line> {
    let text = match &report.outcome {
        Outcome::Opened(access) => format!("{access}{}", blocked(report)),
        // A configuration that opens no network at all is the more useful reason.
        Outcome::NoMembership => match config.opens_nothing() {
            Some(nothing) => format!("not opened: {nothing}"),
            None => "not opened: not in any group or rule".to_owned(),
        },
        Outcome::NotRouted => "not opened: this host does not route it".to_owned(),
        Outcome::NotABridge => "not opened: its interface is not a bridge".to_owned(),
        Outcome::InvalidDefinition(why) => format!("closed: {why}"),
        Outcome::UnknownBridge(why) => return Some(Line::Fault(unknown_bridge(why))),
        Outcome::Closed => "closed".to_owned(),
        Outcome::NotActive | Outcome::AlreadyClosed => return None,
    };
    Some(Line::Info(text))
}

/// The fault of a network whose bridge is not known.
pub(crate) fn unknown_bridge(why: &XmlError) -> String {
    format!(
        "its bridge is not known: {why}; peers and rules with a subnet have no effect while it is \
         active"
    )
}

fn blocked(report: &Report<Outcome>) -> String {
    let chains: Vec<_> = report
        .blocking_chains
        .iter()
        .map(ToString::to_string)
        .collect();
    if chains.is_empty() {
        return String::new();
    }
    format!(
        "; blocked by {} (see virt-forward status)",
        chains.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use virt_forward_policy::{
        Access,
        netfilter::{ChainName, Family},
    };

    fn report(outcome: Outcome, blocking_chains: Vec<ChainName>) -> Report<Outcome> {
        Report {
            outcome,
            warnings: Vec::new(),
            blocking_chains,
        }
    }

    fn line(outcome: Outcome) -> Option<Line> {
        super::outcome(&report(outcome, Vec::new()), &Config::default())
    }

    #[test]
    fn an_open_network_names_the_chains_that_block_it() {
        let access = Access {
            groups: ["all".to_owned()].into(),
            ..Access::default()
        };
        let chain = ChainName::nft(Family::Inet, "filter", "forward");
        let report = report(Outcome::Opened(access), vec![chain]);
        assert_eq!(
            super::outcome(&report, &Config::default()),
            Some(Line::info(
                "open to group all; blocked by inet filter forward (see virt-forward status)"
            ))
        );
    }

    #[test]
    fn an_event_without_effect_is_not_logged() {
        assert_eq!(line(Outcome::NotActive), None);
        assert_eq!(line(Outcome::AlreadyClosed), None);
    }

    #[test]
    fn a_network_without_a_known_bridge_is_a_fault() {
        let found = line(Outcome::UnknownBridge(XmlError::Truncated));
        assert!(matches!(found, Some(Line::Fault(_))), "{found:?}");
    }

    #[test]
    fn a_config_that_opens_nothing_is_the_reason() {
        let mut config = Config::default();
        let named = super::outcome(&report(Outcome::NoMembership, Vec::new()), &config);
        assert_eq!(
            named,
            Some(Line::info("not opened: not in any group or rule"))
        );
        config.groups.clear();
        let nothing = super::outcome(&report(Outcome::NoMembership, Vec::new()), &config);
        assert_ne!(nothing, named);
    }
}
