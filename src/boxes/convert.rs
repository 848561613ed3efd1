//! Disks in another format: made once, when a hypervisor needs it, and shared by all machines.
//!
//! `qemu-img` does the work. The result gets its name only when it is whole and on the disk, so that after `kill -9` there
//! is either all of it or a folder that the next command sweeps.

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::checksum::hex;
use super::disk::Written;
use super::images::vmdk::{Descriptor, Extent, ExtentKind};
use super::images::{Format, HEAD};
use super::incoming::Incoming;
use super::qemu_img::{self, Conversion, Failed, Source};
use super::{Error, Installed, Library, StoredDisk};
use crate::progress::Cx;
use crate::store::{Lock, create_private, sync_dir};

/// Only the owner reads, nobody writes: overlays stand on it.
const MODE: u32 = 0o400;

/// Tables, and what a file system needs itself.
const SLACK: u64 = 16 << 20;

impl Library {
    /// The disk in one of `formats` (as QEMU calls them, the best one first): the stored file where its format is among
    /// them, else a conversion into the first, which is made unless it is there. Returns file and format.
    pub fn disk_as(&self, cx: &Cx, disk: &StoredDisk, formats: &[&str]) -> Result<(PathBuf, String), Error> {
        let Some(to) = target(disk, formats)? else {
            return Ok((self.disks().join(disk.file_name()), disk.format.clone()));
        };
        let path = self.converted().join(converted_name(disk, to));
        if !path.is_file() {
            self.convert(cx, disk, to, &path)?;
        }
        Ok((path, to.name().to_owned()))
    }

    /// Makes sure that each disk of the box can be had in one of `formats`, so that [`Installed::images`] names files
    /// that are there. Costs a look at a file where there is nothing to do.
    pub fn convert_disks(&self, cx: &Cx, installed: &Installed, formats: &[&str]) -> Result<(), Error> {
        installed.manifest.disks.iter().try_for_each(|disk| self.disk_as(cx, disk, formats).map(drop))
    }

    fn convert(&self, cx: &Cx, disk: &StoredDisk, to: Format, path: &Path) -> Result<(), Error> {
        self.sweep(cx)?;
        let from: Format = disk.format.parse()?;
        let what = format!("converting a disk from {from} to {to}");
        let id = format!("convert-{}", converted_name(disk, to));
        let lock = Lock::exclusive(cx, &self.dirs.boxes().join("locks").join(id), "the disk", "conversion", true)?;
        let result = if path.is_file() { Ok(()) } else { self.convert_locked(cx, disk, (from, to), path, &what) };
        // An empty file that stays is only untidy.
        let _ = lock.remove();
        result
    }

    fn convert_locked(
        &self,
        cx: &Cx,
        disk: &StoredDisk,
        (from, to): (Format, Format),
        path: &Path,
        what: &str,
    ) -> Result<(), Error> {
        let source = self.disks().join(disk.file_name());
        let size = fs::metadata(&source).map_err(|e| Error::io("read", &source, e))?.len();
        if size != disk.size {
            // What is missing would become zeros.
            let message = format!("its file in the library has {size} bytes instead of {}", disk.size);
            return Err(Error::Convert { what: what.into(), message });
        }
        create_private(&self.converted())?;
        let incoming = {
            let _lock = self.lock(cx, "conversion", true)?;
            Incoming::create(&self.incoming(), "conversion")?
        };
        let new = incoming.dir().join("disk");
        let mut job = Job::new(Source::Alone(from, &source), to, &new, what, disk.virtual_size);
        job.uuid = (to == Format::Vdi).then(|| uuid(disk, path));
        job.check_space(incoming.dir())?;
        job.run(cx)?;
        // From here it takes moments, and is not worth losing.
        let cx = cx.uninterrupted();
        let _lock = self.lock(&cx, "conversion", true)?;
        // Its box may be gone by now, and nobody would ever remove what was made of it.
        fs::metadata(&source).map_err(|e| Error::io("read", &source, e))?;
        fs::rename(&new, path).map_err(|e| Error::io("write", path, e))?;
        Ok(sync_dir(&self.converted())?)
    }
}

