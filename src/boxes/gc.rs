//! Garbage: what nothing needs, found and removed. Never anything that a machine or a box may need: what cannot be read
//! may need everything.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;

use super::Error;
use super::fetch::{Abandoned, abandoned};
use super::incoming;
use super::library::{Library, Listing, remove_if_empty};
use super::needs::Needs;
use super::sweep::{names, on_disk, stored};
use crate::progress::Cx;
use crate::store::{self, Lock, remove_dir, remove_file};

/// A download that nobody went on with for so long is not wanted any more.
const PATIENCE: Duration = Duration::from_secs(7 * 24 * 3600);

/// Whether it is a file that `store` was writing.
pub(super) fn is_temporary(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b".new-"))
}

/// What a piece of garbage is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Kind {
    /// A disk or kernel that no box names and no machine stands on.
    Disk,
    /// A disk in another format whose source is gone.
    Converted,
    /// What a killed command left.
    Leftover,
    /// A download that was not gone on with.
    Download,
}

impl Kind {
    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Disk => "unneeded disk",
            Self::Converted => "converted disk",
            Self::Leftover => "leftover",
            Self::Download => "old download",
        }
    }
}

/// Something that nothing needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Garbage {
    /// What it is.
    pub kind: Kind,
    /// Where it lies; of a download its bytes.
    pub path: PathBuf,
    /// What it takes on the disk.
    pub size: u64,
}

/// What [`Library::gc`] did, or would do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Collected {
    /// What was removed.
    pub removed: Vec<Garbage>,
    /// Bytes that became free.
    pub freed: u64,
    /// Why disks were left alone.
    pub spared: Vec<String>,
}

/// All garbage, found before anything is removed.
#[derive(Default)]
struct Found {
    disks: Vec<Garbage>,
    temporary: Vec<Garbage>,
    incoming: Vec<Garbage>,
    downloads: Vec<(Garbage, Abandoned)>,
    /// Folders of boxes without a box.
    empty: Vec<PathBuf>,
    spared: Vec<String>,
}

impl Library {
    /// Removes what nothing needs. `needs` is asked while nobody can [`Library::hold`] a box. With `dry_run` nothing is
    /// locked or changed.
    pub fn gc(
        &self,
        cx: &Cx,
        needs: &dyn Fn() -> Result<Needs, store::Error>,
        dry_run: bool,
        wait: bool,
    ) -> Result<Collected, Error> {
        if dry_run {
            return Ok(self.find_garbage(&needs()?)?.told());
        }
        let _lock = self.lock(cx, "box gc", wait)?;
        let needs = needs()?;
        let found = self.find_garbage(&needs)?;
        self.drop_marks(&needs)?;
        let mut done = Collected { spared: found.spared, ..Collected::default() };
        let mut collect = |garbage: Garbage| {
            done.freed += garbage.size;
            done.removed.push(garbage);
        };
        let emptied: Vec<_> =
            found.temporary.iter().filter_map(|file| file.path.parent()).map(Path::to_owned).collect();
        for garbage in found.disks.into_iter().chain(found.temporary) {
            cx.check()?;
            remove_file(&garbage.path)?;
            collect(garbage);
        }
        for (garbage, download) in found.downloads {
            if download.remove()? {
                collect(garbage);
            }
        }
        // The folders go last: while one is there, the next command sweeps again.
        for garbage in found.incoming {
            if let Some(_lock) = incoming::dead(&garbage.path)? {
                remove_dir(&garbage.path)?;
                collect(garbage);
            }
        }
        for folder in emptied.iter().chain(&found.empty).filter(|folder| folder.starts_with(self.manifests())) {
            remove_if_empty(folder);
        }
        Ok(done)
    }

    fn find_garbage(&self, needs: &Needs) -> Result<Found, Error> {
        let listing = self.list()?;
        let mut found = Found { spared: unknown_needs(&listing, needs), ..Found::default() };
        if found.spared.is_empty() {
            let files = self.unneeded(&listing, &|digest| !needs.machines(digest).is_empty());
            let converted = self.converted();
            found.disks = files
                .into_iter()
                .map(|file| {
                    let kind = if file.path.starts_with(&converted) { Kind::Converted } else { Kind::Disk };
                    Garbage { kind, path: file.path, size: file.size }
                })
                .collect();
        }
        found.temporary = self.temporary(&listing);
        found.empty.clone_from(&listing.empty);
        found.incoming = incoming::all(&self.incoming())
            .into_iter()
            .filter(|dir| !Lock::is_held(&dir.join(incoming::LOCK)))
            .map(|path| Garbage { kind: Kind::Leftover, size: folder_size(&path), path })
            .collect();
        let downloads = abandoned(&self.dirs, PATIENCE).into_iter();
        found.downloads = downloads
            .map(|one| (Garbage { kind: Kind::Download, path: one.path().into(), size: one.size() }, one))
            .collect();
        Ok(found)
    }

    /// Records that were being written. Whoever writes into these folders holds the library's lock.
    fn temporary(&self, listing: &Listing) -> Vec<Garbage> {
        let kept = stored(&self.kept()).into_iter().map(|file| file.path);
        kept.chain(listing.others.iter().cloned())
            .filter(|path| is_temporary(path))
            .map(|path| {
                let size = fs::symlink_metadata(&path).map_or(0, |about| on_disk(&about));
                Garbage { kind: Kind::Leftover, path, size }
            })
            .collect()
    }
}

impl Found {
    fn told(self) -> Collected {
        let downloads = self.downloads.into_iter().map(|(garbage, _)| garbage);
        let files = self.disks.into_iter().chain(self.temporary);
        let removed: Vec<_> = files.chain(downloads).chain(self.incoming).collect();
        Collected { freed: removed.iter().map(|one| one.size).sum(), removed, spared: self.spared }
    }
}

/// Why it is not known what is needed.
fn unknown_needs(listing: &Listing, needs: &Needs) -> Vec<String> {
    let damaged = listing
        .damaged
        .iter()
        .map(|one| format!("the record of box `{}` cannot be read ({}), and may name any disk", one.name, one.error));
    let unreadable = needs.unreadable.iter();
    let unreadable = unreadable.map(|one| format!("the record of machine {one}; it may stand on any disk"));
    damaged.chain(unreadable).collect()
}

fn folder_size(folder: &Path) -> u64 {
    let metadata = |path: &PathBuf| fs::symlink_metadata(path).map_or(0, |about| on_disk(&about));
    let paths: BTreeSet<PathBuf> = names(folder).iter().map(|name| folder.join(name)).collect();
    paths.iter().map(metadata).sum()
}
