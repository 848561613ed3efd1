//! Removes what killed commands left, and files that nothing needs any more. Never a file that a manifest names, nor one
//! that a machine may stand on.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use super::Error;
use super::incoming;
use super::library::Library;
use crate::progress::Cx;
use crate::store::{Lock, remove_dir, remove_file, write_atomic};

impl Library {
    /// Removes what killed commands left. Costs one look into a folder when there is nothing.
    pub fn sweep(&self, cx: &Cx) -> Result<(), Error> {
        if incoming::all(&self.incoming()).is_empty() {
            return Ok(());
        }
        let _lock = self.lock(cx, "box sweep", true)?;
        let mut dead = Vec::new();
        for dir in incoming::all(&self.incoming()) {
            dead.extend(incoming::dead(&dir)?.map(|lock| (dir, lock)));
        }
        if dead.is_empty() {
            return Ok(());
        }
        // The folders go last: while one is there, the next command sweeps again.
        self.remove_unneeded()?;
        for (dir, _lock) in dead {
            remove_dir(&dir)?;
        }
        Ok(())
    }

    /// Gives up the files that were kept for machines (see [`Library::remove`]) and that none of them uses any more.
    /// `in_use` is asked with a file's SHA-256. Returns the bytes that became free.
    pub fn release(&self, cx: &Cx, in_use: &dyn Fn(&str) -> bool) -> Result<u64, Error> {
        if names(&self.kept()).is_empty() {
            return Ok(0);
        }
        let _lock = self.lock(cx, "box sweep", true)?;
        for name in names(&self.kept()) {
            let digest = name.split('.').next().unwrap_or_default();
            if !in_use(digest) {
                remove_file(&self.kept().join(&name))?;
            }
        }
        self.remove_unneeded()
    }

    /// Marks files as needed by machines, whatever becomes of their manifest.
    pub(super) fn keep(&self, files: &[String]) -> Result<(), Error> {
        for name in files {
            write_atomic(&self.kept().join(name), b"", 0o600)?;
        }
        Ok(())
    }

    /// Removes files that no manifest names and that are not kept. The caller holds the library's lock, under which
    /// `add` puts files and manifest into place. Nothing is removed while a manifest cannot be read: it may name any.
    pub(super) fn remove_unneeded(&self) -> Result<u64, Error> {
        let listing = self.list()?;
        if !listing.damaged.is_empty() {
            return Ok(0);
        }
        let mut needed: BTreeSet<String> =
            listing.boxes.iter().flat_map(|installed| installed.manifest.files()).collect();
        needed.extend(names(&self.kept()));
        let mut freed = 0;
        for name in names(&self.disks()).into_iter().filter(|name| !needed.contains(name)) {
            let path = self.disks().join(name);
            freed += fs::symlink_metadata(&path).map_or(0, |metadata| metadata.len());
            remove_file(&path)?;
        }
        // A converted disk is needed as long as the one that it was made of.
        let digest = |name: &str| name.split('.').next().unwrap_or_default().to_owned();
        let sources: BTreeSet<_> = needed.iter().map(|name| digest(name)).collect();
        for name in names(&self.converted()).into_iter().filter(|name| !sources.contains(&digest(name))) {
            let path = self.converted().join(name);
            freed += fs::symlink_metadata(&path).map_or(0, |metadata| metadata.len());
            remove_file(&path)?;
        }
        Ok(freed)
    }

    /// The library's lock: whoever adds or removes files or manifests holds it, for moments only.
    pub(super) fn lock(&self, cx: &Cx, purpose: &str, wait: bool) -> Result<Lock, Error> {
        Ok(Lock::exclusive(cx, &self.lock_path(), "the box library", purpose, wait)?)
    }
}

fn names(dir: &PathBuf) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}