impl Installed {
    /// Its disks in one of `formats`, in the order of attachment: file and format. Those that are not stored in one of
    /// them are where [`Library::convert_disks`] puts them.
    pub fn images(&self, formats: &[&str]) -> Vec<(PathBuf, String)> {
        let converted = self.disks.with_file_name("converted");
        let image = |disk: &StoredDisk| match target(disk, formats) {
            Ok(Some(to)) => (converted.join(converted_name(disk, to)), to.name().to_owned()),
            // No format that anybody asked for is known: the caller finds out when it uses this one.
            Ok(None) | Err(_) => (self.disks.join(disk.file_name()), disk.format.clone()),
        };
        self.manifest.disks.iter().map(image).collect()
    }
}

/// What the disk must be converted to, if it must.
fn target(disk: &StoredDisk, formats: &[&str]) -> Result<Option<Format>, Error> {
    if formats.is_empty() || formats.contains(&disk.format.as_str()) {
        return Ok(None);
    }
    Ok(Some(formats[0].parse()?))
}

fn converted_name(disk: &StoredDisk, to: Format) -> String {
    format!("{}.{}", disk.sha256, to.ending())
}

/// The id of a VDI image, by which VirtualBox knows it and by which differencing images name what they rest on: the same
/// when it is made anew, another one in another library of the same user.
fn uuid(disk: &StoredDisk, path: &Path) -> [u8; 16] {
    let digest = Sha256::new().chain_update(&disk.sha256).chain_update(path.as_os_str().as_encoded_bytes()).finalize();
    let mut uuid = [0; 16];
    uuid.copy_from_slice(&digest[..16]);
    // Version 4, in Microsoft's order of bytes.
    uuid[7] = uuid[7] & 0x0f | 0x40;
    uuid[8] = uuid[8] & 0x3f | 0x80;
    uuid
}

/// Joins the pieces of a VMware disk (`None` for zeros) into one image in the folder `into`. `name` is for people.
pub(super) fn join(
    cx: &Cx,
    into: &Path,
    name: &str,
    descriptor: &Descriptor,
    pieces: &[Option<&Path>],
) -> Result<Written, Error> {
    let index = fs::read_dir(into).map_or(0, Iterator::count);
    let (described, new) = (into.join(format!("pieces{index}")), into.join(format!("joined{index}")));
    fs::write(&described, own_descriptor(descriptor, pieces)).map_err(|e| Error::io("write", &described, e))?;
    let what = format!("joining the pieces of `{}`", super::name::printable(name));
    let from = Source::Alone(Format::Vmdk, &described);
    let job = Job::new(from, Format::Qcow2, &new, &what, descriptor.size());
    job.check_space(into)?;
    job.run(cx)?;
    hashed(cx, &new)
}

/// A descriptor that names nothing but our own files, which lie beside it.
fn own_descriptor(descriptor: &Descriptor, pieces: &[Option<&Path>]) -> String {
    let piece = |(extent, piece): (&Extent, Option<&Path>)| {
        let name = piece.and_then(Path::file_name).map(|name| name.to_string_lossy()).unwrap_or_default();
        match extent.kind {
            ExtentKind::Sparse => format!("RW {} SPARSE \"{name}\"\n", extent.sectors),
            ExtentKind::Flat => format!("RW {} FLAT \"{name}\" {}\n", extent.sectors, extent.offset),
            ExtentKind::Zero => format!("RW {} ZERO\n", extent.sectors),
        }
    };
    let pieces = descriptor.extents.iter().zip(pieces.iter().copied()).map(piece).collect::<Vec<_>>().concat();
    // QEMU 10.0 takes the pieces of a very short description twice.
    format!(
        "# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=ffffffff\ncreateType=\"twoGbMaxExtentSparse\"\n\n\
         # Extent description\n{pieces}\n# The Disk Data Base\n#DDB\n\nddb.adapterType = \"lsilogic\"\n"
    )
}

