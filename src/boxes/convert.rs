//! Disks in another format: made once, when a hypervisor needs it, and shared by all machines.
//!
//! `qemu-img` does the work. It is told the format of what it reads and never guesses, opens no file but that one (and
//! the pieces that we name), and dies with us. The result gets its name only when it is whole and on the disk, so that
//! after `kill -9` there is either all of it or a folder that the next command sweeps.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::checksum::hex;
use super::disk::Written;
use super::images::vmdk::{Descriptor, Extent, ExtentKind};
use super::images::{Format, HEAD};
use super::incoming::Incoming;
use super::{Error, Installed, Library, StoredDisk};
use crate::progress::Cx;
use crate::store::{Lock, create_private, sync_dir};
use crate::sys;

const QEMU_IMG: &str = "qemu-img";

/// How often a running conversion looks whether it should stop.
const TICK: Duration = Duration::from_millis(50);

/// Requests in flight: where one thread decompresses and another writes, more change nothing.
const COROUTINES: &str = "8";

/// Only the owner reads, nobody writes: overlays stand on it.
const MODE: u32 = 0o400;

/// Tables, and what a file system needs itself.
const SLACK: u64 = 16 << 20;

/// What `qemu-img` says is shown up to here.
const WORDS: usize = 2000;

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
        let uuid = (to == Format::Vdi).then(|| uuid(disk, path));
        let job = Job { from: node(from, &source), to, new: &new, what, size: disk.virtual_size, uuid };
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

/// An image for `qemu-img`: with its format, and no other file behind it.
fn node(format: Format, path: &Path) -> Value {
    let mut node = json!({
        "driver": format.name(),
        "file": { "driver": "file", "filename": path.to_string_lossy() },
    });
    if matches!(format, Format::Qcow2 | Format::Vmdk) {
        node["backing"] = Value::Null;
    }
    node
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
    let from = node(Format::Vmdk, &described);
    let job = Job { from, to: Format::Qcow2, new: &new, what: &what, size: descriptor.size(), uuid: None };
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

/// One run of `qemu-img convert`.
struct Job<'a> {
    from: Value,
    to: Format,
    new: &'a Path,
    /// For people.
    what: &'a str,
    /// What the guest sees, in bytes.
    size: u64,
    /// The id that a VDI image gets.
    uuid: Option<[u8; 16]>,
}

impl Job<'_> {
    /// Whether the result fits. Only where not even all of the disk would is it asked how much of it is used.
    fn check_space(&self, dir: &Path) -> Result<(), Error> {
        let about = rustix::fs::statvfs(dir).map_err(|e| Error::io("read", dir, e.into()))?;
        let free = about.f_bavail.saturating_mul(about.f_frsize);
        if free >= self.size.saturating_add(self.size / 100).saturating_add(SLACK) {
            return Ok(());
        }
        let needed = self.measure()?.saturating_add(SLACK);
        if needed <= free {
            return Ok(());
        }
        Err(Error::NoSpace { what: self.what.into(), needed, free, dir: dir.into() })
    }

    fn measure(&self) -> Result<u64, Error> {
        let mut command = qemu_img();
        // Other formats need about as much, and it answers for these two only.
        let to = if self.to == Format::Raw { "raw" } else { "qcow2" };
        command.args(["measure", "--output=json", "-O", to]).arg(self.source());
        let output = command.output().map_err(|e| self.not_started(e))?;
        if !output.status.success() {
            return Err(self.failed(&String::from_utf8_lossy(&output.stderr)));
        }
        let answer: Option<Value> = serde_json::from_slice(&output.stdout).ok();
        let required = answer.as_ref().and_then(|answer| answer.get("required")?.as_u64());
        required.ok_or_else(|| self.failed("`qemu-img measure` gave no number"))
    }

    fn source(&self) -> String {
        format!("json:{}", self.from)
    }

    /// Runs to the end; syncs the result and makes it read-only.
    fn run(&self, cx: &Cx) -> Result<(), Error> {
        cx.check()?;
        let failed = |e| Error::io("write", self.new, e);
        // Made by us, so that it never belongs to others for a moment.
        fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(self.new).map_err(failed)?;
        let mut command = qemu_img();
        command.args(["convert", "-p", "-W", "-m", COROUTINES, "-O", self.to.name()]);
        command.arg(self.source()).arg(self.new).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = Running(command.spawn().map_err(|e| self.not_started(e))?);
        let (status, words) = child.watch(cx, self.what, self.size)?;
        if !status.success() {
            return Err(self.failed(&words));
        }
        if let Some(uuid) = &self.uuid {
            super::images::vdi::stamp(self.new, uuid).map_err(failed)?;
        }
        let file = File::open(self.new).map_err(failed)?;
        file.set_permissions(fs::Permissions::from_mode(MODE)).and_then(|()| file.sync_all()).map_err(failed)
    }

    fn not_started(&self, error: io::Error) -> Error {
        if error.kind() == ErrorKind::NotFound {
            return Error::NoTool { what: self.what.into(), program: QEMU_IMG };
        }
        Error::io("run", QEMU_IMG, error)
    }

    fn failed(&self, words: &str) -> Error {
        // glibc's words for ENOSPC and EDQUOT; qemu-img is not translated.
        if ["No space left on device", "Disk quota exceeded"].iter().any(|full| words.contains(full)) {
            return Error::io("write", self.new.parent().unwrap_or(self.new), ErrorKind::StorageFull.into());
        }
        let message = words.trim().trim_start_matches("qemu-img: ");
        // It names its source as we gave it, which says nothing to people.
        let message =
            message.replace(&self.source(), "the image").replace(&self.new.display().to_string(), "the new image");
        let message = super::name::printable(&message);
        Error::Convert { what: self.what.into(), message: message.chars().take(WORDS).collect() }
    }
}

