//! Running a program, so that nothing of it is lost and nothing of it stays.
//!
//! Its input and output are files in memory, not pipes: nothing can block on a full pipe,
//! and libvirtd, which waits for the end of the hook's own stdout and stderr, never waits
//! for a child's.

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

/// Longest output that is read back, in bytes: what is beyond is somebody's huge ruleset.
const MOST_OUTPUT: u64 = 64 * 1024 * 1024;

/// A program that we need, by its name and the package it comes in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Program {
    pub(crate) name: &'static str,
    pub(crate) package: &'static str,
}

/// What a program that has ended leaves.
pub(crate) struct Output {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Program {
    /// Runs it to its end or to the deadline, whichever is first; then it is killed.
    pub(crate) fn run(self, args: &[&str], input: &str, deadline: Deadline) -> Result<Output> {
        run(&self.path()?, args, input, deadline).map_err(|error| match error {
            Error::TooSlow { .. } => Error::TooSlow {
                what: self.command(args),
            },
            other => other,
        })
    }

    /// As [`Program::run`], for a program that has to succeed; its stdout.
    pub(crate) fn demand(self, args: &[&str], input: &str, deadline: Deadline) -> Result<String> {
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

    /// Runs it and leaves it waiting for what it is told.
    pub(crate) fn hold(self, args: &[&str]) -> Result<Held> {
        let path = self.path()?;
        let failed = |why| Error::Run {
            program: path.clone(),
            why,
        };
        let files = Files::new("").map_err(failed)?;
        let mut command = files.command(&path, args).map_err(failed)?;
        // It would leave what it was told in a file of its home, once its input ends.
        command.stdin(Stdio::piped()).env("HOME", "/dev/null");
        let mut child = command.spawn().map_err(failed)?;
        let input = child.stdin.take();
        Ok(Held {
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
    pub(crate) fn is_there(self) -> bool {
        self.found().is_some()
    }

    fn path(self) -> Result<PathBuf> {
        self.found().ok_or(Error::NoProgram {
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

/// Runs the program at `path`, as [`Program::run`] does.
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
    if !ended(&child, deadline).map_err(failed)? {
        // Both can only fail if it has ended by itself just now.
        let _ = child.kill();
        let _ = child.wait();
        return Err(Error::TooSlow {
            what: path.display().to_string(),
        });
    }
    let status = child.wait().map_err(failed)?;
    files.read(status).map_err(failed)
}

/// A program that runs until this is dropped; then it is killed. It ends with the thread that
/// started it.
#[derive(Debug)]
pub(crate) struct Held {
    child: Child,
    input: Option<ChildStdin>,
    files: Files,
}

impl Held {
    /// Tells it something.
    pub(crate) fn tell(&mut self, text: &str) -> io::Result<()> {
        match &mut self.input {
            Some(input) => input.write_all(text.as_bytes()),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    /// All that it has said so far.
    pub(crate) fn said(&mut self) -> io::Result<String> {
        // Not the file's own position, which the child writes at.
        let read = |file: &File| {
            let mut bytes = vec![0; 64 * 1024];
            let length = file.read_at(&mut bytes, 0)?;
            bytes.truncate(length);
            io::Result::Ok(String::from_utf8_lossy(&bytes).into_owned())
        };
        Ok(read(&self.files.stdout)? + &read(&self.files.stderr)?)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // Both can only fail if it has ended by itself.
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
        // Nothing that our caller's environment holds may change what these programs do.
        command.env_clear();
        command
            .env("PATH", paths::PROGRAMS.join(":"))
            .env("LC_ALL", "C");
        command.stdin(self.input.try_clone()?);
        command.stdout(self.stdout.try_clone()?);
        command.stderr(self.stderr.try_clone()?);
        end_with_us(&mut command);
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
    file.take(MOST_OUTPUT).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// A child must not outlive us, even where we are killed with SIGKILL.
#[allow(unsafe_code)]
fn end_with_us(command: &mut Command) {
    let end = || {
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        Ok(())
    };
    // SAFETY: between fork and exec only one system call is made, prctl(2): it allocates
    // nothing and takes no lock.
    unsafe { command.pre_exec(end) };
}

/// Waits until the child ends; false where the deadline comes first.
fn ended(child: &Child, deadline: Deadline) -> io::Result<bool> {
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
        let error = SH.demand(&["-c", "echo a >&2; echo b >&2; exit 1"], "", soon());
        assert_eq!(
            error.unwrap_err().to_string(),
            "sh -c echo a >&2; echo b >&2; exit 1 failed: a | b"
        );
    }

    #[test]
    fn a_program_gets_a_clean_environment() {
        let out = SH.demand(&["-c", "pwd; env | grep -c CARGO"], "", soon());
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
        assert!(matches!(error, Err(Error::TooSlow { .. })));
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
