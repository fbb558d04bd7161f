//! What libvirt keeps on disk of its active networks.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use crate::{
    network::{Network, XmlError, read},
    paths,
};

/// Every active network by the name of its file, as far as it can be read. One whose `started`
/// hook is running has no file yet, and one whose daemon crashed may have one for nothing.
pub fn active() -> Vec<(String, Result<Network, XmlError>)> {
    let files = xml_files(Path::new(paths::LIBVIRT_STATUS)).into_iter();
    // One that cannot be opened has just ended.
    let opened = files.filter_map(|(name, path)| Some((name, File::open(path).ok()?)));
    opened.map(|(name, file)| (name, read(file))).collect()
}

/// The `*.xml` files in `dir`, by stem.
pub fn xml_files(dir: &Path) -> Vec<(String, PathBuf)> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    let files = paths.filter(|path| path.extension().is_some_and(|ext| ext == "xml"));
    let named = files.filter_map(|path| {
        let stem = path.file_stem()?.to_str()?.to_owned();
        path.is_file().then_some((stem, path))
    });
    named.collect()
}
