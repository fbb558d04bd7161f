//! Runs other programs with a deadline.
//!
//! Their stdin, stdout and stderr are memory files instead of pipes: nothing can block on a full
//! pipe, and libvirtd, which waits until the hook's stdout and stderr are closed, never waits for a
//! child.

use std::{
    fs::File,
    io::{self, Read, Seek, Write},
    os::unix::{fs::FileExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec},
    fs::MemfdFlags,
    process::{Pid, PidfdFlags, Signal},
};

use crate::deadline::Deadline;
use crate::{Error, Result, paths};

/// The part of a program's output that is read, in bytes. Only a huge ruleset is longer.
const MAX_OUTPUT: u64 = 64 * 1024 * 1024;

/// A program, and the package that contains it in most distributions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Program {
    pub(crate) name: &'static str,
    pub(crate) package: &'static str,
}

/// The result of a program that has ended.
pub(crate) struct Output {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Program {
    /// Runs the program, and kills it at the deadline.
    ///
    /// # Errors
    ///
    /// If the program is not installed, cannot be started, or runs until the deadline.
    pub(crate) fn run(self, args: &[&str], input: &str, deadline: Deadline) -> Result<Output> {
        run(&self.path()?, args, input, deadline).map_err(|error| match error {
            Error::TimedOut { .. } => Error::TimedOut {
                what: self.command(args),
            },
            other => other,
        })
    }

    /// Like [`Program::run`], but a non-zero exit status is an error, too. Returns stdout.
    pub(crate) fn run_checked(
        self,
        args: &[&str],
        input: &str,
        deadline: Deadline,
    ) -> Result<String> {
        let output = self.run(args, input, deadline)?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        let stderr = output.stderr.trim();
        Err(Error::Failed {
            what: self.command(args),
            stderr: if stderr.is_empty() {
                output.status.to_string()
            } else {
                stderr.replace('\n', " | ")
            },
        })
    }

    /// Starts the program with a pipe as stdin.
    pub(crate) fn spawn(self, args: &[&str]) -> Result<ChildProcess> {
        let path = self.path()?;
        let failed = |why| Error::Run {
            program: path.clone(),
            why,
        };
        let files = Files::new("").map_err(failed)?;
        let mut command = files.command(&path, args).map_err(failed)?;
        // nft would save its input to a history file in HOME.
        command.stdin(Stdio::piped()).env("HOME", "/dev/null");
        let mut child = command.spawn().map_err(failed)?;
        let input = child.stdin.take();
        Ok(ChildProcess {
            child,
            input,
            files,
        })
    }

    fn command(self, args: &[&str]) -> String {
        let mut words = vec![self.name];
        words.extend(args);
        words.join(" ")
    }

    /// Whether it is installed.
    pub(crate) fn is_installed(self) -> bool {
        self.found().is_some()
    }

    fn path(self) -> Result<PathBuf> {
        self.found().ok_or(Error::ProgramNotFound {
            program: self.name,
            package: self.package,
        })
    }