/// Reads what was written just now, most of it from memory.
fn hashed(cx: &Cx, path: &Path) -> Result<Written, Error> {
    let failed = |e| Error::io("read", path, e);
    let mut file = File::open(path).map_err(failed)?;
    let (mut hasher, mut head, mut size) = (Sha256::new(), Vec::new(), 0);
    let mut block = vec![0; 1 << 20];
    loop {
        cx.check()?;
        let amount = file.read(&mut block).map_err(failed)?;
        if amount == 0 {
            break;
        }
        let wanted = (HEAD - head.len()).min(amount);
        head.extend_from_slice(&block[..wanted]);
        hasher.update(&block[..amount]);
        size += amount as u64;
    }
    Ok(Written { path: path.into(), sha256: hex(&hasher.finalize()), size, head })
}

/// A conversion into the library.
struct Job<'a> {
    conversion: Conversion<'a>,
    /// The id that a VDI image gets.
    uuid: Option<[u8; 16]>,
}

impl<'a> Job<'a> {
    fn new(from: Source<'a>, to: Format, new: &'a Path, what: &'a str, size: u64) -> Self {
        Self { conversion: Conversion { from, to, stream: false, new, label: what, size }, uuid: None }
    }

    /// Whether the result fits. Only where not even all of the disk would is it asked how much of it is used.
    fn check_space(&self, dir: &Path) -> Result<(), Error> {
        let about = rustix::fs::statvfs(dir).map_err(|e| Error::io("read", dir, e.into()))?;
        let free = about.f_bavail.saturating_mul(about.f_frsize);
        if free >= self.conversion.size.saturating_add(self.conversion.size / 100).saturating_add(SLACK) {
            return Ok(());
        }
        let needed = self.conversion.measure().map_err(|e| self.failed(e))?.saturating_add(SLACK);
        if needed <= free {
            return Ok(());
        }
        Err(Error::NoSpace { what: self.conversion.label.into(), needed, free, dir: dir.into() })
    }

    /// Runs to the end; syncs the result and makes it read-only.
    fn run(&self, cx: &Cx) -> Result<(), Error> {
        self.conversion.run(cx).map_err(|e| self.failed(e))?;
        let new = self.conversion.new;
        let failed = |e| Error::io("write", new, e);
        if let Some(uuid) = &self.uuid {
            super::images::vdi::stamp(new, uuid).map_err(failed)?;
        }
        let file = File::open(new).map_err(failed)?;
        file.set_permissions(fs::Permissions::from_mode(MODE)).and_then(|()| file.sync_all()).map_err(failed)
    }

    fn failed(&self, failed: Failed) -> Error {
        let (what, new) = (self.conversion.label.to_owned(), self.conversion.new);
        match failed {
            Failed::Missing => Error::NoTool { what, program: qemu_img::PROGRAM },
            Failed::Run(error) => Error::io("run", qemu_img::PROGRAM, error),
            Failed::Full => Error::io("write", new.parent().unwrap_or(new), ErrorKind::StorageFull.into()),
            Failed::Said(message) => Error::Convert { what, message },
            Failed::Interrupted(interrupted) => interrupted.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stored_format_is_taken_where_it_fits() {
        let disk =
            |format: &str| StoredDisk { sha256: "a".repeat(64), format: format.into(), virtual_size: 1, size: 1 };
        assert_eq!(target(&disk("raw"), &["qcow2", "raw"]).unwrap(), None);
        assert_eq!(target(&disk("vmdk"), &["qcow2", "raw"]).unwrap(), Some(Format::Qcow2));
        assert!(target(&disk("vmdk"), &["floppy"]).is_err());
        assert_eq!(converted_name(&disk("vmdk"), Format::Vpc), format!("{}.vhd", "a".repeat(64)));
    }
}
