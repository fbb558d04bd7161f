//! Forwarding and routing, there and back.

use std::{io, net::IpAddr};

use super::{Place, walk::Walk};
use crate::host::Incoming;

/// Where it goes.
pub(super) struct Way {
    pub(super) enters: String,
    pub(super) leaves: String,
}

impl Walk<'_> {
    /// Forwarding and routing, there and back; the interfaces it comes in and leaves by.
    pub(super) fn ways(&mut self) -> anyhow::Result<Option<Way>> {
        let case = self.case;
        let (from, to) = (&case.from, &case.to);
        let (Some(enters), Some(leaves)) = (self.link(from, to)?, self.link(to, from)?) else {
            return Ok(None);
        };
        self.forwarding(&enters, "what comes");
        self.forwarding(&leaves, "answers");
        self.route(from, to, &enters, &leaves, "route")?;
        self.route(to, from, &leaves, &enters, "way back")?;
        Ok(Some(Way { enters, leaves }))
    }

    /// Where that end is: the bridge of its network, or where this host sends what comes from
    /// `other` to it. The kernel knows all rules and next hops.
    fn link(&mut self, place: &Place, other: &Place) -> anyhow::Result<Option<String>> {
        if let Some(network) = place.network {
            return Ok(network.routed_bridge().map(ToString::to_string));
        }
        let host = self.case.host;
        // A neighbour comes in by its own link, whatever a route may say.
        if let Some(link) = host.neighbouring_link(place.address) {
            return Ok(Some(link.to_owned()));
        }
        let bridge = other.network.and_then(|network| network.routed_bridge());
        if let Some(bridge) = bridge {
            let packet = Incoming {
                from: other.address,
                to: place.address,
                interface: bridge.to_string(),
            };
            if let Ok(way) = self.case.kernel.forwards(&packet)? {
                return Ok(Some(way));
            }
        }
        let link = host.link_of(place.address).map(str::to_owned);
        if link.is_none() {
            let what = format!("this host has no route to {}", place.address);
            self.blocked("route", what, &[]);
        }
        Ok(link)
    }

    fn forwarding(&mut self, interface: &str, what: &str) {
        let is_ipv4 = self.case.to.address.is_ipv4();
        match self.case.settings.forwards(interface, is_ipv4) {
            true => self.ok(
                "forwarding",
                format!("{interface} forwards {what} in by it"),
            ),
            false => {
                let setting = match is_ipv4 {
                    true => format!("net.ipv4.conf.{interface}.forwarding"),
                    false => {
                        format!("net.ipv6.conf.all.forwarding, nor {interface}.force_forwarding,")
                    }
                };
                let what = match is_ipv4 {
                    true => format!("{setting} is 0: {what} in by {interface} ends here"),
                    false => format!("neither {setting} is 1: {what} in by {interface} ends here"),
                };
                self.blocked("forwarding", what, &["virt-forward apply".to_owned()]);
            }
        }
    }

    fn route(
        &mut self,
        from: &Place,
        to: &Place,
        enters: &str,
        leaves: &str,
        step: &'static str,
    ) -> anyhow::Result<()> {
        let (source, target) = (from.address, to.address);
        let packet = Incoming {
            from: source,
            to: target,
            interface: enters.to_owned(),
        };
        match self.case.kernel.forwards(&packet)? {
            Ok(way) if way == leaves => {
                self.ok(
                    step,
                    format!("from {source} to {target}: in by {enters}, out by {way}"),
                );
            }
            Ok(way) => {
                let what = format!(
                    "from {source} to {target} this host sends by {way}, and {target} is behind {leaves}"
                );
                self.blocked(step, what, &[]);
            }
            Err(why) => {
                let (what, remedy) = self.dropped(&why, source, target, enters);
                self.blocked(step, what, &remedy);
            }
        }
        Ok(())
    }

    /// What the kernel's refusal means.
    fn dropped(
        &self,
        why: &io::Error,
        source: IpAddr,
        target: IpAddr,
        enters: &str,
    ) -> (String, Vec<String>) {
        let is_strict = source.is_ipv4() && self.case.settings.is_strict(enters);
        let other = self
            .case
            .host
            .way_to(source)
            .filter(|way| way.interface != enters);
        match (why.kind(), other) {
            (io::ErrorKind::CrossesDevices, Some(other)) | (_, Some(other)) if is_strict => (
                format!(
                    "rp_filter is 1 on {enters}: what {source} sends is dropped, as this host would \
                     answer by {}",
                    other.interface
                ),
                vec![format!("sysctl net.ipv4.conf.{enters}.rp_filter=2")],
            ),
            (io::ErrorKind::CrossesDevices, _) => (
                format!(
                    "this host has no way back to {source} by {enters}, and rp_filter drops what comes so"
                ),
                Vec::new(),
            ),
            (io::ErrorKind::NetworkUnreachable, _) => {
                (format!("this host has no route to {target}"), Vec::new())
            }
            (io::ErrorKind::HostUnreachable, _) => (
                format!(
                    "this host does not forward what comes in by {enters}, or has no route to {target}"
                ),
                Vec::new(),
            ),
            _ => (
                format!("this host does not forward from {source} to {target}: {why}"),
                Vec::new(),
            ),
        }
    }
}
