//! Bytes out of volumes: the disks of a machine become files of this computer, for whoever packs them.
//!
//! Only what the machine itself wrote is fetched. What its disks rest on is in the library, whose file was uploaded; where
//! that is there no more, the copy in the pool is fetched too.
//!
//! What comes is a stranger's: the other host could send anything. So a file has at most as many bytes as its volume said;
//! and before any program opens it, an overlay's head must name what ours rest on, and no file beside that, and the
//! copy of an image must have that image's digest.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::super::qemu::disk::{self, Overlay};
use super::super::{Error as ProviderError, Image};
use super::Error;
use super::daemon::Daemon;
use super::ffi::{Complaint, Connection};
use super::volume::{Storage, StoredImage};
use super::volume_store::pool;
use super::volume_transfer::{self, BLOCK, Meter, Transfer};
use super::volume_upload::digest;
use crate::progress::Cx;
use crate::store;

/// How long a question may take.
const QUESTION: Duration = Duration::from_secs(60);

/// What stays free on the file system that is written to.
const SLACK: u64 = 64 << 20;

/// Where version 3 says what a reader must know.
const FEATURES: std::ops::Range<usize> = 72..80;

/// Of that: not closed in order, another compression, smaller pieces. Not: damaged, data in another file.
const HARMLESS: u64 = 1 | 1 << 3 | 1 << 4;

/// A disk, as it is before anything is fetched.
struct Part {
    /// Its volume.
    name: String,
    /// Bytes of its file.
    length: u64,
    /// What it rests on; an extra disk rests on nothing.
    below: Option<Below>,
}

/// What a disk rests on.
struct Below {
    /// Where it lies at its host.
    path: String,
    /// The same on this computer; `None` where it must be fetched.
    here: Option<PathBuf>,
    image: StoredImage,
}

/// Fetches the disks of a machine, the volumes of these names, into `scratch`.
pub fn disks(
    cx: &Cx,
    daemon: &Daemon,
    storage: &Storage,
    names: Vec<String>,
    scratch: &Path,
) -> Result<Vec<Image>, ProviderError> {
    let parts = names.into_iter().enumerate();
    let parts = parts.map(|(index, name)| look(cx, daemon, storage, name, storage.images.get(index)));
    let parts = parts.collect::<Result<Vec<_>, _>>()?;
    require_room(daemon, &parts, scratch)?;
    let fetch = |name: &str, length, index: usize, what| {
        let file = scratch.join(format!("{what}{index}"));
        let whole = Fetch { pool: storage.pool.clone(), volume: name.to_owned(), file, length };
        whole.run(cx, daemon)
    };
    let mut images = Vec::new();
    for (index, part) in parts.into_iter().enumerate() {
        let path = fetch(&part.name, part.length, index, "volume")?;
        let overlay = check(daemon, &part, &path)?;
        if let Some(Below { here, image, .. }) = part.below {
            let base = match (here, &image.volume) {
                (None, Some(copy)) => {
                    let base = fetch(copy, image.length, index, "base")?;
                    if digest(cx, &base, image.length)? != image.sha256 {
                        let why = "its content is not the box's image";
                        return Err(Error::Stranger { volume: copy.clone(), uri: daemon.uri().into(), why }.into());
                    }
                    base
                }
                (here, _) => here.unwrap_or_default(),
            };
            disk::rest_on(&path, &base, &image.format)?;
        }
        images.push(Image { path, format: "qcow2".into(), virtual_size: overlay.size });
    }
    Ok(images)
}

/// One disk, and what it rests on.
fn look(
    cx: &Cx,
    daemon: &Daemon,
    storage: &Storage,
    name: String,
    image: Option<&StoredImage>,
) -> Result<Part, ProviderError> {
    let copy = image.map(|image| image.volume.clone().unwrap_or_default());
    let (pool_name, wanted) = (storage.pool.clone(), name.clone());
    let found = daemon.call(cx, QUESTION, "look at the machine's disks", move |connection| {
        let pool = pool(connection, &pool_name)?;
        let Some(disk) = pool.volume(&wanted)? else { return Ok(None) };
        let below = match copy {
            None => None,
            Some(copy) => match pool.volume(&copy)? {
                Some(copy) => Some(copy.path()?),
                None => return Ok(None),
            },
        };
        Ok(Some((disk.sizes()?.1, below)))
    })?;
    let missing = || ProviderError::FileMissing { what: "the volume", path: PathBuf::from(&storage.pool).join(&name) };
    let (length, path) = found.ok_or_else(missing)?;
    let below = image.zip(path).map(|(image, path)| {
        let same = image.path.metadata().is_ok_and(|about| about.len() == image.length);
        Below { path, here: same.then(|| image.path.clone()), image: image.clone() }
    });
    Ok(Part { name, length, below })
}

