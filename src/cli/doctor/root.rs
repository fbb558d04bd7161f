//! The host's files, or those that a test has laid out.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// What is below here stands for `/`.
#[derive(Clone, Debug)]
pub(crate) struct Root(PathBuf);

impl Root {
    /// This host's own.
    pub(crate) fn host() -> Self {
        Self("/".into())
    }

    #[cfg(test)]
    pub(crate) fn at(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// Where a path of the host is.
    pub(crate) fn path(&self, absolute: impl AsRef<Path>) -> PathBuf {
        let path = absolute.as_ref();
        self.0.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// A file's text without the newline; nothing where it cannot be read.
    pub(crate) fn text(&self, absolute: impl AsRef<Path>) -> Option<String> {
        let bytes = fs::read(self.path(absolute)).ok()?;
        Some(String::from_utf8_lossy(&bytes).trim_end().to_owned())
    }

    /// The number in a file.
    pub(crate) fn number(&self, absolute: impl AsRef<Path>) -> Option<i64> {
        self.text(absolute)?.parse().ok()
    }

    pub(crate) fn has(&self, absolute: impl AsRef<Path>) -> bool {
        self.path(absolute).exists()
    }

    /// The names in a folder.
    pub(crate) fn names(&self, absolute: impl AsRef<Path>) -> Vec<String> {
        let entries = fs::read_dir(self.path(absolute)).into_iter().flatten();
        let names = entries.flatten().map(|one| one.file_name());
        let mut names: Vec<_> = names.filter_map(|name| name.into_string().ok()).collect();
        names.sort();
        names
    }

    /// Writes a file, for a test.
    #[cfg(test)]
    pub(crate) fn put(&self, absolute: &str, text: &str) {
        let path = self.path(absolute);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}