    fn found(self) -> Option<PathBuf> {
        let candidates = paths::PROGRAMS.iter();
        let mut candidates = candidates.map(|dir| PathBuf::from(dir).join(self.name));
        candidates.find(|path| path.exists())
    }
}

/// Like [`Program::run`], for the program at `path`.
pub(crate) fn run(path: &Path, args: &[&str], input: &str, deadline: Deadline) -> Result<Output> {
    let failed = |why| Error::Run {
        program: path.to_owned(),
        why,
    };
    let files = Files::new(input).map_err(failed)?;
    let mut child = files
        .command(path, args)
        .and_then(|mut command| command.spawn())
        .map_err(failed)?;
    if !has_ended_by(&child, deadline).map_err(failed)? {
        // Both fail only if the program has just ended by itself.
        let _ = child.kill();
        let _ = child.wait();
        return Err(Error::TimedOut {
            what: path.display().to_string(),
        });
    }
    let status = child.wait().map_err(failed)?;
    files.read(status).map_err(failed)
}

/// A running program. It is killed when this is dropped, and when the thread that started it ends.
#[derive(Debug)]
pub(crate) struct ChildProcess {
    child: Child,
    input: Option<ChildStdin>,
    files: Files,
}

impl ChildProcess {
    /// Writes to its stdin.
    pub(crate) fn write_stdin(&mut self, text: &str) -> io::Result<()> {
        match &mut self.input {
            Some(input) => input.write_all(text.as_bytes()),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    /// Its stdout and stderr so far.
    pub(crate) fn read_output(&mut self) -> io::Result<String> {
        // Read from the start without moving the file position, at which the child writes.
        let read = |file: &File| {
            let mut bytes = vec![0; 64 * 1024];
            let length = file.read_at(&mut bytes, 0)?;
            bytes.truncate(length);
            io::Result::Ok(String::from_utf8_lossy(&bytes).into_owned())
        };
        Ok(read(&self.files.stdout)? + &read(&self.files.stderr)?)
    }
}

impl Drop for ChildProcess {
    fn drop(&mut self) {
        // Both fail only if the program has ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// stdin, stdout and stderr of a child.
#[derive(Debug)]
struct Files {
    input: File,
    stdout: File,
    stderr: File,
}

impl Files {
    fn new(input: &str) -> io::Result<Self> {
        let file = |name| rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC).map(File::from);
        let mut files = Self {
            input: file("input")?,
            stdout: file("stdout")?,
            stderr: file("stderr")?,
        };
        files.input.write_all(input.as_bytes())?;
        files.input.rewind()?;
        Ok(files)
    }

    fn command(&self, path: &Path, args: &[&str]) -> io::Result<Command> {
        let mut command = Command::new(path);
        command.args(args).current_dir("/");
        // The caller's environment must not change what these programs do.
        command.env_clear();
        command
            .env("PATH", paths::PROGRAMS.join(":"))
            .env("LC_ALL", "C");
        command.stdin(self.input.try_clone()?);
        command.stdout(self.stdout.try_clone()?);
        command.stderr(self.stderr.try_clone()?);
        kill_with_parent(&mut command);
        Ok(command)
    }

    fn read(mut self, status: ExitStatus) -> io::Result<Output> {
        Ok(Output {
            status,
            stdout: text(&mut self.stdout)?,
            stderr: text(&mut self.stderr)?,
        })
    }
}

fn text(file: &mut File) -> io::Result<String> {
    file.rewind()?;
    let mut bytes = Vec::new();
    file.take(MAX_OUTPUT).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Makes the kernel kill the child when this thread ends, even by SIGKILL.
#[allow(unsafe_code)]
fn kill_with_parent(command: &mut Command) {
    let end = || {
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        Ok(())
    };
    // SAFETY: between fork and exec the closure makes one system call, prctl(2). It allocates
    // nothing and takes no lock.
    unsafe { command.pre_exec(end) };
}

/// Waits for the child's end; false if the deadline comes first.
fn has_ended_by(child: &Child, deadline: Deadline) -> io::Result<bool> {
    let pidfd = rustix::process::pidfd_open(Pid::from_child(child), PidfdFlags::empty())?;
    loop {
        let left = Timespec::try_from(deadline.left()).unwrap_or_default();
        let mut fds = [PollFd::new(&pidfd, PollFlags::IN)];
        match rustix::event::poll(&mut fds, Some(&left)) {
            Ok(ready) => return Ok(ready > 0),
            Err(rustix::io::Errno::INTR) => {}
            Err(why) => return Err(why.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    const SH: Program = Program {
        name: "sh",
        package: "dash",
    };

    fn soon() -> Deadline {
        Deadline::after(Duration::from_secs(5))
    }

    #[test]
    fn all_that_a_program_says_comes_back() {
        let big = "x".repeat(300_000);
        let output = SH
            .run(&["-c", "cat; echo oops >&2; exit 3"], &big, soon())
            .unwrap();
        assert_eq!(output.status.code(), Some(3));
        assert_eq!(output.stdout, big);
        assert_eq!(output.stderr, "oops\n");
        let error = SH.run_checked(&["-c", "echo a >&2; echo b >&2; exit 1"], "", soon());
        assert_eq!(
            error.unwrap_err().to_string(),
            "sh -c echo a >&2; echo b >&2; exit 1 failed: a | b"
        );
    }

    #[test]
    fn a_program_gets_a_clean_environment() {
        let out = SH.run_checked(&["-c", "pwd; env | grep -c CARGO"], "", soon());
        assert!(
            matches!(out, Err(Error::Failed { .. })),
            "grep counts 0 and fails"
        );
    }

    #[test]
    fn a_program_that_hangs_is_ended_at_the_deadline() {
        let start = Instant::now();
        let deadline = Deadline::after(Duration::from_millis(100));
        let error = SH.run(&["-c", "exec sleep 1000"], "", deadline);
        assert!(matches!(error, Err(Error::TimedOut { .. })));
        assert!(start.elapsed() < Duration::from_secs(5));
    }

    #[test]
    fn a_program_that_is_not_there_is_named_with_its_package() {
        let none = Program {
            name: "no-such-program",
            package: "some-package",
        };
        let text = none.run(&[], "", soon()).err().unwrap().to_string();
        assert!(
            text.contains("no-such-program") && text.contains("some-package"),
            "{text}"
        );
    }
}
