//! Tells that libvirt has written or removed the status file of a network (libvirt,
//! src/network/bridge_driver.c: at the end of each start and update, at the beginning of each
//! stop, and at each start of the daemon).

use std::{
    io,
    os::fd::{AsRawFd, OwnedFd, RawFd},
    path::Path,
};

use rustix::{
    fs::inotify::{self, CreateFlags, WatchFlags},
    io::Errno,
};
use virt_forward_core::paths;

/// Listens.
pub(super) struct StatusFiles {
    events: OwnedFd,
    /// libvirt has not made the folder yet: listening to those above it.
    is_waiting: bool,
}

impl StatusFiles {
    /// From now on, also if libvirt has never run here.
    pub(super) fn listen() -> io::Result<Self> {
        let events = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        let mut files = Self {
            events,
            is_waiting: true,
        };
        files.look_closer()?;
        Ok(files)
    }

    /// Takes what came.
    pub(super) fn drain(&mut self) -> io::Result<()> {
        let mut events = [0; 4096];
        loop {
            match rustix::io::read(&self.events, &mut events) {
                Ok(0) | Err(Errno::AGAIN) => break,
                Ok(_) | Err(Errno::INTR) => {}
                Err(why) => return Err(why.into()),
            }
        }
        match self.is_waiting {
            true => self.look_closer(),
            false => Ok(()),
        }
    }

    /// The folder, or the lowest above it that is there.
    fn look_closer(&mut self) -> io::Result<()> {
        let files = WatchFlags::MOVED_TO | WatchFlags::CLOSE_WRITE | WatchFlags::DELETE;
        let folder = Path::new(paths::LIBVIRT_STATUS);
        if self.add(folder, files)? {
            self.is_waiting = false;
            return Ok(());
        }
        for above in folder.ancestors().skip(1) {
            // It may have come between the two.
            if self.add(above, WatchFlags::CREATE)? {
                self.is_waiting = !self.add(folder, files)?;
                return Ok(());
            }
        }
        Ok(())
    }

    fn add(&self, folder: &Path, flags: WatchFlags) -> io::Result<bool> {
        match inotify::add_watch(&self.events, folder, flags) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(why) => Err(why.into()),
        }
    }
}

impl AsRawFd for StatusFiles {
    fn as_raw_fd(&self) -> RawFd {
        self.events.as_raw_fd()
    }
}
