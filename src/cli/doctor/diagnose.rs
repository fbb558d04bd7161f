//! The order of the checks, and what each of them is given.

use virt_forward_policy::config::Config;
use virt_forward_reconcile::{ConfigConflict, Inspection};
use virt_forward_ruleset::gates::{Site, chain_model::Chains};

use super::{
    HostSnapshot, config,
    context::Context,
    finding::Finding,
    firewalls,
    forwarding::{check_accept_ra, check_forwarding},
    fwmark, libvirt,
    libvirt::LibvirtFinding,
    networks, routes,
    rules::RulesFinding,
    subnets, table, watch,
};

/// Derives all findings from `snapshot`, without touching the system.
pub(crate) fn diagnose(snapshot: &HostSnapshot) -> Vec<Finding> {
    let closed = Config::closed();
    let config = snapshot.config.as_ref().unwrap_or(&closed);
    let inspection = snapshot.rules.inspection.as_ref();
    let mut findings = check_config(snapshot, inspection.ok());
    findings.extend(check_programs(snapshot, inspection.ok()));
    match (inspection, &snapshot.rules.chains) {
        (Ok(inspection), Ok(chains)) => {
            let context = context(snapshot, config, inspection, chains);
            findings.extend(check_rules(snapshot, &context));
        }
        (Err(error), _) | (_, Err(error)) => findings.push(RulesFinding::from(error).into()),
    }
    extend(&mut findings, snapshot.state.check());
    let fwmark = match &snapshot.fwmark_users {
        Ok(users) => fwmark::check(snapshot.mark, users),
        Err(cause) => vec![fwmark::unreadable(cause)],
    };
    extend(&mut findings, fwmark);
    findings
}

fn extend<F: Into<Finding>>(findings: &mut Vec<Finding>, more: impl IntoIterator<Item = F>) {
    findings.extend(more.into_iter().map(Into::into));
}

fn context<'a>(
    snapshot: &'a HostSnapshot,
    config: &'a Config,
    inspection: &'a Inspection,
    chains: &'a Chains,
) -> Context<'a> {
    Context {
        config,
        is_config_valid: snapshot.config.is_ok(),
        inspection,
        chains,
        networks: &snapshot.networks,
        host: &snapshot.host,
        sysctls: &snapshot.sysctls,
    }
}

fn check_config(snapshot: &HostSnapshot, inspection: Option<&Inspection>) -> Vec<Finding> {
    let conflicts: &[ConfigConflict] =
        inspection.map_or(&[], |inspection| &inspection.wanted.misfits);
    let mut findings = Vec::new();
    let checked = config::check(
        &snapshot.config_file,
        &snapshot.config,
        conflicts,
        &snapshot.networks,
    );
    extend(&mut findings, checked);
    findings
}

/// libvirt, its daemon, the hook, mandatory access control and `virt-forward watch`.
fn check_programs(snapshot: &HostSnapshot, inspection: Option<&Inspection>) -> Vec<Finding> {
    let daemon = &snapshot.daemon;
    let sites: &[Site] = inspection.map_or(&[], |inspection| &inspection.wanted.survey.sites);
    let libvirt = libvirt::check(&snapshot.libvirt, sites, daemon.restore_service());
    let mut findings = vec![libvirt.into()];
    if inspection.is_some_and(|inspection| inspection.wanted.is_libvirt_flushed) {
        let recovery = daemon.rewrite_rules();
        findings.push(LibvirtFinding::RulesFlushed { recovery }.into());
    }
    findings.push(daemon.check().into());
    let version = snapshot.libvirt.as_ref().ok().copied();
    extend(&mut findings, snapshot.hooks.check(version, daemon.name()));
    findings.extend(snapshot.mac.check(&snapshot.hooks.installed));
    findings.push(watch::check(&snapshot.watch).into());
    findings
}

