//! The form of a network's XML: limits, and our own element in it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Most bytes that are read of one document. libvirt's largest are those with a DHCP entry
/// for each guest, some 100 bytes each. A client can hand libvirt a definition of 4 MiB, metadata
/// included (libvirt: src/remote/remote_protocol.x, `REMOTE_STRING_MAX`), and libvirt adds to it:
/// the bridge, which comes after the metadata, must still be within the limit.
pub const MAX_XML: u64 = 16 * 1024 * 1024;

/// Most groups that a network may name: each that is not defined is reported in the log.
pub(super) const MOST_GROUPS: usize = 64;

/// The namespace of our element in a network's metadata.
pub const NAMESPACE: &str = "urn:virt-forward:1";

/// An element that holds a subnet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Element {
    /// `<ip>`
    Ip,
    /// `<route>`
    Route,
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ip => "<ip>",
            Self::Route => "<route>",
        })
    }
}
