//! A look at everything, and what is not as wanted made so: for who keeps watch.
//!
//! What is wanted is what the records say, so what was closed by hand stays closed.

use std::collections::BTreeSet;

use super::{
    Outcome, Run, Settled,
    drift::is_libvirt_flushed,
    gates::{Gates, Reach, Wish},
    host::Surroundings,
    leftovers::leftovers,
    members, outcome, settings,
};
use crate::{Error, Result};
use virt_forward_policy::{self as policy, netfilter::TABLE, network::Network};
use virt_forward_ruleset::{
    gates::Survey,
    sysctls::Setting,
    table::{self, Batch},
};
use virt_forward_system::{
    exec::nft,
    libvirt::status,
    links,
    netlink::{set_elements, table_fingerprint},
    state::{Record, START_GRACE, STARTED_GRACE, Standing},
};

/// What a look found.
#[derive(Debug, Default)]
pub struct Kept {
    /// Networks that were not known, and what was done with them.
    pub started: Vec<(String, Outcome)>,
    /// What was not as wanted, and is now.
    pub mended: Vec<String>,
    /// The firewalls, as they were before.
    pub survey: Survey,
    /// libvirt's own rules are gone, though it has networks that need them.
    pub is_libvirt_flushed: bool,
    /// What cannot be as wanted, while all else is.
    pub troubles: Vec<Error>,
    /// Some network is open.
    pub is_any_open: bool,
    /// A setting that is kept, and that the kernel tells nobody of: it has to be looked at.
    pub untold: Option<Setting>,
    /// All of IPv6 is forwarded because of open networks: interfaces that come may need a setting.
    pub forwards_ipv6: bool,
}

/// Whether the host may need less than the table was built for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Less {
    /// The kernel has deleted the bridge of a network that libvirt is ending, and with it routes and
    /// settings. libvirt calls the `stopped` hook next, and the hook builds the table for what is left.
    IsExpected,
    /// No network is ending.
    IsDrift,
}

impl Less {
    fn fits<T: Ord>(self, built: &BTreeSet<T>, now: &BTreeSet<T>) -> bool {
        match self {
            Self::IsExpected => now.is_subset(built),
            Self::IsDrift => now == built,
        }
    }
}

