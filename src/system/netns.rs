//! A network namespace without a name. The kernel deletes it, with every interface in it, when the
//! last descriptor is closed, however this program ends.

use std::{fs::File, io, os::fd::AsFd, thread};

use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};

use crate::{Error, Result};

/// The network namespace of the thread that opens it.
const MINE: &str = "/proc/thread-self/ns/net";

/// A network namespace, which exists as long as this value.
#[derive(Debug)]
pub struct Namespace(File);

impl Namespace {
    /// Creates a namespace that holds only a loopback interface, which is down.
    pub fn new() -> Result<Self> {
        // unshare(2) affects only the calling thread, which ends at once.
        let made = on_a_thread(|| {
            unshare()?;
            File::open(MINE)
        });
        Ok(Self(made?.map_err(failed)?))
    }

    /// Runs a closure in the namespace: its sockets and child processes belong to it.
    pub fn run<T: Send>(&self, inside: impl FnOnce() -> T + Send) -> Result<T> {
        on_a_thread(|| {
            move_into_link_name_space(self.0.as_fd(), Some(LinkNameSpaceType::Network))
                .map_err(|why| failed(why.into()))?;
            Ok(inside())
        })?
    }

    /// The descriptor that identifies the namespace to the kernel.
    pub fn as_file(&self) -> &File {
        &self.0
    }
}

fn on_a_thread<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T> {
    thread::scope(|scope| {
        let ended = || failed(io::Error::other("the thread ended"));
        scope.spawn(work).join().map_err(|_| ended())
    })
}

fn failed(why: io::Error) -> Error {
    Error::Failed {
        what: "making a network namespace".to_owned(),
        stderr: why.to_string(),
    }
}

#[allow(unsafe_code)]
fn unshare() -> io::Result<()> {
    // SAFETY: CLONE_NEWNET affects neither memory nor file descriptors of this process.
    Ok(unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET) }?)
}
