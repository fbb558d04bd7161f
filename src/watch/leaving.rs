//! Bridges of networks that end, as values: libvirt calls the hook last, and that is to have the
//! word.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

/// A bridge that was deleted by hand, while libvirt has its network active: nothing more is to come,
/// unless libvirt's own note of the end has not been read yet.
const GONE: Duration = Duration::from_millis(400);

/// libvirt deletes the status file of a network that it ends first, and calls the hook last: in
/// between it waits for dnsmasq, and takes its rules away, which takes a slow host seconds. Nothing
/// passes by a bridge that is gone meanwhile.
const ENDS: Duration = Duration::from_secs(10);

/// The bridges of networks that end.
#[derive(Debug, Default)]
pub(super) struct Leaving(BTreeMap<String, End>);

#[derive(Debug)]
struct End {
    /// Until when the hook may still come.
    until: Instant,
    /// The kernel has deleted the bridge.
    is_gone: bool,
}

impl Leaving {
    /// libvirt ends the networks of these bridges. When the last of them is to be checked.
    pub(super) fn end(&mut self, bridges: Vec<String>, now: Instant) -> Option<Instant> {
        let until = now + ENDS;
        let is_any = !bridges.is_empty();
        let end = || End {
            until,
            is_gone: false,
        };
        self.0
            .extend(bridges.into_iter().map(|bridge| (bridge, end())));
        is_any.then_some(until)
    }

    /// The bridge is gone. `is_ending`: libvirt does not have its network active, while the record does;
    /// one that has started a moment ago may never have been seen. When the bridge is to be checked.
    pub(super) fn gone(&mut self, bridge: String, is_ending: bool, now: Instant) -> Instant {
        let grace = if is_ending { ENDS } else { GONE };
        let end = self.0.entry(bridge).or_insert(End {
            until: now + grace,
            is_gone: true,
        });
        end.is_gone = true;
        end.until
    }

    /// An interface of that name is there. If the kernel had deleted the bridge, this is another one, for
    /// which no hook is to come: whether it has to be checked now.
    pub(super) fn is_there(&mut self, bridge: &str) -> bool {
        let is_another = self.0.get(bridge).is_some_and(|end| end.is_gone);
        if is_another {
            self.0.remove(bridge);
        }
        is_another
    }

    /// libvirt has networks active with these bridges: what it has started again does not end.
    pub(super) fn are_active(&mut self, bridges: &BTreeSet<String>) {
        self.0.retain(|bridge, _| !bridges.contains(bridge));
    }

    /// Those for which the hook may still come.
    pub(super) fn now(&mut self, now: Instant) -> BTreeSet<String> {
        self.0.retain(|_, end| end.until > now);
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
    fn the_hook_of_a_network_that_libvirt_ends_is_waited_for() {
        let start = Instant::now();
        let mut leaving = Leaving::default();
        assert_eq!(leaving.end(Vec::new(), start), None);
        let until = leaving.end(vec![name()], start).unwrap();
        // Its bridge goes a while later, and that makes the wait no shorter.
        let later = start + Duration::from_secs(5);
        assert_eq!(leaving.gone(name(), true, later), until);
        assert!(leaving.now(later + GONE).contains("virbr0"));
        assert!(leaving.now(until).is_empty());
    }

    #[test]
    fn for_a_bridge_that_somebody_deletes_no_hook_comes() {
        let start = Instant::now();
        let mut leaving = Leaving::default();
        let until = leaving.gone(name(), false, start);
        assert!(until - start < ENDS);
        assert!(leaving.now(until).is_empty());
    }

    #[test]
    fn a_network_that_ended_before_it_was_seen_is_waited_for_too() {
        let start = Instant::now();
        let mut leaving = Leaving::default();
        let until = leaving.gone(name(), true, start);
        assert_eq!(until - start, ENDS);
    }

    #[test]
    fn another_bridge_of_that_name_is_not_waited_with() {
        let start = Instant::now();
        let mut leaving = Leaving::default();
        leaving.end(vec![name()], start);
        assert!(!leaving.is_there("virbr0"), "libvirt has yet to delete it");
        leaving.gone(name(), false, start);
        assert!(leaving.is_there("virbr0"));
        assert!(leaving.now(start).is_empty());
        assert!(!leaving.is_there("virbr0"));
    }

    #[test]
    fn a_network_that_starts_again_does_not_end() {
        let start = Instant::now();
        let mut leaving = Leaving::default();
        leaving.end(vec![name(), "virbr1".to_owned()], start);
        leaving.are_active(&[name()].into());
        assert_eq!(leaving.now(start), ["virbr1".to_owned()].into());
    }
}
