//! The lock of the state folder.

use std::{
    fs::{self, File, OpenOptions},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::Path,
    thread,
    time::Duration,
};

use rustix::fs::FlockOperation;

use super::store::{LOCK, Store, make};
use crate::{Error, Result, deadline::Deadline};

/// The interval of attempts: flock(2) has no timeout, and a run takes some 10 ms.
const PAUSE: Duration = Duration::from_millis(2);

/// The lock, held until it is dropped or the process ends.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "it is held, not read")] File);

impl Lock {
    /// Waits for the lock of `store`, and creates the folder if it does not exist.
    pub fn take(store: &Store, deadline: Deadline) -> Result<Self> {
        let path = store.dir().join(LOCK);
        loop {
            // Only the folder itself: its content is created under the lock.
            make(store.dir().to_owned())?;
            if let Some(lock) = Self::attempt(&path)? {
                store.create()?;
                return Ok(lock);
            }
            if deadline.is_over() {
                return Err(Error::LockTimeout(path));
            }
            thread::sleep(PAUSE);
        }
    }

    fn attempt(path: &Path) -> Result<Option<Self>> {
        let failed = |why| Error::State {
            doing: "lock",
            path: path.to_owned(),
            why,
        };
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        options.custom_flags(libc::O_NOFOLLOW);
        let file = match options.open(path) {
            Ok(file) => file,
            // The folder was removed after it was created.
            Err(why) if why.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(why) => return Err(failed(why)),
        };
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
            Err(why) => return Err(failed(why.into())),
        }
        // The previous holder may have removed the folder. This descriptor locks an unlinked file then,
        // and another process may hold the lock of a new folder.
        let ours = file.metadata().map_err(failed)?;
        let there = fs::metadata(path);
        let same = there.is_ok_and(|there| (there.dev(), there.ino()) == (ours.dev(), ours.ino()));
        Ok(same.then_some(Self(file)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn soon() -> Deadline {
        Deadline::after(Duration::from_millis(50))
    }

    #[test]
    fn one_process_holds_the_lock_and_another_times_out() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::at(dir.path());
        let held = Lock::take(&store, soon()).unwrap();
        assert!(matches!(
            Lock::take(&store, soon()),
            Err(Error::LockTimeout(_))
        ));
        drop(held);
        Lock::take(&store, soon()).unwrap();
    }

    #[test]
    fn a_folder_that_others_wait_for_can_be_removed() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::at(dir.path().join("s"));
        let later = || Deadline::after(Duration::from_secs(60));
        let destroy_often = || {
            for _ in 0..500 {
                let _lock = Lock::take(&store, later()).unwrap();
                store.begin().unwrap();
                store.destroy().unwrap();
            }
        };
        thread::scope(|scope| {
            scope.spawn(destroy_often);
            scope.spawn(destroy_often);
        });
        assert!(!store.exists());
    }

    #[test]
    fn the_lock_of_a_removed_folder_has_no_effect() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::at(dir.path().join("s"));
        let old = Lock::take(&store, soon()).unwrap();
        store.destroy().unwrap();
        let new = Lock::take(&store, soon()).unwrap();
        drop(old);
        assert!(matches!(
            Lock::take(&store, soon()),
            Err(Error::LockTimeout(_))
        ));
        drop(new);
    }
}
