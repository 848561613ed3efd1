//! Removes what killed commands left, and files that nothing needs any more. Never a file that a manifest names, nor one
//! that a machine may stand on: a command removes only what it, or one that was killed, gave up by name.

use std::collections::BTreeSet;
use std::fs::{self, DirEntry};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::Error;
use super::checksum::is_sha256;
use super::gc::is_temporary;
use super::incoming::{self, Incoming};
use super::library::{Library, Listing};
use super::manifest::{Manifest, digest_of};
use super::needs::Needs;
use crate::progress::Cx;
use crate::store::{self, Lock, remove_dir, remove_file, write_atomic, write_record};

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
        let mut given_up = BTreeSet::new();
        for (dir, _) in &dead {
            given_up.extend(incoming::intended(dir)?);
        }
        self.remove_unneeded(&given_up)?;
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
        let needs = needs()?;
        let idle = self.idle_marks(&needs);
        if idle.is_empty() {
            return Ok(0);
        }
        let intent = Incoming::create(&self.incoming(), "box sweep")?;
        intent.intend(&idle)?;
        self.drop_marks(&needs)?;
        self.remove_unneeded(&idle.iter().map(|name| digest_of(name).to_owned()).collect())
    }

    /// Marks of files that no machine needs any more. A record that cannot be read may need any of them.
    fn idle_marks(&self, needs: &Needs) -> Vec<String> {
        let mut marks = if needs.unreadable.is_empty() { names(&self.kept()) } else { Vec::new() };
        marks.retain(|name| needs.machines(digest_of(name)).is_empty());
        marks
    }

    /// Removes the marks of files that no machine needs any more.
    pub(super) fn drop_marks(&self, needs: &Needs) -> Result<(), Error> {
        let kept = self.kept();
        self.idle_marks(needs).iter().try_for_each(|name| Ok(remove_file(&kept.join(name))?))
    }

    /// Marks files as needed by machines, whatever becomes of their manifest.
    pub(super) fn keep(&self, files: &[String]) -> Result<(), Error> {
        for name in files {
            write_atomic(&self.kept().join(name), b"", 0o600)?;
        }
        Ok(())
    }

    /// Removes those of the `given_up` contents (by SHA-256) that no manifest names and that are not kept. What else no
    /// manifest names is left to [`Library::gc`], which asks the machines. The caller holds the library's lock, under
    /// which `add` puts files and manifest into place. Nothing is removed while a manifest cannot be read: it may name
    /// any.
    pub(super) fn remove_unneeded(&self, given_up: &BTreeSet<String>) -> Result<u64, Error> {
        let listing = self.list()?;
        if !listing.damaged.is_empty() {
            return Ok(0);
        }
        let kept: BTreeSet<String> = names(&self.kept()).iter().map(|name| digest_of(name).to_owned()).collect();
        let mut freed = 0;
        for file in self.unneeded(&listing, &|digest| kept.contains(digest) || !given_up.contains(digest)) {
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

/// Writes a manifest, and removes what a command that was killed in doing so left there. The caller holds the library's lock,
/// so nobody else is at it.
pub(super) fn put_manifest(path: &Path, manifest: &Manifest) -> Result<(), Error> {
    let there = path.parent().map(stored).unwrap_or_default();
    for left in there.iter().filter(|file| is_temporary(&file.path)) {
        remove_file(&left.path)?;
    }
    Ok(write_record(path, manifest)?)
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
