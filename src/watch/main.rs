//! The daemon as a program of its own: `virt-forward watch` becomes this one. It links no
//! libvirt, which would bring some fifty libraries along.

use std::{env, path::Path, process::ExitCode};

use virt_forward_system::{paths, sandbox, syslog};

fn main() -> ExitCode {
    let mut args = env::args_os().skip(1);
    let config = args.next();
    let config = config
        .as_deref()
        .map_or(Path::new(paths::CONFIG), Path::new);
    // As its unit has it, for who is started otherwise.
    sandbox::shed();
    match virt_forward_watch::watch(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            syslog::error_aloud(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}
