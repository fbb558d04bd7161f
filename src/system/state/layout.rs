//! The input that a table was built from.

use serde::{Serialize, de::DeserializeOwned};
use virt_forward_policy::{
    Conflicts,
    config::{Config, MarkBit},
    netfilter::ChainName,
};
use virt_forward_ruleset::table::Host;

use super::store::json;

/// The input that a table was built from, in a text form: equal texts make equal tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout(String);

/// The text as stored. Nothing can be read from that of an incompatible version.
impl From<String> for Layout {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl Layout {
    /// The input for this version: `config` without its `unused` parts, on this host.
    pub fn of(config: &Config, unused: &Conflicts, host: &Host) -> Self {
        #[derive(Serialize)]
        struct Built<'a> {
            version: &'a str,
            config: &'a Config,
            unused: &'a Conflicts,
            host: &'a Host,
        }
        Self(json(&Built {
            version: virt_forward_policy::VERSION,
            config,
            unused,
            host,
        }))
    }

    /// The unused parts of its configuration.
    pub fn unused(&self) -> Conflicts {
        self.value("/unused").unwrap_or_default()
    }

    /// The host.
    pub fn host(&self) -> Host {
        self.value("/host").unwrap_or_default()
    }

    /// The packet mark that the table uses.
    pub fn mark(&self) -> Option<MarkBit> {
        MarkBit::new(self.value("/config/mark")?)
    }

    /// The administrator's own chains that have gates.
    pub fn extra(&self) -> Vec<ChainName> {
        self.value("/config/extra").unwrap_or_default()
    }

    /// The stored text.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    fn value<T: DeserializeOwned>(&self, pointer: &str) -> Option<T> {
        let mut all: serde_json::Value = serde_json::from_str(&self.0).ok()?;
        serde_json::from_value(all.pointer_mut(pointer)?.take()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layout_differs_by_policy_and_has_the_mark() {
        let one = Layout::of(&Config::default(), &Conflicts::default(), &Host::default());
        let mut config = Config::default();
        config.groups.clear();
        let two = Layout::of(&config, &Conflicts::default(), &Host::default());
        assert_ne!(one, two);
        assert_eq!(one.mark(), Some(MarkBit::DEFAULT));
        assert_eq!(Layout("{".into()).mark(), None);
    }
}
