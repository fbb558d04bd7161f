//! Our table, and every chain of others' that a packet comes by.

use virt_forward_policy::{self as policy, Decision, netfilter::Family};
use virt_forward_ruleset::gates::{Owner, Remedy, Site, State, direct};

use super::{
    routing::Way,
    walk::{Case, Walk, apply},
};

impl Case<'_> {
    /// Whether the packet comes by chains of that family.
    fn sees(&self, family: Family) -> bool {
        match family {
            Family::Inet => true,
            Family::Ip => self.to.address.is_ipv4(),
            Family::Ip6 => self.to.address.is_ipv6(),
        }
    }

    /// The firewalls that it comes by.
    fn sites(&self) -> impl Iterator<Item = &Site> {
        let sites = self.inspection.wanted.survey.sites.iter();
        sites.filter(|site| self.sees(site.base.family))
    }
}

/// What lets an interface reach the containers of a network of Docker's.
fn trusting(interface: &str) -> String {
    format!(
        "docker network create -o com.docker.network.bridge.trusted_host_interfaces={interface} …"
    )
}

impl Walk<'_> {
    /// What lets it pass, or does not.
    pub(super) fn firewalls(&mut self, decision: &Decision) {
        match decision {
            Decision::AllowedByPolicy { .. } => self.gates(),
            Decision::AllowedByLibvirt(_) => self.refusing(),
            Decision::Denied(_) => {}
        }
        self.obstacles();
        if self.is_libvirt_flushed() {
            let what = "libvirt's own rules are gone: somebody flushed them".to_owned();
            let remedy = "systemctl restart libvirtd   # or virtnetworkd".to_owned();
            self.unclear("libvirt", what, &[remedy]);
        }
        if self.case.inspection.wanted.is_firewalld_closed && self.case.from.network.is_none() {
            let what = "firewalld has not been told of who may come in".to_owned();
            self.blocked("firewalld", what, &apply());
        }
        self.outsiders();
    }

    /// Whether libvirt would let it pass without us: it routes to it, or its rules are gone.
    fn passes_libvirt(&self) -> bool {
        let (from, to) = (self.endpoint(&self.case.from), self.endpoint(&self.case.to));
        self.is_libvirt_flushed() || policy::libvirt_allows(&from, &to)
    }

    /// Whether anybody needs the mark.
    fn is_mark_needed(&self) -> bool {
        self.case.sites().any(|site| match site.owner {
            Owner::Libvirt => !self.passes_libvirt(),
            _ => site.state != State::Unneeded,
        })
    }

    /// Says what is wrong, where that keeps the packet out.
    fn fault(&mut self, step: &'static str, what: String, keeps_out: bool) {
        match keeps_out {
            true => self.blocked(step, what, &apply()),
            false => self.unclear(step, format!("{what}; it passes without"), &apply()),
        }
    }

    fn table(&mut self) {
        let inspection = self.case.inspection;
        let fault = match (inspection.is_table_right(), &inspection.table) {
            (true, _) => return self.ok("our table", "inet virt_forward marks it".to_owned()),
            (false, None) => "the table inet virt_forward is not there",
            (false, Some(_)) => {
                "the table inet virt_forward is not as it should be: somebody changed it"
            }
        };
        self.fault("our table", fault.to_owned(), self.is_mark_needed());
    }

    fn gates(&mut self) {
        self.table();
        for site in self.case.sites() {
            self.gate(site);
        }
    }

    fn gate(&mut self, site: &Site) {
        let (chain, owner) = (site.chain(), site.owner);
        let keeps_out = owner != Owner::Libvirt || !self.passes_libvirt();
        match site.state {
            State::Standing => self.ok(
                "gate",
                format!("{chain} ({owner}) lets marked packets pass"),
            ),
            State::Unneeded => {
                self.ok("gate", format!("{chain} ({owner}) refuses nothing of ours"))
            }
            State::High => {
                let what = format!(
                    "the gate in {chain} ({owner}) stands above rules that refuse some packets, \
                     which a marked one then skips"
                );
                self.unclear("gate", what, &apply());
            }
            State::Missing => {
                let what = format!("there is no gate in {chain} ({owner}), which refuses it");
                self.fault("gate", what, keeps_out);
            }
            State::Sunk => {
                let what = format!("other rules stand before the gate in {chain} ({owner})");
                self.fault("gate", what, keeps_out);
            }
        }
    }

    /// Chains whose gate lets nothing pass that we do not mark: only their own rules can. In a
    /// chain of libvirt's, those are libvirt's.
    fn refusing(&mut self) {
        let refusing = |site: &&Site| site.refuses && site.owner != Owner::Libvirt;
        for site in self.case.sites().filter(refusing) {
            let (chain, owner) = (&site.base, site.owner);
            let what = format!(
                "{chain} ({owner}) refuses it, unless a rule of its own accepts it: virt-forward opens what the config names, and not this"
            );
            self.unclear("chain", what, &["virt-forward doctor".to_owned()]);
        }
    }

    /// Chains without a gate, which we may not or cannot open.
    fn obstacles(&mut self) {
        let case = self.case;
        let mark = case.config.mark;
        let obstacles = case.inspection.wanted.survey.obstacles.iter();
        for obstacle in obstacles.filter(|one| case.sees(one.chain.family)) {
            let chain = &obstacle.chain;
            if !obstacle.is_certain {
                let what = format!("{chain} has rules that refuse, and no gate");
                self.unclear("chain", what, &[]);
                continue;
            }
            let Remedy { what, lines } = obstacle.remedy(mark, &[]);
            let remedy: Vec<_> = [what].into_iter().chain(lines).collect();
            let what = format!("{chain} refuses what none of its rules accepts");
            self.blocked("chain", what, &remedy);
        }
    }

    /// What Docker lets come to a container's own address.
    pub(super) fn docker(&mut self, way: &Way) {
        let to = self.case.to.address;
        let rules = &self.case.inspection.wanted.direct_access;
        if direct::drops(rules, to, &way.enters) {
            let what = format!(
                "Docker drops what comes to the container's own address {to} in by {}",
                way.enters
            );
            self.blocked("docker", what, &[trusting(&way.enters)]);
        }
    }

    /// Bridges that firewalld has in no zone of libvirt's.
    fn outsiders(&mut self) {
        let ends = [&self.case.from, &self.case.to];
        let bridges = ends.iter().filter_map(|end| end.network?.routed_bridge());
        let bridges: Vec<_> = bridges.collect();
        let outsiders = self.case.inspection.wanted.outsiders.iter();
        for outsider in outsiders.filter(|one| bridges.contains(&&one.bridge)) {
            let bridge = &outsider.bridge;
            let remedy = [outsider.remedy()];
            match &outsider.zone {
                None => {
                    let what = format!("{bridge} is in firewalld's default zone, which refuses it");
                    self.blocked("firewalld", what, &remedy);
                }
                Some(zone) => {
                    let what = format!("{bridge} is in firewalld's zone {zone}");
                    self.unclear("firewalld", what, &remedy);
                }
            }
        }
    }
}
