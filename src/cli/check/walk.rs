//! The way of a packet through this host, step by step.

use std::net::IpAddr;

use virt_forward_policy::{
    Judgement, Packet, Party,
    config::Config,
    judge,
    network::{Mode, Network},
    sanitize::{argument, arguments, shown},
};
use virt_forward_reconcile::Inspection;
use virt_forward_system::state::Record;

use super::{Mark, Place, Report, Step, routing::Way};
use crate::{
    host::{Forwarded, Host, Incoming},
    settings::Settings,
};

/// What the kernel is asked on the way.
pub(crate) trait Kernel {
    /// What becomes of a packet, as its routing has it.
    fn forwards(&self, packet: &Incoming) -> anyhow::Result<Forwarded>;
    /// Whether somebody answers for an address on a link; nothing where nobody has asked yet.
    fn knows(&self, address: IpAddr, interface: &str) -> anyhow::Result<Option<bool>>;
}

/// Everything that is looked at.
pub(crate) struct Case<'a> {
    pub(crate) config: &'a Config,
    pub(crate) inspection: &'a Inspection,
    pub(crate) host: &'a Host,
    pub(crate) settings: &'a dyn Settings,
    pub(crate) kernel: &'a dyn Kernel,
    pub(crate) from: Place<'a>,
    pub(crate) to: Place<'a>,
    pub(crate) packet: Packet,
}

/// Goes the whole way, also beyond what blocks it: there may be more than one thing to do.
pub(crate) fn walk(case: &Case) -> anyhow::Result<Report> {
    let mut walk = Walk {
        case,
        steps: Vec::new(),
    };
    let source = walk.go()?;
    let blocked = walk.steps.iter().find(|step| step.state == Mark::Blocked);
    let (verdict, why) = match blocked {
        Some(step) => ("blocked", format!("Blocked: {}.", step.what)),
        None => ("open", walk.sentence(source)),
    };
    Ok(Report {
        from: case.from.to_string(),
        to: case.to.to_string(),
        packet: case.packet.to_string(),
        verdict,
        source: source
            .filter(|_| verdict == "open")
            .map(|one| one.to_string()),
        why,
        steps: walk.steps,
        probe: None,
    })
}

pub(super) struct Walk<'a> {
    pub(super) case: &'a Case<'a>,
    steps: Vec<Step>,
}

