//! Making and removing the volumes of a machine; `volume` says which there are, and why so.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::super::qemu::disk::Overlay;
use super::super::{Backing, Error as ProviderError, PlannedDisk, VmPlan};
use super::Error;
use super::daemon::Daemon;
use super::ffi::storage::{Pool, Volume};
use super::ffi::{Complaint, Connection};
use super::volume::{self, Storage, StoredImage};
use super::volume_upload::{self, Upload};
use crate::progress::Cx;
use crate::store::{self, Lock, MachineId};
use crate::trace::quoted;

/// How long the daemon may take to look at a pool, or to make or remove volumes in it: some file systems take their time
/// for large files.
const POOL: Duration = Duration::from_secs(60);

/// How often a copy may be removed by somebody between our finding it and our resting on it. Once is rare.
const TRIES: u32 = 5;

/// Writes the record that has the storage.
pub type Keep<'a> = &'a mut dyn FnMut(&Storage) -> Result<(), ProviderError>;

/// The volumes of one machine.
pub struct Volumes<'a> {
    cx: &'a Cx,
    daemon: &'a Daemon,
    id: MachineId,
    storage: Storage,
    keep: Keep<'a>,
}

/// A pool as it is now.
struct Survey {
    available: u64,
    names: Vec<String>,
}

enum Looked {
    Missing,
    Down,
    NoFiles(String),
    Ready(Survey),
}

impl<'a> Volumes<'a> {
    /// Those that `storage` names, or will.
    pub fn new(cx: &'a Cx, daemon: &'a Daemon, id: MachineId, storage: &Storage, keep: Keep<'a>) -> Self {
        Self { cx, daemon, id, storage: storage.clone(), keep }
    }

