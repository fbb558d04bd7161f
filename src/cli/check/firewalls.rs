//! The table `inet virt_forward`, and the foreign chains that see the packet.

use virt_forward_policy::{self as policy, Decision};
use virt_forward_ruleset::gates::{GateState, Owner, Site, direct};

use super::{
    finding::{Finding, TableFault},
    path::{PathEvaluation, PathRoute},
};

impl PathEvaluation<'_> {
    /// Evaluates everything that filters the packet.
    pub(super) fn firewalls(&mut self, decision: &Decision) {
        match decision {
            Decision::AllowedByPolicy { .. } => self.marked(),
            Decision::AllowedByLibvirt(_) => self.unmarked(),
            Decision::Denied(_) => {}
        }
        self.blocking_chains();
        let context = self.context;
        if context.is_libvirt_flushed() {
            self.found(Finding::LibvirtRulesFlushed);
        }
        if context.inspection.wanted.is_firewalld_closed && context.from.network.is_none() {
            self.found(Finding::FirewalldPeersMissing);
        }
        self.firewalld_zones();
    }

    /// Whether libvirt's rules let the packet pass without a mark, or are missing.
    fn passes_libvirt(&self) -> bool {
        let context = self.context;
        let from = context.policy_endpoint(&context.from);
        let to = context.policy_endpoint(&context.to);
        context.is_libvirt_flushed() || policy::libvirt_allows(&from, &to)
    }

    /// The table marks the packet, and gates accept the mark.
    fn marked(&mut self) {
        self.table();
        let context = self.context;
        for site in context.sites() {
            self.found(Finding::Gate {
                chain: site.chain().clone(),
                owner: site.owner,
                state: site.state,
                is_needed: site.owner != Owner::Libvirt || !self.passes_libvirt(),
            });
        }
    }

    fn table(&mut self) {
        let inspection = self.context.inspection;
        if inspection.is_table_right() {
            self.found(Finding::TableInSync);
            return;
        }
        let fault = match inspection.table {
            None => TableFault::Missing,
            Some(_) => TableFault::OutOfSync,
        };
        let is_needed = self.is_mark_needed();
        self.found(Finding::TableFaulty { fault, is_needed });
    }

    /// Whether a firewall drops the packet without the mark.
    fn is_mark_needed(&self) -> bool {
        self.context.sites().any(|site| match site.owner {
            Owner::Libvirt => !self.passes_libvirt(),
            _ => site.state != GateState::NotNeeded,
        })
    }

    /// The packet has no mark, so gates do not accept it; only the chains' own rules can. In a
    /// chain of libvirt, those are the rules that policy has judged.
    fn unmarked(&mut self) {
        let context = self.context;
        let is_dropping = |site: &&Site| site.refuses && site.owner != Owner::Libvirt;
        for site in context.sites().filter(is_dropping) {
            self.found(Finding::DropsUnmarked {
                chain: site.base.clone(),
                owner: site.owner,
            });
        }
    }

    /// Chains without a gate, which virt-forward must not or cannot edit.
    fn blocking_chains(&mut self) {
        let context = self.context;
        let mark = context.config.mark;
        for obstacle in &context.inspection.wanted.survey.obstacles {
            if !context.is_seen_by(obstacle.chain.family) {
                continue;
            }
            let chain = obstacle.chain.clone();
            self.found(if obstacle.is_certain {
                let remedy = obstacle.remedy(mark, &[]);
                Finding::BlockingChain { chain, remedy }
            } else {
                Finding::MayBlock { chain }
            });
        }
    }

    /// Docker's rules for packets to containers' own addresses.
    pub(super) fn docker(&mut self, route: &PathRoute) {
        let destination = self.context.to.address;
        let rules = &self.context.inspection.wanted.direct_access;
        if direct::drops(rules, destination, &route.iif) {
            let iif = route.iif.clone();
            self.found(Finding::DockerDrops { destination, iif });
        }
    }

    /// Bridges of the endpoints that are in none of the zones that libvirt uses.
    fn firewalld_zones(&mut self) {
        let context = self.context;
        let endpoints = [&context.from, &context.to];
        let bridges = endpoints.map(|endpoint| endpoint.network?.routed_bridge());
        for outsider in &context.inspection.wanted.outsiders {
            if bridges.contains(&Some(&outsider.bridge)) {
                self.found(Finding::FirewalldZone(outsider.clone()));
            }
        }
    }
}