impl Run<'_> {
    /// Looks, and mends. `started` are networks that have started and may not be known;
    /// `unread` are the names of those whose bridge is not known;
    /// `is_active` tells whether libvirt has a network active, as
    /// far as the caller knows.
    pub fn keep(
        &self,
        started: Vec<Network>,
        unread: &BTreeSet<Vec<u8>>,
        is_active: impl Fn(&Network) -> bool,
    ) -> Result<Kept> {
        let mut kept = Kept::default();
        let was_built = self.store.layout().is_some();
        let mut faults = Vec::new();
        faults.extend(self.settled.take().iter().map(ToString::to_string));
        if self.store.is_pending() && faults.is_empty() {
            faults.push("a run had been cut short".to_owned());
        }
        if !unread.is_empty() && self.lacks_unread(unread)? {
            faults.push(Settled::Unread.to_string());
        }
        for network in started {
            kept.started.extend(self.take_in(network)?);
        }
        let records = self.store.records()?;
        let is_none_known = self.store.layout().is_none() && !self.store.is_any_open()?;
        let left = match is_none_known {
            true => leftovers(self.config(), self.deadline)?,
            false => Vec::new(),
        };
        if !left.is_empty() {
            self.tear_down(&records)?;
        }
        let is_idle = records.is_empty() && self.store.unread()?.is_empty();
        if is_idle && self.store.layout().is_none() && faults.is_empty() {
            kept.mended = left;
            // Not even a folder is left where there is nothing to keep.
            self.store.destroy()?;
            return Ok(kept);
        }
        faults.extend(self.faults_of_records(&records, is_active)?);
        let is_open = self.store.is_any_open()?;
        if faults.is_empty() && is_open {
            faults.extend(self.fault_of_table(&records)?);
        }
        let mut around = match is_open {
            true => Some(self.surroundings(&self.usable(), &records)?),
            false => None,
        };
        let troubles = around
            .as_mut()
            .map(|around| std::mem::take(&mut around.troubles));
        kept.troubles.extend(troubles.into_iter().flatten());
        if let (true, Some(around)) = (faults.is_empty(), &around) {
            let mut bridges = records.iter().filter_map(|one| one.network.known_bridge());
            let less = match bridges.any(|bridge| self.is_ending(&bridge)) {
                true => Less::IsExpected,
                false => Less::IsDrift,
            };
            faults.extend(self.faults_of_host(around, &records, less));
        }
        let gates = self.gates(Wish::of(self.config()), false, Reach::Near)?;
        kept.is_libvirt_flushed = is_libvirt_flushed(gates.survey(), &records);
        self.mend_all(&mut kept, faults, &gates, &records, around.as_ref())?;
        self.renew_outcomes(&mut kept.started)?;
        if !was_built {
            // What was never there is no fault.
            kept.mended.clear();
        }
        kept.mended.extend(left);
        kept.is_any_open = self.store.is_any_open()?;
        kept.survey = gates.into_survey();
        kept.troubles.extend(self.troubles.take());
        Ok(kept)
    }

    /// `faults` are those of our table and of what it is made from.
    fn mend_all(
        &self,
        kept: &mut Kept,
        faults: Vec<String>,
        gates: &Gates,
        records: &[Record],
        around: Option<&Surroundings>,
    ) -> Result<()> {
        let anew = !faults.is_empty() || !kept.started.is_empty();
        kept.mended = faults;
        let is_open = self.store.is_any_open()?;
        if is_open {
            let gate = |place| format!("the gate in {place} was gone or out of place");
            kept.mended.extend(gates.places().map(gate));
        }
        if let Some(around) = around {
            kept.mended.extend(settings::wrong(&around.plan)?);
            kept.untold = around.untold().cloned();
            kept.forwards_ipv6 = around.host.enabled_all_ipv6;
        }
        if anew {
            self.store.begin()?;
            self.rebuild(&[])?;
        } else {
            if !kept.mended.is_empty() {
                self.mend_around(gates, around)?;
            }
            if is_open {
                self.shorten(gates);
            }
        }
        kept.troubles.extend(self.misfits(records)?);
        match self.firewalld() {
            Ok(true) => {
                let what = "firewalld had not heard of the peers";
                kept.mended.push(what.to_owned());
            }
            Ok(false) => {}
            Err(why) => kept.troubles.push(why),
        }
        Ok(())
    }

    /// A network that is not known as it is now.
    fn take_in(&self, network: Network) -> Result<Option<(String, Outcome)>> {
        let Some(bridge) = network.known_bridge() else {
            return Ok(None);
        };
        // By hand it was closed, by hand or by a start it opens.
        if self.is_held(&network)? {
            return Ok(None);
        }
        let mut record = Record::new(&self.usable(), network);
        let known = self.store.record(&bridge)?;
        if let Some(known) = &known {
            record.enabled.clone_from(&known.enabled);
        }
        if !links::has_bridge(&bridge) || known.as_ref() == Some(&record) {
            return Ok(None);
        }
        // libvirt may have ended it meanwhile.
        if status::has(&record.network.name, &bridge) == Some(false) {
            return Ok(None);
        }
        self.store.begin()?;
        self.store.put(&bridge, &record)?;
        self.store.confirm(&bridge)?;
        Ok(Some((record.network.name.clone(), outcome(&record))))
    }

    /// What was done in the end with networks that were taken in: once all of them were looked at
    /// together, one may be open for less than it seemed.
    fn renew_outcomes(&self, started: &mut [(String, Outcome)]) -> Result<()> {
        if started.is_empty() {
            return Ok(());
        }
        let records = self.store.records()?;
        for (name, done) in started {
            if let Some(record) = records.iter().find(|one| one.network.name == *name) {
                *done = outcome(record);
            }
        }
        Ok(())
    }

    fn faults_of_records(
        &self,
        records: &[Record],
        is_active: impl Fn(&Network) -> bool,
    ) -> Result<Vec<String>> {
        let mut faults = Vec::new();
        for record in records {
            let network = &record.network;
            let bridge = network.known_bridge();
            let Some(bridge) = bridge.filter(|bridge| !self.leaving.contains(bridge.as_str()))
            else {
                continue;
            };
            let name = virt_forward_policy::sanitize::escape(&network.name);
            let age = || Some(self.store.unconfirmed_of(&bridge).ok()??.age());
            match (links::has(&bridge), record.standing) {
                (false, Standing::Starting) if age().is_some_and(|age| age < START_GRACE) => {}
                (false, _) => {
                    faults.push(format!("network {name} was gone, with its bridge {bridge}"));
                }
                (true, Standing::Active | Standing::Stranger)
                    if !is_active(network)
                        && age().is_none_or(|age| age >= STARTED_GRACE)
                        && status::has(&network.name, &bridge) == Some(false) =>
                {
                    faults.push(format!(
                        "network {name} was open, and libvirt has it not active"
                    ));
                }
                _ => {}
            }
        }
        let unused = self.unused();
        let usable = policy::without(self.config(), &unused);
        let is_other = |record: &Record| record.renewed(&usable).access != record.access;
        if self.is_built_otherwise() || records.iter().any(is_other) {
            faults.push("the config had changed".to_owned());
        } else if self.store.layout().is_some()
            && !self.conflicts(records.iter())?.are_about_the_same(&unused)
        {
            let what = "the host's addresses and routes conflict with the config in another way";
            faults.push(what.to_owned());
        }
        Ok(faults)
    }

    /// What the table was built for, and is otherwise by now.
    fn faults_of_host(&self, around: &Surroundings, records: &[Record], less: Less) -> Vec<String> {
        let host = &around.host;
        let built = self.store.layout();
        let built = built.map(|built| built.host()).unwrap_or_default();
        let mut networks = records.iter();
        let is_same_forwarding = networks
            .all(|one| less.fits(&one.enabled, &around.enabled_of(one)))
            && less.fits(&built.enabled, &host.enabled)
            && less.fits(&built.restricted, &host.restricted)
            && (built.enabled_all_ipv6 == host.enabled_all_ipv6
                || less == Less::IsExpected && built.enabled_all_ipv6)
            && less.fits(&built.bridged, &host.bridged);
        let parts = [
            (
                is_same_forwarding,
                "which interfaces forward because of virt-forward",
            ),
            (
                less.fits(&built.return_paths, &host.return_paths),
                "the host's routing",
            ),
            (
                built.drops_forged_peers == host.drops_forged_peers,
                "whether firewalld runs",
            ),
            (
                less.fits(&built.masqueraded, &host.masqueraded),
                "which containers Docker lets be reached",
            ),
        ];
        let changed = parts.into_iter().filter(|(is_same, _)| !is_same);
        changed
            .map(|(_, what)| format!("{what} had changed"))
            .collect()
    }

    fn fault_of_table(&self, records: &[Record]) -> Result<Option<String>> {
        let name = format!("table {} {}", TABLE.family.word(), TABLE.name);
        match table_fingerprint::fingerprint(self.deadline)? {
            None => return Ok(Some(format!("the {name} was gone"))),
            seen if seen != self.store.built() => {
                return Ok(Some(format!("the {name} was changed")));
            }
            Some(_) => {}
        }
        self.fault_of_elements(records)
    }

    /// The set whose elements are not those of `records`, as a fault.
    pub(super) fn fault_of_elements(&self, records: &[Record]) -> Result<Option<String>> {
        let built = self.store.layout();
        let host = built.map(|built| built.host()).unwrap_or_default();
        let layout = table::Layout::of(&self.usable(), &host);
        let wanted = table::keys(&layout, &members(records));
        let seen = set_elements::read(wanted.keys().map(String::as_str), self.deadline)?;
        let mut sets = wanted.iter();
        let differs = sets.find(|(set, keys)| seen.get(*set) != Some(*keys));
        Ok(differs.map(|(set, _)| format!("the set {set} of our table was changed")))
    }

    /// The gates and the settings alone.
    fn mend_around(&self, gates: &Gates, around: Option<&Surroundings>) -> Result<()> {
        let mut batch = Batch::default();
        gates.in_batch(&mut batch);
        nft::apply(&batch, self.deadline)?;
        gates.by_program(self.deadline)?;
        let Some(around) = around else { return Ok(()) };
        settings::give_back(&around.plan)?;
        settings::remember(self.store, &around.plan)?;
        settings::set(&around.plan)
    }
}
