//! A network namespace of our own, without a name: the kernel takes it away, with every
//! interface in it, once nobody holds it any more, however we end.

use std::{fs::File, io, os::fd::AsFd, thread};

use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};

use crate::{Error, Result};

/// The namespace of the thread that reads it.
const MINE: &str = "/proc/thread-self/ns/net";

/// It, as long as this is held.
#[derive(Debug)]
pub struct Namespace(File);

impl Namespace {
    /// An empty one, with a loopback interface that is down.
    pub fn new() -> Result<Self> {
        // Only the calling thread moves, and that one ends at once.
        let made = on_a_thread(|| {
            unshare()?;
            File::open(MINE)
        });
        Ok(Self(made?.map_err(failed)?))
    }

    /// Does something in it: sockets that it makes and programs that it runs are there.
    pub fn run<T: Send>(&self, inside: impl FnOnce() -> T + Send) -> Result<T> {
        on_a_thread(|| {
            move_into_link_name_space(self.0.as_fd(), Some(LinkNameSpaceType::Network))
                .map_err(|why| failed(why.into()))?;
            Ok(inside())
        })?
    }

    /// What says to the kernel which one it is.
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
    // SAFETY: CLONE_NEWNET concerns no memory and no file descriptor of this process.
    Ok(unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET) }?)
}
