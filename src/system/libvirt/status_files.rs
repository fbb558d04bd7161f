//! Notifications that libvirt wrote or removed the status file of a network. libvirt does so at the
//! end of each start and update, at the beginning of each stop, and at each start of the daemon
//! (src/network/bridge_driver.c).

use std::{
    io,
    os::fd::{AsRawFd, OwnedFd, RawFd},
    path::{Path, PathBuf},
};

use crate::paths;
use rustix::{
    fs::inotify::{self, CreateFlags, WatchFlags},
    io::Errno,
};

/// The maximum number of reads in one call.
const AT_ONCE: usize = 256;

/// Events in the directory, and that it was moved. The kernel reports the end of a watch by itself,
/// but not a move.
const FILES: WatchFlags = WatchFlags::MOVED_TO
    .union(WatchFlags::CLOSE_WRITE)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::MOVE_SELF);

/// Events in a parent directory while the directory does not exist.
const FOLDERS: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::MOVE_SELF);

/// An inotify descriptor.
pub struct StatusFiles {
    events: OwnedFd,
    folder: PathBuf,
    /// The watch on a parent directory while the directory does not exist.
    above: Option<i32>,
}

impl StatusFiles {
    /// Subscribes, even if libvirt has never run on this host.
    pub fn listen() -> io::Result<Self> {
        Self::of(Path::new(paths::LIBVIRT_STATUS))
    }

    fn of(folder: &Path) -> io::Result<Self> {
        let events = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        let mut files = Self {
            events,
            folder: folder.to_owned(),
            above: None,
        };
        files.follow()?;
        Ok(files)
    }

    /// Takes pending events without waiting, as a [`Source`] does. Neither their content nor an
    /// overflow of the kernel's queue, which is an event, too, matters: the caller reads the
    /// directory itself.
    ///
    /// [`Source`]: crate::netlink::monitor::Source
    pub fn take(&mut self) -> io::Result<Option<()>> {
        let mut events = [0; 4096];
        let mut is_any = false;
        for _ in 0..AT_ONCE {
            match rustix::io::read(&self.events, &mut events) {
                Ok(0) | Err(Errno::AGAIN) => break,
                Ok(_) => is_any = true,
                Err(Errno::INTR) => {}
                Err(why) => return Err(why.into()),
            }
        }
        if is_any {
            // A watch ends with its directory, which may have been replaced.
            self.follow()?;
        }
        Ok(is_any.then_some(()))
    }

    /// Watches the directory, or its nearest existing parent.
    fn follow(&mut self) -> io::Result<()> {
        // A directory created before its parent was watched caused no event, so repeat until the
        // nearest existing directory is watched and still the nearest.
        let mut lowest = self.watch_lowest()?;
        loop {
            let again = self.watch_lowest()?;
            if again == lowest {
                break;
            }
            lowest = again;
        }
        let (depth, watch) = lowest;
        let above = (depth > 0).then_some(watch);
        if let Some(known) = self.above.filter(|known| Some(*known) != above) {
            // The watch may have ended by itself.
            let _ = inotify::remove_watch(&self.events, known);
        }
        self.above = above;
        Ok(())
    }

    /// Watches the nearest existing directory. Returns how many levels above the wanted one it is,
    /// and the watch.
    fn watch_lowest(&self) -> io::Result<(usize, i32)> {
        for (depth, folder) in self.folder.ancestors().enumerate() {
            let flags = if depth == 0 { FILES } else { FOLDERS };
            match inotify::add_watch(&self.events, folder, flags) {
                Ok(watch) => return Ok((depth, watch)),
                Err(Errno::NOENT | Errno::NOTDIR) => {}
                Err(why) => return Err(why.into()),
            }
        }
        Err(Errno::NOENT.into())
    }
}

impl AsRawFd for StatusFiles {
    fn as_raw_fd(&self) -> RawFd {
        self.events.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn write(folder: &Path) {
        fs::write(folder.join("kube02.xml"), "").unwrap();
    }

    fn rest(files: &mut StatusFiles) {
        while files.take().unwrap().is_some() {}
    }

    #[test]
    fn a_folder_that_comes_goes_and_comes_again_is_followed() {
        let root = std::env::temp_dir().join(format!("virt-forward-{}", std::process::id()));
        let folder = root.join("libvirt/network");
        fs::create_dir_all(&root).unwrap();
        let mut files = StatusFiles::of(&folder).unwrap();
        assert!(files.take().unwrap().is_none());
        for _ in 0..3 {
            fs::create_dir(root.join("libvirt")).unwrap();
            assert!(files.take().unwrap().is_some());
            fs::create_dir(&folder).unwrap();
            assert!(files.take().unwrap().is_some());
            rest(&mut files);
            write(&folder);
            assert!(files.take().unwrap().is_some());
            assert!(files.take().unwrap().is_none());
            fs::remove_dir_all(root.join("libvirt")).unwrap();
            assert!(files.take().unwrap().is_some());
            rest(&mut files);
        }
        // Moved away and replaced.
        fs::create_dir_all(&folder).unwrap();
        rest(&mut files);
        fs::rename(&folder, root.join("old")).unwrap();
        assert!(files.take().unwrap().is_some());
        rest(&mut files);
        fs::create_dir(&folder).unwrap();
        rest(&mut files);
        write(&folder);
        assert!(files.take().unwrap().is_some());
        fs::remove_dir_all(&root).unwrap();
    }

    #[test]
    fn a_queue_that_overflowed_is_emptied_and_heard_again() {
        let folder = std::env::temp_dir().join(format!("virt-forward-q-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let mut files = StatusFiles::of(&folder).unwrap();
        let most = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
        // Alternate two names, because inotify merges equal consecutive events.
        for count in 0..most.trim().parse::<usize>().unwrap() {
            fs::write(folder.join((count % 2).to_string()), "").unwrap();
        }
        write(&folder);
        rest(&mut files);
        write(&folder);
        assert!(files.take().unwrap().is_some());
        assert!(files.take().unwrap().is_none());
        fs::remove_dir_all(&folder).unwrap();
    }
}
