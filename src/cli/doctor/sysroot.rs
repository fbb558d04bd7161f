//! Files of the host, below a root that tests can choose.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The directory that stands for `/`.
#[derive(Clone, Debug)]
pub(crate) struct SysRoot(PathBuf);

impl SysRoot {
    /// The host's own `/`.
    pub(crate) fn host() -> Self {
        Self::at(Path::new("/"))
    }

    /// Another directory in its place.
    pub(crate) fn at(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// The location of an absolute path.
    pub(crate) fn path(&self, absolute: impl AsRef<Path>) -> PathBuf {
        let path = absolute.as_ref();
        self.0.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// A file's text without trailing whitespace; `None` if the file cannot be read.
    pub(crate) fn text(&self, absolute: impl AsRef<Path>) -> Option<String> {
        let bytes = fs::read(self.path(absolute)).ok()?;
        Some(String::from_utf8_lossy(&bytes).trim_end().to_owned())
    }

    /// The number that a file holds.
    pub(crate) fn number(&self, absolute: impl AsRef<Path>) -> Option<i64> {
        self.text(absolute)?.parse().ok()
    }

    /// Whether the path exists.
    pub(crate) fn has(&self, absolute: impl AsRef<Path>) -> bool {
        self.path(absolute).exists()
    }

    /// The sorted names of a directory's entries; empty if it cannot be read.
    pub(crate) fn names(&self, absolute: impl AsRef<Path>) -> Vec<String> {
        let entries = fs::read_dir(self.path(absolute)).into_iter().flatten();
        let names = entries.flatten().map(|entry| entry.file_name());
        let mut names: Vec<_> = names.filter_map(|name| name.into_string().ok()).collect();
        names.sort();
        names
    }
}
