//! The hook's program, tried.

use std::{fs::File, io::Read, path::Path};

use crate::{Error, Result};
use crate::{deadline::Deadline, exec::command};

/// Runs it as libvirtd does, for an event that changes nothing. One that does not run (a power
/// cut left half of it, its file system is mounted `noexec`) stops every start of a network.
pub fn attempt(path: &Path, deadline: Deadline) -> Result<()> {
    let failed = |stderr| Error::Failed {
        what: path.display().to_string(),
        stderr,
    };
    if !may_the_kernel_run(path) {
        return Err(failed("it is no program, and no script with #!".to_owned()));
    }
    let event = ["virt-forward-doctor", "port-created", "begin", "-"];
    let output = command::run(path, &event, "", deadline)?;
    match output.status.success() {
        true => Ok(()),
        false => {
            let stderr = output.stderr.trim().replace('\n', " | ");
            Err(failed(format!("{} {stderr}", output.status)))
        }
    }
}

/// execvp(3), which runs programs for us, hands to a shell whatever the kernel does not run:
/// half a program would be carried out, word by word. libvirtd does not do that. Of a file that
/// cannot be read, running it says more.
fn may_the_kernel_run(path: &Path) -> bool {
    let mut begin = [0; 4];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut begin));
    read.is_err() || begin == *b"\x7fELF" || begin.starts_with(b"#!")
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt, time::Duration};

    use super::*;

    #[test]
    fn what_is_no_program_is_not_carried_out() {
        let dir = tempfile::tempdir().unwrap();
        let (hook, trace) = (dir.path().join("hook"), dir.path().join("trace"));
        let run = |text: String| {
            fs::write(&hook, text).unwrap();
            fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
            attempt(&hook, Deadline::after(Duration::from_secs(5)))
        };
        let why = run(format!("XXXX\n: > {}", trace.display())).unwrap_err();
        assert!(why.to_string().contains("it is no program"), "{why}");
        assert!(!trace.exists());
        let why = run("#!/bin/sh\necho a >&2; echo b >&2; exit 3".to_owned()).unwrap_err();
        assert!(why.to_string().ends_with("exit status: 3 a | b"), "{why}");
    }
}