fn check_rules(snapshot: &HostSnapshot, context: &Context) -> Vec<Finding> {
    let mut findings = Vec::new();
    extend(&mut findings, networks::check(context));
    extend(&mut findings, subnets::check(context));
    extend(&mut findings, routes::check(context));
    extend(
        &mut findings,
        check_forwarding(context, &snapshot.forwarding),
    );
    extend(
        &mut findings,
        check_accept_ra(context, &snapshot.forwarding),
    );
    findings.push(table::check(context).into());
    findings.extend(check_firewalls(context));
    match &snapshot.rules.iptables {
        Ok(iptables) => extend(&mut findings, iptables.check()),
        Err(error) => findings.push(RulesFinding::from(error).into()),
    }
    extend(&mut findings, snapshot.bridge_filter.check(context));
    findings
}

fn check_firewalls(context: &Context) -> Vec<Finding> {
    let mut findings = Vec::new();
    extend(&mut findings, firewalls::check_without_table(context));
    extend(&mut findings, firewalls::check_gates(context));
    extend(&mut findings, firewalls::check_blocking_chains(context));
    extend(&mut findings, firewalls::check_owners(context));
    extend(&mut findings, firewalls::check_docker(context));
    extend(&mut findings, firewalls::check_egress(context));
    extend(&mut findings, firewalls::check_firewalld(context));
    extend(&mut findings, firewalls::uninspected(context));
    findings
}

#[cfg(test)]
mod tests {
    use virt_forward_reconcile::Error;

    use super::*;
    use crate::doctor::{
        diagnosis::{Severity, Subject},
        fixtures::TestHost,
    };

    fn errors(snapshot: &HostSnapshot) -> Vec<&'static str> {
        let findings = diagnose(snapshot);
        let diagnoses = findings.iter().map(Finding::diagnosis);
        let errors = diagnoses.filter(|finding| finding.severity() == Severity::Error);
        errors.map(|error| error.subject().name()).collect()
    }

    fn has(snapshot: &HostSnapshot, subject: Subject, kind: &str) -> bool {
        let findings = diagnose(snapshot);
        let mut diagnoses = findings.iter().map(Finding::diagnosis);
        diagnoses.any(|finding| finding.subject() == subject && finding.kind() == kind)
    }

    #[test]
    fn a_healthy_host_has_no_error() {
        assert_eq!(errors(&TestHost::new().snapshot()), [""; 0]);
    }

    #[test]
    fn an_invalid_config_leaves_the_other_checks() {
        let mut snapshot = TestHost::new().snapshot();
        let invalid = Config::read("groups = 1", "config.toml".to_owned());
        snapshot.config = invalid.map_err(Error::from);
        assert_eq!(errors(&snapshot), ["config"]);
        assert!(has(&snapshot, Subject::Table, "skipped"));
        assert!(has(&snapshot, Subject::Gates, "skipped"));
        assert!(has(&snapshot, Subject::Hook, "installed"));
        assert!(has(&snapshot, Subject::Routes, "to-bridges"));
    }

    #[test]
    fn rules_that_cannot_be_read_are_one_error() {
        let mut snapshot = TestHost::new().snapshot();
        let missing = || {
            Error::System(virt_forward_system::Error::ProgramNotFound {
                program: "nft",
                package: "nftables",
            })
        };
        snapshot.rules.inspection = Err(missing());
        snapshot.rules.chains = Err(missing());
        assert_eq!(errors(&snapshot), ["rules"]);
        assert!(has(&snapshot, Subject::Hook, "installed"));
        assert!(has(&snapshot, Subject::Mark, "exclusive"));
    }

    #[test]
    fn flushed_rules_of_libvirt_are_an_error_beside_its_answer() {
        let mut host = TestHost::new();
        host.inspection.wanted.is_libvirt_flushed = true;
        let snapshot = host.snapshot();
        assert_eq!(errors(&snapshot), ["libvirt"]);
        assert!(has(&snapshot, Subject::Libvirt, "answers"));
    }

    #[test]
    fn users_of_the_fwmark_that_cannot_be_read_are_noted() {
        let mut snapshot = TestHost::new().snapshot();
        snapshot.fwmark_users = Err("cannot run nft".to_owned());
        assert_eq!(errors(&snapshot), [""; 0]);
        assert!(has(&snapshot, Subject::Mark, "unreadable"));
    }
}
