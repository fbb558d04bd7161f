//! The outcome of an event for a network.

use virt_forward_policy::{Access, network::XmlError};
use virt_forward_system::state::Record;

/// What a run did with a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is open, with this access.
    Opened(Access),
    /// It is in no group and in no rule.
    NoMembership,
    /// The host does not route it, so there is nothing to open.
    NotRouted,
    /// libvirt does not have it active, or its bridge does not exist.
    NotActive,
    /// Its interface is not a bridge.
    NotABridge,
    /// Its definition is invalid: it is recorded, and closed.
    InvalidDefinition(XmlError),
    /// Its bridge is not known: nothing external is let in while it is active.
    UnknownBridge(XmlError),
    /// It is closed now.
    Closed,
    /// It was closed before.
    AlreadyClosed,
}

impl Outcome {
    /// The outcome for a network that has this record now.
    pub(crate) fn of_record(record: &Record) -> Self {
        if let Some(why) = &record.network.fault {
            return Self::InvalidDefinition(why.clone());
        }
        if record.access.is_empty() {
            Self::NoMembership
        } else {
            Self::Opened(record.access.clone())
        }
    }
}