fn qemu_img() -> Command {
    let mut command = Command::new(QEMU_IMG);
    // A group of its own: Ctrl-C is our part, which also removes what was made.
    command.env("LC_ALL", "C").stdin(Stdio::null()).process_group(0);
    sys::die_with_parent(&mut command);
    command
}

/// A child that does not outlive us, whichever way we leave.
struct Running(Child);

impl Running {
    /// Tells its progress until it ends; returns what it said of errors.
    fn watch(mut self, cx: &Cx, label: &str, size: u64) -> Result<(ExitStatus, String), Error> {
        let failed = |e| Error::io("read", QEMU_IMG, e);
        let (Some(output), Some(errors)) = (self.0.stdout.take(), self.0.stderr.take()) else {
            return Err(failed(ErrorKind::NotFound.into()));
        };
        let mut bar = cx.transfer(label, Some(size));
        let (send, progress) = channel();
        // Both threads end when the child's side of the pipe does.
        std::thread::spawn(move || read_progress(output, |done| send.send(done).is_ok()));
        let words = std::thread::spawn(move || {
            let mut text = Vec::new();
            let _ = errors.take(64 << 10).read_to_end(&mut text);
            String::from_utf8_lossy(&text).into_owned()
        });
        while let Some(hundredths) = next(cx, &progress)? {
            bar.update(u64::try_from(u128::from(size) * u128::from(hundredths) / 10_000).unwrap_or(size));
        }
        let status = self.0.wait().map_err(failed)?;
        Ok((status, words.join().unwrap_or_default()))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Failures mean that it has ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The next number; `None` at the end.
fn next(cx: &Cx, progress: &Receiver<u32>) -> Result<Option<u32>, Error> {
    loop {
        cx.check()?;
        match progress.recv_timeout(TICK) {
            Ok(hundredths) => return Ok(Some(hundredths)),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Ok(None),
        }
    }
}

/// `    (12.34/100%)\r`, again and again; `tell` gets hundredths of a per cent, and says whether to go on.
fn read_progress(mut from: impl Read, mut tell: impl FnMut(u32) -> bool) {
    let mut number = 0u32;
    let mut buffer = [0; 256];
    while let Ok(amount @ 1..) = from.read(&mut buffer) {
        for byte in &buffer[..amount] {
            match byte {
                b'(' => number = 0,
                b'0'..=b'9' => number = number.saturating_mul(10).saturating_add(u32::from(byte - b'0')),
                b'/' if !tell(number.min(10_000)) => return,
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_read_however_it_is_cut() {
        let text = b"    (0.00/100%)\r    (12.34/100%)\r    (100.00/100%)\n";
        let mut told = Vec::new();
        read_progress(&text[..], |number| {
            told.push(number);
            true
        });
        assert_eq!(told, [0, 1234, 10_000]);
    }

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
