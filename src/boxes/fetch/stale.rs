//! Downloads that nobody goes on with.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::store::{self, Dirs, Lock, remove_file};

/// A download whose files nobody touched for long. All its files begin with one name (see `part`).
#[derive(Debug)]
pub(in crate::boxes) struct Abandoned {
    bytes: PathBuf,
    lock: PathBuf,
    files: Vec<PathBuf>,
    size: u64,
}

/// Downloads that were last touched longer ago than `patience`, and that no process has.
pub(in crate::boxes) fn abandoned(dirs: &Dirs, patience: Duration) -> Vec<Abandoned> {
    let mut all: BTreeMap<String, (Abandoned, SystemTime)> = BTreeMap::new();
    for entry in fs::read_dir(dirs.downloads()).into_iter().flatten().flatten() {
        let (Ok(name), Ok(about)) = (entry.file_name().into_string(), entry.metadata()) else { continue };
        let Some((id, _)) = name.split_once('.').filter(|(id, _)| !id.is_empty()) else { continue };
        let path = |ending: &str| dirs.downloads().join(format!("{id}.{ending}"));
        let fresh = || Abandoned { bytes: path("part"), lock: path("lock"), files: Vec::new(), size: 0 };
        let (one, touched) = all.entry(id.into()).or_insert_with(|| (fresh(), SystemTime::UNIX_EPOCH));
        one.size += about.blocks() * 512;
        one.files.push(entry.path());
        *touched = (*touched).max(about.modified().unwrap_or_else(|_| SystemTime::now()));
    }
    let old = |touched: &SystemTime| touched.elapsed().is_ok_and(|age| age > patience);
    let idle = all.into_values().filter(|(one, touched)| old(touched) && !Lock::is_held(&one.lock));
    idle.map(|(one, _)| one).collect()
}

impl Abandoned {
    /// Its bytes.
    pub fn path(&self) -> &Path {
        &self.bytes
    }

    /// What its files take on the disk.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Removes it, unless a process has taken it meanwhile.
    pub fn remove(self) -> Result<bool, store::Error> {
        let Some(lock) = Lock::try_exclusive(&self.lock, "box gc")? else { return Ok(false) };
        // The lock's own file goes with the lock.
        self.files.iter().filter(|file| **file != self.lock).try_for_each(|file| remove_file(file))?;
        lock.remove()?;
        Ok(true)
    }
}
