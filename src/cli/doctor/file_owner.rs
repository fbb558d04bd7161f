//! Ownership and permissions of a file or directory.

use std::{fs, os::unix::fs::MetadataExt};

use super::SysRoot;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileOwner {
    pub(crate) path: String,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mode: u32,
}

impl FileOwner {
    /// `None` if `path` does not exist.
    pub(crate) fn collect(root: &SysRoot, path: &str) -> Option<Self> {
        let meta = fs::metadata(root.path(path)).ok()?;
        Some(Self {
            path: path.to_owned(),
            uid: meta.uid(),
            gid: meta.gid(),
            mode: meta.mode(),
        })
    }

    /// Whether a user other than root can change it.
    pub(crate) fn is_writable_by_others(&self) -> bool {
        self.uid != 0 || self.mode & 0o002 != 0 || self.gid != 0 && self.mode & 0o020 != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_root_may_be_able_to_write() {
        let writable = |uid, gid, mode| {
            let path = String::new();
            FileOwner {
                path,
                uid,
                gid,
                mode,
            }
            .is_writable_by_others()
        };
        assert!(!writable(0, 0, 0o755));
        assert!(!writable(0, 0, 0o775), "the group root");
        assert!(!writable(0, 5, 0o755));
        assert!(writable(0, 5, 0o775));
        assert!(writable(0, 0, 0o757));
        assert!(writable(1, 0, 0o755));
    }
}
