//! The boxes on this computer.
//!
//! ```text
//! boxes/disks/<sha256>.{qcow2,img,vmdk,vdi,vhdx,vhd,kernel,initrd}
//!                                                   content, shared by all boxes that have it
//! boxes/manifests/<name>/<version>/<provider>-<architecture>.json
//! boxes/converted/<sha256 of a disk>.<format>       the same disk in another format: see `convert`
//! boxes/kept/<file of disks>                        empty: machines use it although its box is gone
//! boxes/incoming/<random>/                          see `incoming`
//! boxes/lock, boxes/locks/<id>                      of the library; of one box that is being added
//! ```

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use super::NATIVE;
use super::cores::share_out;
use super::error::Error;
use super::incoming::Incoming;
use super::manifest::{Installed, Manifest, architecture_fits, digest_of};
use super::name;
use super::needs::Needs;
use super::version::{Requirement, Version};
use crate::progress::Cx;
use crate::store::{self, Dirs, Folder, Lock, read_record, remove_file, sync_dir};

/// The boxes on this computer, addressed by content. Reading takes no lock.
#[derive(Clone, Debug)]
pub struct Library {
    pub(super) dirs: Dirs,
}

/// All boxes.
#[derive(Debug, Default)]
pub struct Listing {
    /// In the order of name, version, provider, architecture.
    pub boxes: Vec<Installed>,
    /// Manifests that cannot be read.
    pub damaged: Vec<Damaged>,
    /// What else lies beside manifests.
    pub(super) others: Vec<PathBuf>,
    /// Folders of names and versions that have no box.
    pub(super) empty: Vec<PathBuf>,
}

/// A manifest that cannot be read.
#[derive(Debug)]
pub struct Damaged {
    /// The box's name, as the folder tells.
    pub name: String,
    /// The manifest's file.
    pub path: PathBuf,
    /// What is wrong.
    pub error: store::Error,
}

/// Which box is wanted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Query<'a> {
    /// Its name.
    pub name: &'a str,
    /// Constraints as RubyGems writes them.
    pub version: Option<&'a str>,
    /// One whose architecture is unknown fits too.
    pub architecture: Option<&'a str>,
    /// All run everywhere, so this only chooses between two of one version; without it, those whose disks need no
    /// conversion come first.
    pub provider: Option<&'a str>,
}

/// Keeps a box from being removed while it is held.
#[derive(Debug)]
pub struct BoxHold {
    _lock: Lock,
}

/// What a removal did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// Bytes that became free.
    pub freed: u64,
    /// For each box the machines that still use its disks, which therefore stay until [`Library::release`].
    pub still_used_by: Vec<Vec<String>>,
}

impl Library {
    /// The library of this user. Touches nothing.
    pub fn new(dirs: &Dirs) -> Self {
        Self { dirs: dirs.clone() }
    }

    pub(super) fn disks(&self) -> PathBuf {
        self.dirs.boxes().join("disks")
    }

    pub(super) fn converted(&self) -> PathBuf {
        self.dirs.boxes().join("converted")
    }

    pub(super) fn incoming(&self) -> PathBuf {
        self.dirs.boxes().join("incoming")
    }

    pub(super) fn kept(&self) -> PathBuf {
        self.dirs.boxes().join("kept")
    }

    pub(super) fn lock_path(&self) -> PathBuf {
        self.dirs.boxes().join("lock")
    }

    pub(super) fn manifests(&self) -> PathBuf {
        self.dirs.boxes().join("manifests")
    }

    /// Where a box's manifest lies.
    pub(super) fn manifest_path(&self, manifest: &Manifest) -> Result<PathBuf, Error> {
        let architecture = manifest.architecture.as_deref().unwrap_or("unknown");
        let file = format!("{}-{architecture}.json", manifest.provider);
        let folder = self.manifests().join(name::encode(&manifest.name)?).join(manifest.version.to_string());
        Ok(folder.join(file))
    }

    /// All boxes, and manifests that cannot be read.
    pub fn list(&self) -> Result<Listing, Error> {
        let mut listing = self.read_all()?;
        listing.damaged.sort_by(|a, b| a.path.cmp(&b.path));
        listing.boxes.sort_by(|a, b| {
            let (a, b) = (&a.manifest, &b.manifest);
            (&a.name, &a.version, &a.provider, &a.architecture).cmp(&(
                &b.name,
                &b.version,
                &b.provider,
                &b.architecture,
            ))
        });
        Ok(listing)
    }

