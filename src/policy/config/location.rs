//! Places in the config file.

use std::fmt;

/// A line of the config file, for messages to the administrator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigLocation {
    path: String,
    line: usize,
}

impl ConfigLocation {
    pub(super) fn new(path: &str, line: usize) -> Self {
        let path = path.to_owned();
        Self { path, line }
    }
}

/// `/etc/virt-forward/config.toml, line 7`
impl fmt::Display for ConfigLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, line {}", self.path, self.line)
    }
}

/// The byte offsets of a file's line ends. A config may have thousands of names, each of which keeps
/// its line, so lines are looked up rather than counted.
pub(super) struct LineIndex(Vec<usize>);

impl LineIndex {
    pub(super) fn new(text: &str) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        Self(ends.map(|(at, _)| at).collect())
    }

    /// The line of the byte at `offset`, counted from 1.
    pub(super) fn line(&self, offset: usize) -> usize {
        self.0.partition_point(|end| *end < offset) + 1
    }
}
