//! The administrator's configuration file.

use std::{fs, io, path::Path};

use virt_forward_policy::config::{Config, ConfigError};

/// Reads and checks the file at `path`. A missing file means the defaults.
///
/// # Errors
///
/// If the file cannot be read, or [`Config::read`] rejects its text.
pub fn load(path: &Path) -> Result<Config, ConfigError> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        // A dangling symbolic link is not a missing file: its target may be on a disk that is not
        // mounted yet.
        Err(why) if why.kind() == io::ErrorKind::NotFound && !path.is_symlink() => {
            return Ok(Config::default());
        }
        Err(why) => {
            let path = path.display().to_string();
            return Err(ConfigError::Unreadable { path, why });
        }
    };
    Config::read(&text, path.display().to_string())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn only_a_missing_file_means_the_default_group() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.toml");
        assert_eq!(load(&path).unwrap().groups.len(), 1);
        fs::write(&path, "").unwrap();
        assert!(load(&path).unwrap().groups.is_empty());
    }

    #[test]
    fn a_dangling_link_is_not_a_missing_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.toml");
        symlink(dir.path().join("nowhere"), &path).unwrap();
        assert!(matches!(load(&path), Err(ConfigError::Unreadable { .. })));
    }
}
