//! `/etc/virt-forward/config.toml`: the forwarding policy of this host.
//!
//! [`Config::read`] parses the file's text and checks it, so that a [`Config`] is always valid. A
//! missing file means [`Config::default`]; a file that defines no group has none, so an empty or
//! truncated file opens nothing.

mod allow_rule;
mod error;
mod group;
mod location;
mod mark;
mod model;
mod name;
mod on_error;
mod parse;
mod parse_allow;
mod pattern;
mod rule_id;
#[cfg(test)]
mod tests;
mod traffic;
mod values;

pub use allow_rule::{AllowRule, RuleEndpoint, Selector, Side};
pub use error::{ChainFault, ConfigError, ConfigFault, Table};
pub use group::Group;
pub use location::ConfigLocation;
pub use mark::MarkBit;
pub use model::{Config, OpensNothing};
pub(crate) use name::is_name;
pub use on_error::OnError;
pub use pattern::Pattern;
pub use rule_id::RuleId;
pub use traffic::{PortRange, Traffic};
