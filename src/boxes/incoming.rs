//! Folders of boxes that are not in the library yet, and of removals that have begun.
//!
//! Each is locked by the process that works in it. One whose lock is free belongs to a command that was killed: it is the
//! sign that there may be something to sweep.

use std::fs;
use std::path::{Path, PathBuf};

use super::error::Error;
use crate::store::{Lock, MachineId, create_private, remove_dir};

/// The lock file's name in the folder.
pub(super) const LOCK: &str = "lock";

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

/// The lock of a folder whose command is dead. The caller holds the library's lock.
pub(super) fn dead(dir: &Path) -> Result<Option<Lock>, Error> {
    Ok(Lock::try_exclusive(&dir.join(LOCK), "box sweep")?)
}