    fn call<T: Send + 'static>(
        &self,
        action: &'static str,
        work: impl FnOnce(&Pool) -> Result<T, Complaint> + Send + 'static,
    ) -> Result<T, ProviderError> {
        let name = self.storage.pool.clone();
        let done = self.daemon.call(self.cx, POOL, action, move |connection| work(&pool(connection, &name)?));
        done.map_err(|error| self.explained(error))
    }

    /// A pool that is full has an error of its own.
    fn explained(&self, error: ProviderError) -> ProviderError {
        match error {
            ProviderError::Libvirt(Error::Failed { message, .. }) if volume_upload::is_full(&message) => {
                self.full(message)
            }
            error => error,
        }
    }

    fn full(&self, message: String) -> ProviderError {
        let pool = self.storage.pool.clone();
        let list = format!("{} vol-list {}", self.daemon.virsh(), quoted(&pool));
        Error::PoolFull { pool, uri: self.daemon.uri().into(), message, list }.into()
    }

    /// What the pool has, once it is one that we can use.
    fn survey(&self) -> Result<Survey, ProviderError> {
        let name = self.storage.pool.clone();
        let look = move |connection: &Arc<Connection>| -> Result<Looked, Complaint> {
            let Some(pool) = connection.pool(&name)? else { return Ok(Looked::Missing) };
            if !pool.is_active()? {
                return Ok(Looked::Down);
            }
            if let Err(kind) = volume::holds_files(&pool.xml()?) {
                return Ok(Looked::NoFiles(kind));
            }
            let names = pool.volumes()?.iter().filter_map(|volume| volume.name().ok()).collect();
            Ok(Looked::Ready(Survey { available: pool.available()?, names }))
        };
        let (uri, name) = (self.daemon.uri().to_owned(), self.storage.pool.clone());
        let unusable = |why: String, fix| Err(Error::Pool { pool: name.clone(), uri: uri.clone(), why, fix }.into());
        match self.daemon.call(self.cx, POOL, "look at the storage pool", look)? {
            Looked::Ready(survey) => Ok(survey),
            Looked::Down => {
                let start = format!("{} pool-start {}", self.daemon.virsh(), quoted(&name));
                unusable("it is not started".into(), start)
            }
            Looked::NoFiles(kind) => unusable(
                format!("pools of type `{kind}` hold no qcow2 files"),
                "set `pool` to one of type `dir`".into(),
            ),
            Looked::Missing => {
                unusable("there is none".into(), format!("{}, or set `pool`", self.daemon.pool_command(&name)))
            }
        }
    }

    fn keep(&mut self) -> Result<(), ProviderError> {
        (self.keep)(&self.storage)
    }

    /// Makes what is missing of the plan's volumes, of whose disks `made` were complete once. `busy`: why none of them can
    /// grow now.
    pub fn complete(
        &mut self,
        plan: &VmPlan,
        made: Option<usize>,
        busy: &mut dyn FnMut() -> Result<Option<&'static str>, ProviderError>,
    ) -> Result<(), ProviderError> {
        self.survey()?;
        self.drop_half_upload()?;
        if made.is_none() {
            // Of a creation that was cut short: nothing was ever written to them.
            self.delete(self.storage.own.clone())?;
        }
        for (index, disk) in plan.disks.iter().enumerate() {
            self.cx.check()?;
            if made.is_none_or(|made| index >= made) {
                self.make_disk(index, disk)?;
            } else {
                self.grow(index, disk.size, busy)?;
            }
        }
        match &plan.seed {
            Some(seed) if made.is_none() => self.make_seed(seed.clone()),
            _ => Ok(()),
        }
    }

    /// The first of these volumes that is missing. More than the first `made` disks may be, which were never used.
    pub fn missing(&self, made: usize) -> Result<Option<String>, ProviderError> {
        let disks = (0..made).map(|index| volume::disk_name(self.id, index));
        let seed = Some(volume::seed_name(self.id)).filter(|name| self.storage.own.contains(name));
        let images = self.storage.images.iter().filter_map(|image| image.volume.clone());
        let wanted: Vec<_> = disks.chain(seed).chain(images).collect();
        self.call("look for the machine's volumes", move |pool| {
            for name in wanted {
                if pool.volume(&name)?.is_none() {
                    return Ok(Some(name));
                }
            }
            Ok(None)
        })
    }

    fn make_disk(&mut self, index: usize, disk: &PlannedDisk) -> Result<(), ProviderError> {
        match &disk.backing {
            Some(backing) => self.make_overlay(index, backing, disk.size),
            None => self.make_empty(index, disk.size.unwrap_or_default()),
        }
    }

    /// Made anew where it is there: a creation that was cut short left it, and nothing was ever written to it.
    fn make_empty(&mut self, index: usize, size: u64) -> Result<(), ProviderError> {
        let name = volume::disk_name(self.id, index);
        self.own(&name);
        self.keep()?;
        self.call("make an extra disk", move |pool| {
            remove(pool, &name)?;
            pool.create(&volume::empty(&name, size)).map(drop)
        })
    }

    fn make_overlay(&mut self, index: usize, backing: &Backing, size: Option<u64>) -> Result<(), ProviderError> {
        let image = self.image(index, backing)?;
        let size = size.unwrap_or(image.size);
        if size < image.size {
            return Err(ProviderError::Shrink { path: backing.path.clone(), from: image.size, to: size });
        }
        let name = volume::disk_name(self.id, index);
        for _ in 0..TRIES {
            let copy = self.copy_of(index, &image)?;
            self.storage.images[index].volume = Some(copy.clone());
            self.own(&name);
            self.keep()?;
            let (overlay, format) = (name.clone(), image.format.clone());
            let rested = self.call("make the machine's disk", move |pool| {
                let Some(below) = pool.volume(&copy)? else { return Ok(false) };
                let made = pool.create(&volume::overlay(&overlay, size, (&below.path()?, &format)))?;
                let whole = pool.volume(&volume::mark_of(&copy))?.is_some();
                if !whole {
                    made.delete()?;
                }
                Ok(whole)
            })?;
            if rested {
                return Ok(());
            }
        }
        let message = "what its disk would rest on is removed again and again".into();
        Err(Error::Failed { action: "make the machine's disk", message }.into())
    }

    fn own(&mut self, name: &str) {
        if !self.storage.own.iter().any(|own| own == name) {
            self.storage.own.push(name.into());
        }
    }

    /// What a disk rests on; the content of a file that we know already is not read again.
    fn image(&mut self, index: usize, backing: &Backing) -> Result<StoredImage, ProviderError> {
        let path = &backing.path;
        let gone = || ProviderError::FileMissing { what: "the box's image", path: path.clone() };
        let length = path.metadata().map_err(|_| gone())?.len();
        let known = self.storage.images.get(index);
        if let Some(known) = known.filter(|known| known.path == *path && known.length == length) {
            return Ok(known.clone());
        }
        let size = if backing.format == "qcow2" {
            let head = Overlay::read(path)?.ok_or_else(gone)?;
            if head.backing.is_some() {
                let why = "it rests on another file, which would have to be copied too";
                return Err(ProviderError::DiskDamaged { path: path.clone(), why });
            }
            head.size
        } else {
            length
        };
        let sha256 = match &backing.sha256 {
            Some(sha256) => sha256.clone(),
            None => volume_upload::digest(self.cx, path, length)?,
        };
        let format = backing.format.clone();
        let image = StoredImage { path: path.clone(), sha256, format, length, size, volume: None };
        self.storage.images.truncate(index);
        self.storage.images.push(image.clone());
        Ok(image)
    }

    /// A whole copy of the image: one that is there, or else a new one.
    fn copy_of(&mut self, index: usize, image: &StoredImage) -> Result<String, ProviderError> {
        if let Some(copy) = self.find_copy(image)? {
            return Ok(copy);
        }
        let _gate = self.gate(image)?;
        if let Some(copy) = self.find_copy(image)? {
            return Ok(copy);
        }
        self.upload_copy(index, image)
    }

    fn find_copy(&self, image: &StoredImage) -> Result<Option<String>, ProviderError> {
        let (marked, stale) = volume::copies(&self.survey()?.names, image);
        if marked.is_empty() && stale.is_empty() {
            return Ok(None);
        }
        let length = image.length;
        self.call("look at the box's image in the pool", move |pool| {
            for mark in stale {
                pool.volume(&mark)?.map_or(Ok(()), |mark| mark.delete())?;
            }
            for copy in marked {
                // One whose file somebody took away has no size.
                let sizes = pool.volume(&copy)?.map(|copy| copy.sizes());
                if matches!(sizes, Some(Ok((_, bytes))) if bytes == length) {
                    return Ok(Some(copy));
                }
            }
            Ok(None)
        })
    }

    /// Held while the image is uploaded: the machines of one project come up side by side, and one upload is enough.
    fn gate(&self, image: &StoredImage) -> Result<Lock, ProviderError> {
        Ok(Lock::on(self.cx, &image.path, "another command uploads the box's image; waiting for it")?)
    }

    fn upload_copy(&mut self, index: usize, image: &StoredImage) -> Result<String, ProviderError> {
        let mut available = self.survey()?.available;
        if available < image.length {
            // Others may have made room since the daemon looked. One that is busy cannot look, and is taken at its word.
            available = self.call("look at the storage pool", |pool| {
                drop(pool.refresh());
                pool.available()
            })?;
        }
        if available < image.length {
            return Err(self.full(format!("it has {available} bytes left, the box's image has {}", image.length)));
        }
        let copy = volume::copy_name(image, volume_upload::random()?);
        self.storage.upload = Some(copy.clone());
        self.keep()?;
        let xml = volume::plain(&copy, true);
        let label = format!("upload to {}", self.daemon.uri());
        let sha256 = Some(image.sha256.clone());
        self.upload(Upload { xml, label, file: image.path.clone(), length: image.length, sha256 })?;
        let mark = volume::mark(&copy);
        self.call("mark the box's image in the pool", move |pool| pool.create(&mark).map(drop))?;
        self.storage.upload = None;
        self.storage.images[index].volume = Some(copy.clone());
        self.keep()?;
        Ok(copy)
    }

    /// Uploads, and removes what came of it where that fails. What cannot be removed is removed by the next command: the
    /// record names it.
    fn upload(&mut self, upload: Upload) -> Result<(), ProviderError> {
        let done = volume_upload::run(self.cx, self.daemon, &self.storage.pool, upload);
        let Err(error) = done else { return Ok(()) };
        let cx = &self.cx.uninterrupted();
        let keep = &mut |storage: &Storage| (self.keep)(storage);
        let mut rest = Volumes { cx, daemon: self.daemon, id: self.id, storage: self.storage.clone(), keep };
        drop(rest.drop_half_upload());
        self.storage = rest.storage;
        Err(self.explained(error))
    }

    /// Removes a copy whose upload was cut short.
    fn drop_half_upload(&mut self) -> Result<(), ProviderError> {
        let Some(copy) = self.storage.upload.clone() else { return Ok(()) };
        self.call("remove a half copy", move |pool| {
            // Cut short after its last step others may rest on it by now.
            let whole = pool.volume(&volume::mark_of(&copy))?.is_some();
            if whole { release(pool, &copy) } else { remove(pool, &copy) }
        })?;
        self.storage.upload = None;
        self.keep()
    }

    fn make_seed(&mut self, file: PathBuf) -> Result<(), ProviderError> {
        let name = volume::seed_name(self.id);
        let length = file.metadata().map_err(|e| store::Error::io("read", &file, e))?.len();
        self.own(&name);
        self.keep()?;
        let (xml, label) = (volume::plain(&name, false), "upload the seed".into());
        self.upload(Upload { xml, label, file, length, sha256: None })
    }

    fn grow(
        &mut self,
        index: usize,
        size: Option<u64>,
        busy: &mut dyn FnMut() -> Result<Option<&'static str>, ProviderError>,
    ) -> Result<(), ProviderError> {
        let Some(to) = self.must_grow(index, size)? else { return Ok(()) };
        if let Some(state) = busy()? {
            let hint = "shut it down first: `vbox-rs halt`";
            return Err(ProviderError::State { action: "grow a disk of", state, hint });
        }
        let name = volume::disk_name(self.id, index);
        self.call("grow the machine's disk", move |pool| pool.volume(&name)?.map_or(Ok(()), |volume| volume.resize(to)))
    }

    /// The size to which a disk must grow; refuses to shrink it.
    fn must_grow(&self, index: usize, size: Option<u64>) -> Result<Option<u64>, ProviderError> {
        let name = volume::disk_name(self.id, index);
        let path = PathBuf::from(&self.storage.pool).join(&name);
        let sizes = self.call("look at the machine's disk", move |pool| {
            pool.volume(&name)?.map(|volume| volume.sizes()).transpose()
        })?;
        let (from, _) = sizes.ok_or_else(|| ProviderError::FileMissing { what: "the volume", path: path.clone() })?;
        match size.filter(|to| *to != from) {
            Some(to) if to < from => Err(ProviderError::Shrink { path, from, to }),
            larger => Ok(larger),
        }
    }

    /// Refuses to shrink one of the first `made` disks.
    pub fn refuse_shrink(&self, plan: &VmPlan, made: usize) -> Result<(), ProviderError> {
        let sized = plan.disks.iter().enumerate().take(made).filter(|(_, disk)| disk.size.is_some());
        sized.map(|(index, disk)| self.must_grow(index, disk.size)).try_for_each(|size| size.map(drop))
    }

    fn delete(&self, names: Vec<String>) -> Result<(), ProviderError> {
        self.call("remove the machine's volumes", move |pool| names.iter().try_for_each(|name| remove(pool, name)))
    }

    /// Removes all of the machine, and the copies that nothing rests on any more.
    pub fn destroy(&mut self) -> Result<(), ProviderError> {
        let name = self.storage.pool.clone();
        let find = move |connection: &Arc<Connection>| Ok(connection.pool(&name)?.is_some());
        if !self.daemon.call(self.cx, POOL, "look at the storage pool", find)? {
            let pool = &self.storage.pool;
            self.cx.warn(format!("the pool `{pool}` is gone; what the machine had in it is nobody's to remove"));
            return Ok(());
        }
        self.survey()?;
        self.drop_half_upload()?;
        self.delete(self.storage.own.clone())?;
        let copies: Vec<_> = self.storage.images.iter().filter_map(|image| image.volume.clone()).collect();
        self.call("remove what the machine's disks rested on", move |pool| {
            copies.iter().try_for_each(|copy| release(pool, copy))
        })
    }
}