impl Walk<'_> {
    /// The source that the other end sees.
    fn go(&mut self) -> anyhow::Result<Option<IpAddr>> {
        let case = self.case;
        for place in [&case.from, &case.to] {
            self.network(place)?;
        }
        if let (Some(one), Some(other)) = (case.from.network, case.to.network)
            && one.name == other.name
        {
            let name = shown(&one.name);
            self.ok("policy", format!("both are in {name}: its bridge passes it on, no firewall of this host's sees it"));
            return Ok(Some(case.from.address));
        }
        if case.from.network.is_none() && case.to.network.is_none() {
            self.blocked(
                "policy",
                "neither end is in a network of libvirt's".to_owned(),
                &[],
            );
            return Ok(None);
        }
        let Some(way) = self.ways()? else {
            return Ok(None);
        };
        let judgement = self.policy();
        self.firewalls(&judgement);
        self.docker(&way);
        Ok(self.source(&judgement, &way))
    }

    fn step(&mut self, step: &'static str, state: Mark, what: String, remedy: &[String]) {
        self.steps.push(Step {
            step,
            state,
            what,
            remedy: remedy.to_vec(),
        });
    }

    pub(super) fn ok(&mut self, step: &'static str, what: String) {
        self.step(step, Mark::Ok, what, &[]);
    }

    pub(super) fn blocked(&mut self, step: &'static str, what: String, remedy: &[String]) {
        self.step(step, Mark::Blocked, what, remedy);
    }

    pub(super) fn unclear(&mut self, step: &'static str, what: String, remedy: &[String]) {
        self.step(step, Mark::Unclear, what, remedy);
    }

    /// The bridge, and who is behind it.
    fn network(&mut self, place: &Place) -> anyhow::Result<()> {
        let Some(network) = place.network else {
            return Ok(());
        };
        let name = shown(&network.name);
        let Some(bridge) = network.routed_bridge() else {
            let what = format!(
                "{name} is {}: this host does not route it",
                network.mode.word()
            );
            self.blocked("network", what, &[]);
            return Ok(());
        };
        match self.case.host.interface(bridge.as_str()) {
            None => {
                let what = format!(
                    "the bridge {bridge} of {name} is gone, though libvirt takes it for active"
                );
                let name = argument(&network.name);
                self.blocked(
                    "network",
                    what,
                    &[format!("virsh net-destroy {name}; virsh net-start {name}")],
                );
            }
            Some(one) if !one.is_up => {
                let what = format!("the bridge {bridge} of {name} is not up");
                self.blocked("network", what, &[format!("ip link set {bridge} up")]);
            }
            Some(_) => self.ok(
                "network",
                format!("{name} is active, its bridge {bridge} is up"),
            ),
        }
        self.guest(place, bridge.as_str())?;
        if network.mode == Mode::Isolated {
            self.isolated(network, place);
        }
        Ok(())
    }

    fn guest(&mut self, place: &Place, bridge: &str) -> anyhow::Result<()> {
        let address = place.address;
        if place.is_asked_about() && self.case.kernel.knows(address, bridge)? == Some(false) {
            let what = format!("nobody on {bridge} answers for {address}: is the guest up?");
            self.unclear("guest", what, &[]);
        }
        Ok(())
    }

    /// libvirt's DHCP gives no default route there (src/network/bridge_driver.c,
    /// `networkDnsmasqConfContents`: dhcp-option=3).
    fn isolated(&mut self, network: &Network, place: &Place) {
        let other = match place.address == self.case.from.address {
            true => self.case.to.address,
            false => self.case.from.address,
        };
        let mut own = network.addresses.iter().map(ipnet::IpNet::addr);
        let via = own.find(|one| one.is_ipv4() == other.is_ipv4());
        let route = via.map(|via| format!("ip route add {other} via {via}   # in the guest"));
        let what = format!(
            "guests of {} get no default route from libvirt, as it is isolated: they need one to {other}",
            shown(&network.name)
        );
        self.unclear("guest", what, &route.into_iter().collect::<Vec<_>>());
    }

    fn policy(&mut self) -> Judgement {
        let case = self.case;
        let held = [&case.from, &case.to]
            .into_iter()
            .filter_map(|place| place.network);
        let held: Vec<_> = held.filter(|network| self.is_held(network)).collect();
        let (from, to) = (self.party(&case.from), self.party(&case.to));
        let judgement = judge(&case.inspection.wanted.usable, case.packet, &from, &to);
        match &judgement {
            Judgement::Ours { why, .. } => self.ok("policy", why.clone()),
            Judgement::Libvirts { why } => {
                self.ok(
                    "policy",
                    format!("no group and no rule of the config, but {why}"),
                );
            }
            Judgement::Refused { why, .. } if !held.is_empty() => {
                let names: Vec<_> = held.iter().map(|one| shown(&one.name)).collect();
                let names = names.join(" and ");
                let what = format!("{names} is kept closed until it starts again, and {why}");
                let names = arguments(held.iter().map(|one| one.name.as_str()));
                self.blocked("policy", what, &[format!("virt-forward apply {names}")]);
            }
            Judgement::Refused { why, .. } if self.is_libvirt_flushed() => {
                let what = format!("{why}, but somebody flushed libvirt's rules");
                self.unclear("policy", what, &[]);
            }
            Judgement::Refused { why, remedy } if remedy.is_empty() => {
                self.blocked("policy", why.clone(), &[]);
            }
            Judgement::Refused { why, remedy } => {
                let mut lines = vec!["in the config, for example:".to_owned()];
                lines.extend(remedy.iter().cloned());
                self.blocked("policy", why.clone(), &lines);
            }
        }
        judgement
    }

    pub(super) fn is_libvirt_flushed(&self) -> bool {
        self.case.inspection.wanted.is_libvirt_flushed
    }

    pub(super) fn party(&self, place: &Place) -> Party<'_> {
        let record = place.network.and_then(|network| self.record(network));
        Party {
            address: place.address,
            network: record.map(|record| (&record.network, &record.access)),
        }
    }

    fn is_held(&self, network: &Network) -> bool {
        self.record(network).is_some_and(Record::is_admin_closed)
    }

    fn record(&self, network: &Network) -> Option<&Record> {
        let mut records = self.case.inspection.wanted.records.iter();
        records.find(|record| record.network.name == network.name)
    }

    fn source(&mut self, judgement: &Judgement, way: &Way) -> Option<IpAddr> {
        let case = self.case;
        let address = case.from.address;
        let keeps = match judgement {
            Judgement::Refused { .. } => return None,
            // It is our table that keeps it.
            Judgement::Ours { keeps_source, .. } => {
                *keeps_source && case.inspection.table.is_some()
            }
            Judgement::Libvirts { .. } => false,
        };
        let is_hidden = case
            .from
            .network
            .is_some_and(|one| one.is_masqueraded(address.is_ipv4()));
        let is_dockers = case
            .inspection
            .wanted
            .host
            .masqueraded
            .contains(&way.enters);
        if !is_dockers && (keeps || !is_hidden) {
            self.ok(
                "source",
                format!("it arrives with its own address, {address}"),
            );
            self.way_back_of_others();
            return Some(address);
        }
        let interface = case.host.interface(&way.leaves);
        let mut own = interface.into_iter().flat_map(|one| &one.addresses);
        let own = own.find(|net| net.addr().is_ipv4() == address.is_ipv4());
        let own = own.map(ipnet::IpNet::addr);
        let shown = own.map_or_else(|| "this host's".to_owned(), |own| own.to_string());
        let who = if is_dockers { "Docker" } else { "libvirt" };
        self.ok(
            "source",
            format!("{who} masquerades it: it arrives with the address {shown}"),
        );
        own
    }

    /// Who gets an address of a network has to know the way to it; that is not to be seen here.
    fn way_back_of_others(&mut self) {
        if let (Some(network), None) = (self.case.from.network, self.case.to.network) {
            let what = format!(
                "{} needs a route to {} by way of this host",
                self.case.to.address,
                shown(&network.name)
            );
            self.unclear("way back", what, &["virt-forward routes".to_owned()]);
        }
    }

    fn sentence(&self, source: Option<IpAddr>) -> String {
        let Case {
            from, to, packet, ..
        } = self.case;
        let seen = match source {
            Some(source) if source != from.address => format!(", which sees {source}"),
            _ => String::new(),
        };
        let unclear = self.steps.iter().filter(|step| step.state == Mark::Unclear);
        let unclear: Vec<_> = unclear.map(|step| step.what.as_str()).collect();
        let but = match unclear.is_empty() {
            true => String::new(),
            false => format!(" But: {}.", unclear.join("; ")),
        };
        format!("Open: {packet} from {from} gets to {to}{seen}.{but}")
    }
}

pub(super) fn apply() -> Vec<String> {
    vec!["virt-forward apply".to_owned()]
}
