//! Folders of boxes that are not in the library yet, and of removals that have begun.
//!
//! Each is locked by the process that works in it. One whose lock is free belongs to a command that was killed: it is the
//! sign that there may be something to sweep.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::error::Error;
use super::manifest::digest_of;
use crate::store::{Lock, MachineId, create_private, read_bounded, remove_dir, write_atomic};

/// The lock file's name in the folder.
pub(super) const LOCK: &str = "lock";

/// Names the content that goes, or does not stay, when the command is killed.
const INTENT: &str = "intent";

/// Lines of an intent are file names: a box has a few.
const INTENT_LIMIT: u64 = 1 << 20;

/// A folder of our own; removed with all in it when dropped.
pub(super) struct Incoming {
    dir: PathBuf,
    _lock: Lock,
}

impl Incoming {
    /// Makes one in `parent`. The caller holds the library's lock: nobody sweeps between making and locking it.
    pub fn create(parent: &Path, purpose: &str) -> Result<Self, Error> {
        let id = MachineId::random().map_err(|e| Error::io("create", parent, e))?;
        let dir = parent.join(id.to_string());
        create_private(&dir)?;
        match Lock::try_exclusive(&dir.join(LOCK), purpose) {
            Ok(Some(lock)) => Ok(Self { dir, _lock: lock }),
            other => {
                remove_dir(&dir)?;
                other?;
                Err(Error::io("lock", &dir, std::io::ErrorKind::WouldBlock.into()))
            }
        }
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Records which files of the library this command is about to bring or to give up. Should it be killed, a sweep
    /// removes those of them that nothing needs, and no others: a machine may stand on a disk that no manifest names.
    pub fn intend(&self, files: &[String]) -> Result<(), Error> {
        Ok(write_atomic(&self.dir.join(INTENT), files.join("\n").as_bytes(), 0o600)?)
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        // What stays is swept by the next command.
        let _ = remove_dir(&self.dir);
    }
}

/// Folders in `parent`, whoever they belong to.
pub(super) fn all(parent: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}

/// The SHA-256 of the files that a killed command was about to bring or to give up.
pub(super) fn intended(dir: &Path) -> Result<BTreeSet<String>, Error> {
    let text = read_bounded(&dir.join(INTENT), INTENT_LIMIT)?.unwrap_or_default();
    Ok(String::from_utf8_lossy(&text).lines().map(|name| digest_of(name).to_owned()).collect())
}

/// The lock of a folder whose command is dead. The caller holds the library's lock.
pub(super) fn dead(dir: &Path) -> Result<Option<Lock>, Error> {
    Ok(Lock::try_exclusive(&dir.join(LOCK), "box sweep")?)
}
