//! A trial run of an installed hook program.

use std::{fs::File, io::Read, path::Path};

use crate::{Error, Result};
use crate::{deadline::Deadline, exec::command};

/// Runs the hook as libvirtd does, with an event that changes nothing. A hook that cannot run, for
/// example because a power failure truncated it or its file system is mounted `noexec`, makes every
/// network start fail.
pub fn trial_run(path: &Path, deadline: Deadline) -> Result<()> {
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

/// execvp(3), which std uses, passes a file that the kernel does not execute to a shell, which
/// would interpret a truncated binary line by line. libvirtd does not. A file that cannot be read
/// counts as executable here, because running it reports a better error.
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
            trial_run(&hook, Deadline::after(Duration::from_secs(5)))
        };
        let why = run(format!("XXXX\n: > {}", trace.display())).unwrap_err();
        assert!(why.to_string().contains("it is no program"), "{why}");
        assert!(!trace.exists());
        let why = run("#!/bin/sh\necho a >&2; echo b >&2; exit 3".to_owned()).unwrap_err();
        assert!(why.to_string().ends_with("exit status: 3 a | b"), "{why}");
    }
}