/// The pool of this name, which must be there.
pub fn pool(connection: &Arc<Connection>, name: &str) -> Result<Pool, Complaint> {
    connection.pool(name)?.ok_or_else(|| Complaint::of_ours(&format!("there is no storage pool `{name}`")))
}

fn remove(pool: &Pool, name: &str) -> Result<(), Complaint> {
    let Some(volume) = pool.volume(name)? else { return Ok(()) };
    match volume.delete() {
        // Somebody else was quicker.
        Err(complaint) if complaint.is_no_storage() => Ok(()),
        done => done,
    }
}

/// Removes a copy that nothing rests on; see `volume` for the order.
fn release(pool: &Pool, copy: &str) -> Result<(), Complaint> {
    let mark = volume::mark_of(copy);
    let Some(found) = pool.volume(copy)? else { return remove(pool, &mark) };
    let path = found.path()?;
    if is_rested_on(pool, &path)? {
        return Ok(());
    }
    remove(pool, &mark)?;
    if is_rested_on(pool, &path)? {
        return pool.create(&volume::mark(copy)).map(drop);
    }
    remove(pool, copy)
}

fn is_rested_on(pool: &Pool, path: &str) -> Result<bool, Complaint> {
    let rests = |volume: &Volume| match volume.xml() {
        Ok(xml) => Ok(volume::backing(&xml).as_deref() == Some(path)),
        // It went away since the list was made.
        Err(complaint) if complaint.is_no_storage() => Ok(false),
        Err(complaint) => Err(complaint),
    };
    for volume in pool.volumes()? {
        if rests(&volume)? {
            return Ok(true);
        }
    }
    Ok(false)
}
