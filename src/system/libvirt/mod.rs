//! libvirt's status files, notifications about them, and whether its daemon runs.

pub mod daemon;
pub mod status;
pub mod status_files;