    /// All boxes, in any order. Each costs a dozen system calls, so many of them are shared out among the cores.
    fn read_all(&self) -> Result<Listing, Error> {
        let Some(root) = Folder::open(&self.manifests())? else { return Ok(Listing::default()) };
        let names = root.names()?;
        let read = |names: &[OsString]| {
            let mut listing = Listing::default();
            for name in names {
                if let Some(folder) = root.folder(name)? {
                    self.read_folder(&folder, &mut listing)?;
                }
            }
            Ok::<_, Error>(listing)
        };
        let mut listing = Listing::default();
        for part in share_out(&names, read) {
            let part = part?;
            listing.boxes.extend(part.boxes);
            listing.damaged.extend(part.damaged);
            listing.others.extend(part.others);
            listing.empty.extend(part.empty);
        }
        Ok(listing)
    }

    /// All boxes of one name.
    fn read_name(&self, name: &str) -> Result<Listing, Error> {
        let mut listing = Listing::default();
        if let Some(folder) = Folder::open(&self.manifests().join(name::encode(name)?))? {
            self.read_folder(&folder, &mut listing)?;
        }
        Ok(listing)
    }

    /// All boxes of one name: `folder` is the name's.
    fn read_folder(&self, folder: &Folder, listing: &mut Listing) -> Result<(), Error> {
        let versions = folder.names()?;
        if versions.is_empty() {
            listing.empty.push(folder.path().into());
        }
        for version in versions {
            let Some(version) = folder.folder(&version)? else { continue };
            let files = version.names()?;
            if files.is_empty() {
                listing.empty.push(version.path().into());
            }
            for file in files {
                let path = version.path().join(&file);
                // Temporary files of `store` begin with a dot.
                let name = file.as_encoded_bytes();
                if !name.ends_with(b".json") || name.starts_with(b".") {
                    listing.others.push(path);
                    continue;
                }
                match version.record::<Manifest>(&file) {
                    Ok(Some(manifest)) => listing.boxes.push(Installed { manifest, path, disks: self.disks() }),
                    // Removed between the look into the folder and this one.
                    Ok(None) => {}
                    Err(error) => listing.damaged.push(Damaged { name: name_of(folder), path, error }),
                }
            }
        }
        Ok(())
    }

    /// The newest version that fits; `None` when there is none. A manifest that cannot be read is an error only when no
    /// other box fits.
    pub fn find(&self, query: &Query<'_>) -> Result<Option<Installed>, Error> {
        let requirement = query.version.map(str::parse::<Requirement>).transpose()?;
        let architecture = query.architecture.map(super::metadata::architecture).and_then(Result::ok);
        let listing = self.read_name(query.name)?;
        let fits = |installed: &Installed| {
            let manifest = &installed.manifest;
            architecture_fits(manifest.architecture.as_deref(), architecture.as_deref())
                && requirement.as_ref().is_none_or(|requirement| requirement.matches(&manifest.version))
        };
        let rank = |installed: &Installed| {
            let manifest = &installed.manifest;
            let asked = query.provider.is_some_and(|provider| provider == manifest.provider);
            let native = NATIVE.iter().position(|provider| *provider == manifest.provider);
            (manifest.version.clone(), manifest.architecture == architecture, asked, native)
        };
        let found = listing.boxes.into_iter().filter(fits).max_by_key(rank);
        match (found, listing.damaged.into_iter().next()) {
            (None, Some(damaged)) => Err(damaged.error.into()),
            (found, _) => Ok(found),
        }
    }

    /// The box that a machine rests on, from the manifest in its record: the disks stay even when the manifest here is
    /// gone (see [`Library::remove`]).
    pub fn resting_on(&self, manifest: Manifest) -> Result<Installed, Error> {
        Ok(Installed { path: self.manifest_path(&manifest)?, disks: self.disks(), manifest })
    }

