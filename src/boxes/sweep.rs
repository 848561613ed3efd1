//! Removes what killed commands left, and files that nothing needs any more. Never a file that a manifest names, nor one
//! that a machine may stand on.

use std::collections::BTreeSet;
use std::fs::{self, DirEntry};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::Error;
use super::checksum::is_sha256;
use super::incoming;
use super::library::{Library, Listing};
use super::manifest::digest_of;
use super::needs::Needs;
use crate::progress::Cx;
use crate::store::{self, Lock, remove_dir, remove_file, write_atomic};

/// A file of the library's folders.
#[derive(Debug)]
pub(super) struct Stored {
    pub name: String,
    pub path: PathBuf,
    /// What it takes on the disk.
    pub size: u64,
}

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
    /// `needs` is asked while nobody can [`Library::hold`] a box. Returns the bytes that became free.
    pub fn release(&self, cx: &Cx, needs: &dyn Fn() -> Result<Needs, store::Error>) -> Result<u64, Error> {
        if names(&self.kept()).is_empty() {
            return Ok(0);
        }
        let _lock = self.lock(cx, "box sweep", true)?;
        self.drop_marks(&needs()?)?;
        self.remove_unneeded()
    }

    /// Removes the marks of files that no machine needs any more. A record that cannot be read may need any of them.
    pub(super) fn drop_marks(&self, needs: &Needs) -> Result<(), Error> {
        if !needs.unreadable.is_empty() {
            return Ok(());
        }
        let kept = self.kept();
        let idle = |name: &String| needs.machines(digest_of(name)).is_empty();
        names(&kept).iter().filter(|name| idle(name)).try_for_each(|name| Ok(remove_file(&kept.join(name))?))
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
        let kept: BTreeSet<String> = names(&self.kept()).iter().map(|name| digest_of(name).to_owned()).collect();
        let mut freed = 0;
        for file in self.unneeded(&listing, &|digest| kept.contains(digest)) {
            remove_file(&file.path)?;
            freed += file.size;
        }
        Ok(freed)
    }

    /// Content that no manifest of `listing` names and that is not `wanted` either, and what was converted from such
    /// content. Files that the library did not name are nobody's business here.
    pub(super) fn unneeded(&self, listing: &Listing, wanted: &dyn Fn(&str) -> bool) -> Vec<Stored> {
        let files: BTreeSet<String> = listing.boxes.iter().flat_map(|installed| installed.manifest.files()).collect();
        let digests: BTreeSet<&str> = files.iter().map(|file| digest_of(file)).collect();
        let idle = |file: &Stored| {
            let digest = digest_of(&file.name);
            is_sha256(digest) && !wanted(digest)
        };
        let disks = stored(&self.disks()).into_iter().filter(|file| idle(file) && !files.contains(&file.name));
        let converted = stored(&self.converted()).into_iter();
        disks.chain(converted.filter(|file| idle(file) && !digests.contains(digest_of(&file.name)))).collect()
    }

    /// The library's lock: whoever adds or removes files or manifests holds it, for moments only.
    pub(super) fn lock(&self, cx: &Cx, purpose: &str, wait: bool) -> Result<Lock, Error> {
        Ok(Lock::exclusive(cx, &self.lock_path(), "the box library", purpose, wait)?)
    }
}

/// Names of what is in a folder; none when it is not there.
pub(super) fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

/// What is in a folder, with what it takes on the disk.
pub(super) fn stored(dir: &Path) -> Vec<Stored> {
    let file = |entry: DirEntry| {
        let size = entry.metadata().map_or(0, |about| on_disk(&about));
        Some(Stored { name: entry.file_name().into_string().ok()?, path: entry.path(), size })
    };
    fs::read_dir(dir).into_iter().flatten().flatten().filter_map(file).collect()
}

/// Bytes that a file takes, without its holes (`stat(2)` counts in units of 512).
pub(super) fn on_disk(about: &fs::Metadata) -> u64 {
    about.blocks() * 512
}
