//! `[[group]]`: networks that reach each other.

use ipnet::IpNet;
use serde::Serialize;

use super::pattern::Pattern;

/// Networks that reach each other, both ways.
#[derive(Clone, Debug, Serialize)]
pub struct Group {
    /// The name, for which [`is_name`](super::name::is_name) holds; part of a set's name in our table.
    pub name: String,
    /// The names of its members, or globs that match them.
    pub networks: Vec<Pattern>,
    /// External subnets whose hosts may open connections to members, and members to them; none
    /// contains another.
    pub peers: Vec<IpNet>,
    /// Each peer as written, with its line.
    #[serde(skip)]
    pub(crate) peer_lines: Vec<(IpNet, usize)>,
    /// Members keep their addresses towards peers; otherwise libvirt masquerades them as usual.
    pub keep_source: bool,
}
