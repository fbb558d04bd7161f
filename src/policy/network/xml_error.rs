//! Errors of a network's XML.

use serde::{Deserialize, Serialize};

use super::{
    bridge::KernelName,
    format::{Element, MAX_XML, MOST_GROUPS, NAMESPACE},
};
use crate::sanitize::escape;

/// A fault of our element in the metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum PolicyFault {
    /// Another element of our namespace.
    #[error("is not a <policy>")]
    OtherElement,
    /// More than one.
    #[error("occurs twice")]
    Twice,
    /// No `groups`.
    #[error("names no groups")]
    NoGroups,
    /// More than [`MOST_GROUPS`].
    #[error("names more than {MOST_GROUPS} groups")]
    TooManyGroups,
}

/// A fault of a network's XML.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum XmlError {
    /// Not well-formed, or not UTF-8.
    #[error("the XML is ill-formed at byte {at}: {}", escape(.why))]
    IllFormed {
        /// Bytes read up to the fault.
        at: u64,
        /// The parser's message.
        why: String,
    },
    /// The document ends inside an element.
    #[error("the XML ends before its elements do")]
    Truncated,
    /// More than [`MAX_XML`].
    #[error("more than {} MiB of XML", MAX_XML / 1024 / 1024)]
    TooBig,
    /// Well-formed, but about something else.
    #[error("there is no <network> element in the XML")]
    NoNetwork,
    /// Two networks in one document.
    #[error("there is more than one <network> element in the XML")]
    TwoNetworks,
    /// `<name>` is absent or empty.
    #[error("the <network> has no <name>")]
    NoName,
    /// XML cannot hold libvirt's own name of the network.
    #[error("the network's name is not UTF-8")]
    NameNotUtf8,
    /// A network that the host routes, without the name of its bridge.
    #[error("the <network> has no <bridge> with a name")]
    NoBridge,
    /// A bridge that the kernel can have and that cannot be named in a rule.
    #[error("rules cannot name the bridge \"{0}\": only letters, digits, '_', '-' and '.' work")]
    BadBridge(KernelName),
    /// A bridge that the kernel cannot have.
    #[error("no interface can have the bridge's name \"{}\"", escape(.0))]
    NoInterface(String),
    /// An `<ip>` or `<route>` without a valid subnet.
    #[error("{element} of the network: {}", escape(.why))]
    BadSubnet {
        /// The element.
        element: Element,
        /// The fault.
        why: String,
    },
    /// Our element in the metadata is invalid. Its author wanted the network in other groups than the
    /// config has for it.
    #[error(
        "the policy in the network's metadata {0}: write \
         <vf:policy xmlns:vf=\"{NAMESPACE}\" groups=\"NAME…\"/>"
    )]
    BadPolicy(PolicyFault),
    /// A `<forward mode=…>` that is not known to this version.
    #[error("forward mode \"{}\" is not known to this version", escape(.0))]
    UnknownMode(String),
}