    /// All versions of a box in the library, ascending: for messages.
    pub fn versions(&self, name: &str) -> Result<Vec<Version>, Error> {
        let mut versions: Vec<_> =
            self.read_name(name)?.boxes.into_iter().map(|installed| installed.manifest.version).collect();
        versions.sort();
        versions.dedup();
        Ok(versions)
    }

    /// Keeps the box in the library while a machine that uses it is being recorded; after that the machine's record
    /// protects it. Hold it for moments only: `add` and `remove` wait for it.
    pub fn hold(&self, cx: &Cx, installed: &Installed) -> Result<BoxHold, Error> {
        let lock = Lock::shared(cx, &self.lock_path())?;
        match read_record::<Manifest>(&installed.path)? {
            // `--force` may have put another one in its place; its files are kept then, until somebody releases them.
            Some(_) if self.has_files(&installed.manifest) => Ok(BoxHold { _lock: lock }),
            _ => Err(gone(installed)),
        }
    }

    pub(super) fn has_files(&self, manifest: &Manifest) -> bool {
        manifest.files().iter().all(|name| self.disks().join(name).is_file())
    }

    /// Removes boxes: all of them, or none. `needs` is asked while nobody can [`Library::hold`] one; a box that machines
    /// were made from goes only with `force`. Files that machines stand on stay in any case, until [`Library::release`],
    /// whichever box they came from: nothing is lost. Files that other boxes share stay too.
    pub fn remove(
        &self,
        cx: &Cx,
        boxes: &[Installed],
        needs: &dyn Fn() -> Result<Needs, store::Error>,
        force: bool,
        wait: bool,
    ) -> Result<Removed, Error> {
        self.sweep(cx)?;
        let _lock = self.lock(cx, "box remove", wait)?;
        let needs = match needs() {
            Err(error) if force => Needs::unknown(error.to_string()),
            needs => needs?,
        };
        let still_used_by =
            boxes.iter().map(|installed| removable(installed, &needs, force)).collect::<Result<Vec<_>, _>>()?;
        cx.check()?;
        // From here to the end this folder is the record of what was begun.
        let intent = Incoming::create(&self.incoming(), "box remove")?;
        let files: Vec<String> = boxes.iter().flat_map(|installed| installed.manifest.files()).collect();
        intent.intend(&files)?;
        let (wanted, _): (Vec<_>, Vec<_>) = files.iter().cloned().partition(|file| needs.may_want(file));
        self.keep(&wanted)?;
        for installed in boxes {
            remove_file(&installed.path)?;
            if let Some(folder) = installed.path.parent() {
                sync_dir(folder)?;
                remove_if_empty(folder);
            }
        }
        let freed = self.remove_unneeded(&files.iter().map(|name| digest_of(name).to_owned()).collect())?;
        Ok(Removed { freed, still_used_by })
    }
}

/// The name of a box, as its folder tells.
fn name_of(folder: &Folder) -> String {
    let file = folder.path().file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    name::decode(&file).unwrap_or_else(|| name::printable(&file))
}

/// Removes a version's folder and its name's, where nothing else is in them.
pub(super) fn remove_if_empty(version: &Path) {
    for folder in version.ancestors().take(2) {
        // It is not empty, or it stays empty: both are fine.
        if fs::remove_dir(folder).is_err() {
            break;
        }
    }
}

/// Whether a box may go; returns the machines that its disks stay for.
fn removable(installed: &Installed, needs: &Needs, force: bool) -> Result<Vec<String>, Error> {
    if !installed.path.exists() {
        return Err(gone(installed));
    }
    let machines = needs.users(&installed.manifest);
    let Manifest { name, version, .. } = &installed.manifest;
    let (name, version) = (name.clone(), version.to_string());
    if !force && !machines.is_empty() {
        return Err(Error::InUse { name, version, machines });
    }
    if !force && !needs.unreadable.is_empty() {
        return Err(Error::Unsure { name, version, why: needs.unreadable.join("; ") });
    }
    let unasked = needs.unreadable.iter().map(|why| format!("machines that cannot be asked ({why})"));
    Ok(machines.into_iter().chain(unasked).collect())
}

fn gone(installed: &Installed) -> Error {
    let manifest = &installed.manifest;
    Error::Gone { name: manifest.name.clone(), version: manifest.version.to_string() }
}