/// Before the first byte comes.
fn require_room(daemon: &Daemon, parts: &[Part], scratch: &Path) -> Result<(), ProviderError> {
    let fetched = |below: &Below| if below.here.is_some() { 0 } else { below.image.length };
    let base = |part: &Part| part.below.as_ref().map_or(0, fetched);
    let needed = parts.iter().fold(0, |sum: u64, part| sum.saturating_add(part.length).saturating_add(base(part)));
    let about = rustix::fs::statvfs(scratch).map_err(|e| store::Error::io("read", scratch, e.into()))?;
    let free = about.f_bavail.saturating_mul(about.f_frsize);
    if needed.saturating_add(SLACK) > free {
        return Err(Error::NoRoom { uri: daemon.uri().into(), needed, free, dir: scratch.into() }.into());
    }
    Ok(())
}

/// That it is what we once made; what its head says.
fn check(daemon: &Daemon, part: &Part, path: &Path) -> Result<Overlay, ProviderError> {
    let stranger = |why| Error::Stranger { volume: part.name.clone(), uri: daemon.uri().into(), why };
    let overlay = match Overlay::read(path) {
        Ok(Some(overlay)) => overlay,
        Ok(None) | Err(ProviderError::DiskDamaged { .. }) => return Err(stranger("it is no qcow2 image").into()),
        Err(error) => return Err(error),
    };
    if overlay.backing.as_deref() != part.below.as_ref().map(|below| Path::new(&below.path)) {
        return Err(stranger("it rests on something else than the box's image").into());
    }
    if names_more(path)? {
        return Err(stranger("it has its data in another file, or is marked as damaged").into());
    }
    Ok(overlay)
}

/// Whether the head of a qcow2 file says that opening it takes more than what it rests on, or that it is damaged.
fn names_more(path: &Path) -> Result<bool, ProviderError> {
    let failed = |e| store::Error::io("read", path, e);
    let mut head = [0; FEATURES.end];
    let mut file = File::open(path).map_err(failed)?;
    // What ends before them is of version 2, which has no features.
    let whole = file.read_exact(&mut head).is_ok();
    let version = u32::from_be_bytes([head[4], head[5], head[6], head[7]]);
    let features = head[FEATURES].iter().fold(0, |number: u64, &byte| number << 8 | u64::from(byte));
    Ok(match version {
        2 => false,
        3 => !whole || features & !HARMLESS != 0,
        _ => true,
    })
}

/// A volume that becomes a file.
struct Fetch {
    pool: String,
    volume: String,
    file: PathBuf,
    length: u64,
}

impl Fetch {
    fn run(self, cx: &Cx, daemon: &Daemon) -> Result<PathBuf, ProviderError> {
        let Self { pool: pool_name, volume: name, file: path, length } = self;
        let failed = |e| store::Error::io("write", &path, e);
        store::remove_file(&path)?;
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).map_err(failed)?;
        let label = format!("download from {}", daemon.uri());
        let (action, nothing) = ("hand out a disk of the machine", "sent nothing of a download");
        let work = move |connection: &Arc<Connection>, meter: &Meter| {
            receive(connection, (&pool_name, &name), &mut file, length, meter)
        };
        let done = volume_transfer::run(cx, daemon, Transfer { label, length, action, nothing }, work);
        done?.map_err(failed)?;
        Ok(path)
    }
}

/// Receives exactly `length` bytes. The inner failure is this computer's.
fn receive(
    connection: &Arc<Connection>,
    (pool_name, name): (&str, &str),
    file: &mut File,
    length: u64,
    meter: &Meter,
) -> Result<io::Result<()>, Complaint> {
    let gone = || Complaint::of_ours("the volume is gone");
    let volume = pool(connection, pool_name)?.volume(name)?.ok_or_else(gone)?;
    let stream = volume.download(length)?;
    let mut block = vec![0; BLOCK];
    let mut left = length;
    loop {
        meter.check()?;
        let got = stream.receive(&mut block)?;
        if got == 0 && left == 0 {
            break;
        }
        let bytes = got as u64;
        if got == 0 || bytes > left {
            let words = if got == 0 { "fewer" } else { "more" };
            return Err(Complaint::of_ours(&format!("{words} bytes came than the volume has")));
        }
        if let Err(error) = file.write_all(&block[..got]) {
            return Ok(Err(error));
        }
        left -= bytes;
        meter.add(got);
    }
    stream.finish()?;
    match volume.sizes()?.1 {
        now if now == length => Ok(Ok(())),
        _ => Err(Complaint::of_ours("it changed while it was read: another client of libvirt uses it")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(version: u32, features: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; FEATURES.start];
        bytes[..4].copy_from_slice(b"QFI\xfb");
        bytes[4..8].copy_from_slice(&version.to_be_bytes());
        bytes.extend_from_slice(features);
        bytes
    }

    #[test]
    fn what_has_its_data_elsewhere_is_seen_by_its_head() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("disk");
        for (version, features, expected) in
            [(2_u32, 4_u64, false), (3, 0, false), (3, 1 | 8 | 16, false), (3, 2, true), (3, 4, true), (4, 0, true)]
        {
            std::fs::write(&path, head(version, &features.to_be_bytes())).unwrap();
            assert_eq!(names_more(&path).unwrap(), expected, "{version} {features}");
        }
        std::fs::write(&path, head(3, &[])).unwrap();
        assert!(names_more(&path).unwrap());
    }
}
