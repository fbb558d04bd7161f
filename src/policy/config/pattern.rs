//! Patterns for the names of networks.

use globset::{GlobBuilder, GlobSet};
use serde::{Serialize, Serializer};

/// Longest pattern, in bytes. A network's name is also a file's name, with at most 255 bytes.
pub(super) const MAX_PATTERN: usize = 1024;

/// A libvirt network's name, or a glob that matches names.
#[derive(Clone, Debug)]
pub struct Pattern {
    text: String,
    /// Absent where the text has no wildcard.
    glob: Option<GlobSet>,
}

impl Pattern {
    /// The pattern that `text` means; an error where it has wildcards and is not a valid glob.
    pub(crate) fn new(text: String) -> Result<Self, globset::Error> {
        let has_wildcards = text.contains(['*', '?', '[', ']', '{', '}', '\\']);
        let glob = has_wildcards.then(|| compile(&text)).transpose()?;
        Ok(Self { text, glob })
    }

    /// `*`: every name.
    pub(crate) fn any() -> Self {
        let text = "*".to_owned();
        let glob = compile(&text).ok();
        Self { text, glob }
    }

    /// A pattern that matches no network: libvirt refuses names with a `/` or a line feed.
    pub(crate) fn none() -> Self {
        Self {
            text: "/\n".to_owned(),
            glob: None,
        }
    }

    /// Whether the pattern is this very name.
    pub fn is_exactly(&self, name: &str) -> bool {
        self.text == name
    }

    /// The name that the pattern consists of; nothing where it has wildcards.
    pub fn exact(&self) -> Option<&str> {
        self.glob.is_none().then_some(&self.text)
    }

    /// Whether the wildcards match `name`; false for a pattern without wildcards.
    pub fn glob_matches(&self, name: &str) -> bool {
        self.glob.as_ref().is_some_and(|glob| glob.is_match(name))
    }
}

impl Serialize for Pattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

/// Compiles the glob as a set of one: compiling a single glob panics where its regular expression
/// is nested too deeply.
fn compile(text: &str) -> Result<GlobSet, globset::Error> {
    let glob = GlobBuilder::new(text).backslash_escape(true).build()?;
    GlobSet::builder().add(glob).build()
}
