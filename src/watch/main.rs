//! The program of the daemon, which `virt-forward watch` executes. It does not link libvirt, which would
//! load some fifty libraries.

use std::{env, path::Path, process::ExitCode};

use virt_forward_system::{paths, sandbox, syslog};

fn main() -> ExitCode {
    let mut args = env::args_os().skip(1);
    let config = args.next();
    let config = config
        .as_deref()
        .map_or(Path::new(paths::CONFIG), Path::new);
    // The systemd unit restricts the daemon as well; this also covers other ways to start it.
    sandbox::drop_privileges();
    match virt_forward_watch::watch(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            syslog::error_to_stderr(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}
