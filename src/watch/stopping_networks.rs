//! Bridges of networks that are stopping, without a clock of its own: libvirt calls the `stopped` hook
//! last, and the hook closes the network.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

/// The wait for the hook after a bridge was deleted while libvirt has its network active: libvirt calls
/// none, unless its status file was deleted at the same moment.
const REMOVED_TIMEOUT: Duration = Duration::from_millis(400);

/// The wait for the hook of a network that libvirt stops: it deletes the status file first, and in
/// between it waits for dnsmasq and removes its rules, which takes seconds on a slow host. No packet
/// passes a bridge that does not exist.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// The bridges of networks that are stopping.
#[derive(Debug, Default)]
pub(super) struct StoppingNetworks(BTreeMap<String, Stop>);

#[derive(Debug)]
struct Stop {
    /// When the wait for the hook ends.
    until: Instant,
    /// The kernel has deleted the bridge.
    is_gone: bool,
}

impl StoppingNetworks {
    /// libvirt is stopping the networks of these bridges. Returns when to check them.
    pub(super) fn stopped(&mut self, bridges: Vec<String>, now: Instant) -> Option<Instant> {
        let until = now + STOP_TIMEOUT;
        let is_any = !bridges.is_empty();
        let stop = || Stop {
            until,
            is_gone: false,
        };
        self.0
            .extend(bridges.into_iter().map(|bridge| (bridge, stop())));
        is_any.then_some(until)
    }

    /// A bridge was removed. `is_ending` says whether libvirt does not have its network active while the
    /// record does. Returns when to check the bridge.
    pub(super) fn bridge_removed(
        &mut self,
        bridge: String,
        is_ending: bool,
        now: Instant,
    ) -> Instant {
        let grace = if is_ending {
            STOP_TIMEOUT
        } else {
            REMOVED_TIMEOUT
        };
        let stop = self.0.entry(bridge).or_insert(Stop {
            until: now + grace,
            is_gone: true,
        });
        stop.is_gone = true;
        stop.until
    }

    /// An interface of that name exists. Returns whether it replaces a removed bridge; no hook will
    /// come for that.
    pub(super) fn is_replaced(&mut self, bridge: &str) -> bool {
        let is_another = self.0.get(bridge).is_some_and(|stop| stop.is_gone);
        if is_another {
            self.0.remove(bridge);
        }
        is_another
    }

    /// libvirt has the networks of these bridges active: those are not stopping.
    pub(super) fn set_active(&mut self, bridges: &BTreeSet<String>) {
        self.0.retain(|bridge, _| !bridges.contains(bridge));
    }

    /// The bridges whose hook may still come.
    pub(super) fn pending(&mut self, now: Instant) -> BTreeSet<String> {
        self.0.retain(|_, stop| stop.until > now);
        self.0.keys().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name() -> String {
        "virbr0".to_owned()
    }

    #[test]
    fn the_hook_of_a_network_that_libvirt_stops_is_waited_for() {
        let start = Instant::now();
        let mut stopping = StoppingNetworks::default();
        assert_eq!(stopping.stopped(Vec::new(), start), None);
        let until = stopping.stopped(vec![name()], start).unwrap();
        // Its bridge is removed later, which does not shorten the wait.
        let later = start + Duration::from_secs(5);
        assert_eq!(stopping.bridge_removed(name(), true, later), until);
        assert!(stopping.pending(later + REMOVED_TIMEOUT).contains("virbr0"));
        assert!(stopping.pending(until).is_empty());
    }

    #[test]
    fn no_hook_comes_for_a_bridge_that_was_deleted_by_hand() {
        let start = Instant::now();
        let mut stopping = StoppingNetworks::default();
        let until = stopping.bridge_removed(name(), false, start);
        assert!(until - start < STOP_TIMEOUT);
        assert!(stopping.pending(until).is_empty());
    }

    #[test]
    fn a_network_that_ended_before_it_was_seen_is_waited_for_too() {
        let start = Instant::now();
        let mut stopping = StoppingNetworks::default();
        let until = stopping.bridge_removed(name(), true, start);
        assert_eq!(until - start, STOP_TIMEOUT);
    }

    #[test]
    fn another_bridge_of_that_name_is_not_waited_with() {
        let start = Instant::now();
        let mut stopping = StoppingNetworks::default();
        stopping.stopped(vec![name()], start);
        assert!(
            !stopping.is_replaced("virbr0"),
            "libvirt has yet to delete it"
        );
        stopping.bridge_removed(name(), false, start);
        assert!(stopping.is_replaced("virbr0"));
        assert!(stopping.pending(start).is_empty());
        assert!(!stopping.is_replaced("virbr0"));
    }

    #[test]
    fn a_network_that_starts_again_does_not_end() {
        let start = Instant::now();
        let mut stopping = StoppingNetworks::default();
        stopping.stopped(vec![name(), "virbr1".to_owned()], start);
        stopping.set_active(&[name()].into());
        assert_eq!(stopping.pending(start), ["virbr1".to_owned()].into());
    }
}
