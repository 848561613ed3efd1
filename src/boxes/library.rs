//! The boxes on this computer.
//!
//! ```text
//! boxes/disks/<sha256>.{qcow2,img,vmdk,vdi,vhdx,vhd,kernel,initrd}
//!                                                   content, shared by all boxes that have it
//! boxes/converted/<sha256>.<ending>                 a disk of that content in another format: see `convert`
//! boxes/manifests/<name>/<version>/<provider>-<architecture>.json
//! boxes/converted/<sha256 of a disk>.<format>       the same disk in another format, for a hypervisor that wants it
//! boxes/kept/<file of disks>                        empty: machines use it although its box is gone
//! boxes/incoming/<random>/                          see `incoming`
//! boxes/lock, boxes/locks/<id>                      of the library; of one box that is being added
//! ```

use std::fs;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::thread;

use super::NATIVE;
use super::error::Error;
use super::incoming::Incoming;
use super::manifest::{Installed, Manifest};
use super::name;
use super::version::{Requirement, Version};
use crate::progress::Cx;
use crate::store::{self, Dirs, Lock, read_record, remove_file, sync_dir};

/// Below so many names a second thread costs more than it brings.
const WORTH_A_THREAD: usize = 100;

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
        let mut listing = self.read_folders(&entries(&self.manifests())?)?;
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

    /// All boxes of these names. Each costs a dozen system calls, so many of them are shared out among the cores.
    fn read_folders(&self, folders: &[PathBuf]) -> Result<Listing, Error> {
        let readers =
            thread::available_parallelism().map_or(1, NonZero::get).min(folders.len() / WORTH_A_THREAD).max(1);
        let read = |folders: &[PathBuf]| {
            let mut listing = Listing::default();
            folders.iter().try_for_each(|folder| self.read_folder(folder, &mut listing))?;
            Ok::<_, Error>(listing)
        };
        let (ours, theirs) = folders.split_at(folders.len() / readers);
        thread::scope(|scope| {
            let threads: Vec<_> =
                theirs.chunks(folders.len() / readers + 1).map(|part| scope.spawn(move || read(part))).collect();
            let mut listing = read(ours)?;
            for thread in threads {
                let part = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
                listing.boxes.extend(part.boxes);
                listing.damaged.extend(part.damaged);
            }
            Ok(listing)
        })
    }

    /// All boxes of one name: `folder` is the name's.
    fn read_folder(&self, folder: &Path, listing: &mut Listing) -> Result<(), Error> {
        for version in entries(folder)? {
            for path in entries(&version)? {
                // Temporary files of `store` begin with a dot.
                let is_manifest = path.extension().is_some_and(|ending| ending == "json")
                    && path.file_name().is_some_and(|name| !name.as_encoded_bytes().starts_with(b"."));
                if !is_manifest {
                    continue;
                }
                match read_record::<Manifest>(&path) {
                    Ok(Some(manifest)) => listing.boxes.push(Installed { manifest, path, disks: self.disks() }),
                    // Removed between the look into the folder and this one.
                    Ok(None) => {}
                    Err(error) => {
                        let folder = folder.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
                        let name = name::decode(&folder).unwrap_or_else(|| name::printable(&folder));
                        listing.damaged.push(Damaged { name, path, error });
                    }
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
        let mut listing = Listing::default();
        self.read_folder(&self.manifests().join(name::encode(query.name)?), &mut listing)?;
        let fits = |installed: &Installed| {
            let manifest = &installed.manifest;
            let architecture_fits = match (&architecture, &manifest.architecture) {
                (Some(wanted), Some(has)) => wanted == has,
                _ => true,
            };
            architecture_fits && requirement.as_ref().is_none_or(|requirement| requirement.matches(&manifest.version))
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
        let mut listing = Listing::default();
        self.read_folder(&self.manifests().join(name::encode(name)?), &mut listing)?;
        let mut versions: Vec<_> = listing.boxes.into_iter().map(|installed| installed.manifest.version).collect();
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

    /// Removes boxes: all of them, or none. `users` names the machines that use one, and is asked while nobody can
    /// [`Library::hold`] it. With `force` a box goes but its disks stay for those machines, until [`Library::release`]:
    /// nothing is lost. Files that other boxes share stay too.
    pub fn remove(
        &self,
        cx: &Cx,
        boxes: &[Installed],
        users: &dyn Fn(&Manifest) -> Result<Vec<String>, store::Error>,
        force: bool,
        wait: bool,
    ) -> Result<Removed, Error> {
        self.sweep(cx)?;
        let _lock = self.lock(cx, "box remove", wait)?;
        let mut still_used_by = Vec::new();
        for installed in boxes {
            if !installed.path.exists() {
                return Err(gone(installed));
            }
            let machines = match users(&installed.manifest) {
                Err(error) if force => vec![format!("machines that cannot be asked ({error})")],
                users => users?,
            };
            if !force && !machines.is_empty() {
                let Manifest { name, version, .. } = &installed.manifest;
                return Err(Error::InUse { name: name.clone(), version: version.to_string(), machines });
            }
            still_used_by.push(machines);
        }
        cx.check()?;
        // From here to the end this folder is the record of what was begun.
        let _intent = Incoming::create(&self.incoming(), "box remove")?;
        for (installed, machines) in boxes.iter().zip(&still_used_by) {
            if !machines.is_empty() {
                self.keep(&installed.manifest.files())?;
            }
            remove_file(&installed.path)?;
            if let Some(folder) = installed.path.parent() {
                sync_dir(folder)?;
                remove_if_empty(folder);
            }
        }
        let freed = self.remove_unneeded()?;
        Ok(Removed { freed, still_used_by })
    }
}

/// Removes a version's folder and its name's, where nothing else is in them.
fn remove_if_empty(version: &Path) {
    for folder in version.ancestors().take(2) {
        // It is not empty, or it stays empty: both are fine.
        if fs::remove_dir(folder).is_err() {
            break;
        }
    }
}

fn gone(installed: &Installed) -> Error {
    let manifest = &installed.manifest;
    Error::Gone { name: manifest.name.clone(), version: manifest.version.to_string() }
}

/// Paths in a folder; none when it is not there or no folder.
pub(super) fn entries(dir: &Path) -> Result<Vec<PathBuf>, Error> {
    match fs::read_dir(dir) {
        Ok(entries) => Ok(entries.flatten().map(|entry| entry.path()).collect()),
        Err(e) if matches!(e.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => {
            Ok(Vec::new())
        }
        Err(e) => Err(Error::io("read", dir, e)),
    }
}
