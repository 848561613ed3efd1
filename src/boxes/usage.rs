//! What boxes take on the disk, and what they share.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::Path;

use serde::Serialize;

use super::cores::share_out;
use super::library::{Library, Listing};
use super::manifest::{Manifest, digest_of};
use crate::store::Folder;

/// What the boxes of a listing take.
#[derive(Debug, Default)]
pub struct Usage {
    /// By SHA-256, in whatever forms the content lies there.
    contents: HashMap<String, Content>,
}

#[derive(Debug, Default)]
struct Content {
    size: u64,
    boxes: usize,
}

/// What one box takes on the disk, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Taken {
    /// In all: without holes, with what was converted from its disks.
    pub real: u64,
    /// Of that, what other boxes have too.
    pub shared: u64,
}

impl Library {
    /// Looks at the files of `listing`.
    pub fn usage(&self, listing: &Listing) -> Usage {
        let mut contents: HashMap<String, Content> = HashMap::with_capacity(listing.boxes.len());
        for installed in &listing.boxes {
            for digest in digests(&installed.manifest) {
                match contents.get_mut(digest) {
                    Some(content) => content.boxes += 1,
                    None => drop(contents.insert(digest.to_owned(), Content { size: 0, boxes: 1 })),
                }
            }
        }
        for (name, size) in sizes(&self.disks()).into_iter().chain(sizes(&self.converted())) {
            if let Some(content) = contents.get_mut(digest_of(&name)) {
                content.size += size;
            }
        }
        Usage { contents }
    }
}

impl Usage {
    /// What one box of the listing takes.
    pub fn of(&self, manifest: &Manifest) -> Taken {
        let mut taken = Taken::default();
        for content in digests(manifest).iter().filter_map(|digest| self.contents.get(*digest)) {
            taken.real += content.size;
            taken.shared += if content.boxes > 1 { content.size } else { 0 };
        }
        taken
    }

    /// What all boxes take together: what several have counts once.
    pub fn total(&self) -> u64 {
        self.contents.values().map(|content| content.size).sum()
    }
}

impl Listing {
    /// Boxes that have content in common with `manifest`, as `name version`.
    pub fn sharing(&self, manifest: &Manifest) -> Vec<String> {
        let ours = digests(manifest);
        let others = self.boxes.iter().map(|one| &one.manifest).filter(|other| *other != manifest);
        let share = others.filter(|other| digests(other).iter().any(|digest| ours.contains(digest)));
        share.map(|other| format!("{} {}", other.name, other.version)).collect()
    }
}

/// What files of a folder take on the disk, by name.
fn sizes(folder: &Path) -> Vec<(String, u64)> {
    let Some((folder, names)) = Folder::open(folder).ok().flatten().and_then(|folder| {
        let names = folder.names().ok()?;
        Some((folder, names))
    }) else {
        return Vec::new();
    };
    let size = |name: &OsString| Some((name.to_str()?.to_owned(), folder.size_on_disk(name)));
    share_out(&names, |names| names.iter().filter_map(size).collect::<Vec<_>>()).concat()
}

/// Each once: a box may have one image twice.
fn digests(manifest: &Manifest) -> Vec<&str> {
    let mut all: Vec<&str> = manifest.digests().collect();
    all.sort_unstable();
    all.dedup();
    all
}
