//! Advisory file locks that the kernel releases when their holder dies (`flock(2)`).

use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Error;
use super::dirs::create_private;
use super::file::read_bounded;
use crate::progress::Cx;

/// How often a waiting process looks again. Short, because a person waits; long enough to cost nothing.
const POLL: Duration = Duration::from_millis(50);

/// How often the lock's folder may be removed while we open the lock. Once is rare.
const REMOVALS: u32 = 100;

/// A lock file's content is a line of ours.
const HOLDER_LIMIT: u64 = 4096;

/// Who holds a lock, as far as the lock file tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder(String);

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "another process" } else { &self.0 })
    }
}

/// An exclusive or shared lock, held until dropped.
#[derive(Debug)]
pub struct Lock {
    file: File,
    path: PathBuf,
}

impl Lock {
    /// Takes the lock at `path` for the command `purpose` ("up"); waits for another holder and says so once, or fails
    /// with [`Error::Locked`] when `wait` is false. `what` names the thing that is locked, for people.
    pub fn exclusive(cx: &Cx, path: &Path, what: &str, purpose: &str, wait: bool) -> Result<Self, Error> {
        let note = || format!("{what} is in use by {}; waiting for it to end", Self::holder(path));
        let attempt = || match Self::try_exclusive(path, purpose)? {
            None if !wait => Err(Error::Locked { what: what.into(), holder: Self::holder(path) }),
            lock => Ok(lock),
        };
        awaited(cx, note, attempt)
    }

    /// Takes the lock on a file that is there for something else: it is neither made nor written. Waits for another holder
    /// and says `note` once.
    pub fn on(cx: &Cx, path: &Path, note: &str) -> Result<Self, Error> {
        let file = File::open(path).map_err(|e| Error::io("open", path, e))?;
        let attempt = || match file.try_lock() {
            Ok(()) => Ok(Some(())),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(e)) => Err(Error::io("lock", path, e)),
        };
        awaited(cx, || note.to_owned(), attempt)?;
        Ok(Self { file, path: path.into() })
    }

    /// Takes the lock if nobody has it.
    pub fn try_exclusive(path: &Path, purpose: &str) -> Result<Option<Self>, Error> {
        let mut tries = 0;
        loop {
            let file = open(path)?;
            match file.try_lock() {
                Ok(()) => {}
                // A reader that asks `is_held` has it for microseconds.
                Err(TryLockError::WouldBlock) if tries < 3 => {
                    tries += 1;
                    std::thread::sleep(Duration::from_millis(3));
                    continue;
                }
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(e)) => return Err(Error::io("lock", path, e)),
            }
            // The former holder may have removed the file between our opening and our locking it: then our lock
            // guards nothing.
            if is_current(&file, path) {
                let mut lock = Self { file, path: path.into() };
                // The name is for people who wait. A full disk must not keep `destroy` from making room on it.
                drop(lock.sign(purpose));
                return Ok(Some(lock));
            }
        }
    }

    /// Takes a lock that any number of holders share and that excludes an exclusive one; waits without a word.
    pub fn shared(cx: &Cx, path: &Path) -> Result<Self, Error> {
        loop {
            let file = open(path)?;
            match file.try_lock_shared() {
                Ok(()) if is_current(&file, path) => return Ok(Self { file, path: path.into() }),
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => cx.sleep(POLL)?,
                Err(TryLockError::Error(e)) => return Err(Error::io("lock", path, e)),
            }
        }
    }

    /// Whether somebody holds the lock exclusively. Never creates the file, never waits.
    pub fn is_held(path: &Path) -> bool {
        File::open(path).is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }

    /// Who holds the lock at `path`, as its file tells.
    pub fn holder(path: &Path) -> Holder {
        let text = read_bounded(path, HOLDER_LIMIT).ok().flatten().unwrap_or_default();
        Holder(String::from_utf8_lossy(&text).trim().chars().filter(|c| !c.is_control()).collect())
    }

    /// The locked file: a child that inherits it keeps the lock until it ends.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Removes the lock file and releases the lock.
    pub fn remove(self) -> Result<(), Error> {
        super::remove_file(&self.path)
    }

    fn sign(&mut self, purpose: &str) -> io::Result<()> {
        let text = format!("`vbox-rs {purpose}` (process {})\n", std::process::id());
        self.file.set_len(0)?;
        self.file.rewind()?;
        self.file.write_all(text.as_bytes())
    }
}

/// Tries until it succeeds; the first time that it does not, `note` is said.
fn awaited<T>(
    cx: &Cx,
    note: impl Fn() -> String,
    mut attempt: impl FnMut() -> Result<Option<T>, Error>,
) -> Result<T, Error> {
    let mut told = false;
    loop {
        if let Some(done) = attempt()? {
            return Ok(done);
        }
        if !told {
            cx.note(note());
            told = true;
        }
        cx.sleep(POLL)?;
    }
}

fn open(path: &Path) -> Result<File, Error> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let mut tries = 0;
    loop {
        match path.parent().map_or(Ok(()), create_private) {
            // A holder that removes its lock removes the folder too, and may do so between our steps.
            Err(Error::Io { source, .. }) if vanished(&source) && tries < REMOVALS => {}
            Err(error) => return Err(error),
            Ok(()) => match options.open(path) {
                Err(e) if vanished(&e) && tries < REMOVALS => {}
                result => return result.map_err(|e| Error::io("open", path, e)),
            },
        }
        tries += 1;
    }
}

/// What a folder that goes away looks like; making one that was there a moment ago fails with `AlreadyExists`.
fn vanished(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::AlreadyExists)
}

fn is_current(file: &File, path: &Path) -> bool {
    match (file.metadata(), path.metadata()) {
        (Ok(ours), Ok(there)) => ours.ino() == there.ino() && ours.dev() == there.dev(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holder_at_a_time_who_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        assert!(!Lock::is_held(&path));
        let lock = Lock::try_exclusive(&path, "up").unwrap().unwrap();
        assert!(Lock::is_held(&path));
        let refused = Lock::exclusive(&Cx::silent(), &path, "machine `web`", "halt", false).unwrap_err();
        assert_eq!(
            refused.to_string(),
            format!("machine `web` is in use by `vbox-rs up` (process {})", std::process::id())
        );
        drop(lock);
        assert!(!Lock::is_held(&path));
        assert!(Lock::try_exclusive(&path, "halt").unwrap().is_some());
    }

    #[test]
    fn a_lock_whose_file_was_removed_guards_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let first = Lock::try_exclusive(&path, "destroy").unwrap().unwrap();
        first.remove().unwrap();
        assert!(!path.exists());
        assert!(Lock::try_exclusive(&path, "up").unwrap().is_some());
        assert!(path.exists());
    }

    #[test]
    fn a_folder_that_goes_away_while_its_lock_is_taken_is_made_again() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("machine");
        let path = folder.join("lock");
        let take_and_remove = || {
            for _ in 0..60 {
                if let Some(lock) = Lock::try_exclusive(&path, "destroy").unwrap() {
                    lock.remove().unwrap();
                    drop(std::fs::remove_dir(&folder));
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(take_and_remove);
            }
        });
    }

    #[test]
    fn shared_holders_exclude_an_exclusive_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let a = Lock::shared(&Cx::silent(), &path).unwrap();
        let b = Lock::shared(&Cx::silent(), &path).unwrap();
        assert!(Lock::try_exclusive(&path, "box remove").unwrap().is_none());
        drop((a, b));
        assert!(Lock::try_exclusive(&path, "box remove").unwrap().is_some());
    }
}
