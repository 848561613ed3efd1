//! Overlays, copy-on-write disks on a box's image; and empty disks.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::super::Error;
use super::files::Files;
use super::host;
use crate::progress::Cx;
use crate::provider::{Backing, Boot, Image, PlannedDisk, VmPlan};
use crate::store;
use crate::sys;
use crate::trace;

/// The fields of version 2 (`docs/interop/qcow2.txt`), which later versions begin with too.
const HEADER: usize = 72;

/// A longer path is not one of ours; the format allows 1023.
const NAME_LIMIT: u64 = 4096;

/// What the head of a qcow2 file says.
#[derive(Debug, PartialEq, Eq)]
pub struct Overlay {
    /// Virtual size in bytes.
    pub size: u64,
    /// The image below it.
    pub backing: Option<PathBuf>,
}

impl Overlay {
    /// Reads the head of a file; `None` when there is no file.
    pub fn read(path: &Path) -> Result<Option<Self>, Error> {
        let damaged = |why| Error::DiskDamaged { path: path.into(), why };
        let mut file = match File::open(path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(store::Error::io("read", path, e).into()),
        };
        let mut head = [0; HEADER];
        file.read_exact(&mut head).map_err(|_| damaged("it is shorter than a qcow2 header"))?;
        if &head[..4] != b"QFI\xfb" {
            return Err(damaged("it is not a qcow2 image"));
        }
        let (at, length) = (long(&head, 8), u64::from(word(&head, 16)));
        let mut name = vec![0; usize::try_from(length.min(NAME_LIMIT)).unwrap_or_default()];
        if at != 0 {
            let read = std::os::unix::fs::FileExt::read_exact_at(&file, &mut name, at);
            read.map_err(|_| damaged("the name of its backing file is cut off"))?;
        }
        let backing = (at != 0).then(|| PathBuf::from(OsString::from_vec(name)));
        Ok(Some(Self { size: long(&head, 24), backing }))
    }
}

fn word(bytes: &[u8; HEADER], at: usize) -> u32 {
    bytes[at..at + 4].iter().fold(0, |number, &byte| number << 8 | u32::from(byte))
}

fn long(bytes: &[u8; HEADER], at: usize) -> u64 {
    u64::from(word(bytes, at)) << 32 | u64::from(word(bytes, at + 4))
}

/// Lets an overlay rest on another file with the same content as what it rests on now; neither is opened.
#[cfg(feature = "libvirt")]
pub fn rest_on(path: &Path, backing: &Path, format: &str) -> Result<(), Error> {
    let words: [&OsStr; 9] = [
        "rebase".as_ref(),
        "-u".as_ref(),
        "-f".as_ref(),
        "qcow2".as_ref(),
        "-F".as_ref(),
        format.as_ref(),
        "-b".as_ref(),
        backing.as_os_str(),
        path.as_os_str(),
    ];
    qemu_img("rebase", path, &words)
}

/// Makes the overlay unless it is there. A crash leaves no half overlay under the final name.
fn ensure(files: &Files, index: usize, disk: &PlannedDisk) -> Result<(), Error> {
    let path = files.disk(index);
    if path.exists() {
        return Ok(());
    }
    // A name of this process alone: what an earlier one left, killed, may not have let go of its file yet.
    let new = files.new_disk(index, std::process::id());
    match &disk.backing {
        Some(backing) => create_overlay(&new, &path, backing, disk.size)?,
        None => create(&path, &[new.as_os_str(), disk.size.unwrap_or_default().to_string().as_ref()])?,
    }
    let finish = || -> io::Result<()> {
        File::open(&new)?.sync_all()?;
        fs::rename(&new, &path)
    };
    finish().map_err(|e| store::Error::io("write", &path, e))?;
    Ok(store::sync_dir(files.dir())?)
}

/// Makes an overlay at `new`, which will be `path`.
fn create_overlay(new: &Path, path: &Path, backing: &Backing, size: Option<u64>) -> Result<(), Error> {
    let below = std::path::absolute(&backing.path).map_err(|e| store::Error::io("find", &backing.path, e))?;
    if !below.exists() {
        return Err(Error::FileMissing { what: "the box's image", path: below });
    }
    create(path, &["-F".as_ref(), backing.format.as_ref(), "-b".as_ref(), below.as_os_str(), new.as_os_str()])?;
    match (size, Overlay::read(new)?) {
        (Some(to), Some(Overlay { size: from, .. })) => {
            check_shrink(path, from, to)?;
            if to > from { resize(new, to) } else { Ok(()) }
        }
        _ => Ok(()),
    }
}

/// Makes a qcow2 image; `path` is what it will be, for people.
fn create(path: &Path, how: &[&OsStr]) -> Result<(), Error> {
    let words = ["create", "-q", "-f", "qcow2"].map(OsStr::new);
    qemu_img("create", path, &[&words, how].concat())
}

/// Whether an existing overlay must grow for the plan; refuses to shrink it.
fn must_grow(files: &Files, index: usize, disk: &PlannedDisk) -> Result<bool, Error> {
    let path = files.disk(index);
    match (disk.size, Overlay::read(&path)?) {
        (Some(to), Some(Overlay { size: from, .. })) => {
            check_shrink(&path, from, to)?;
            Ok(to > from)
        }
        _ => Ok(false),
    }
}

/// Refuses to shrink an existing overlay; whatever has it open.
pub fn refuse_shrink(files: &Files, plan: &VmPlan) -> Result<(), Error> {
    plan.disks.iter().enumerate().try_for_each(|(index, disk)| must_grow(files, index, disk).map(drop))
}

fn check_shrink(path: &Path, from: u64, to: u64) -> Result<(), Error> {
    if to < from { Err(Error::Shrink { path: path.into(), from, to }) } else { Ok(()) }
}

/// Makes or completes all overlays of a plan, of which `made` were complete once. `busy`: why none of them can grow now.
pub fn complete(
    cx: &Cx,
    files: &Files,
    plan: &VmPlan,
    made: usize,
    busy: &mut dyn FnMut() -> Result<Option<&'static str>, Error>,
) -> Result<(), Error> {
    files.remove_half_disks()?;
    for (index, planned) in plan.disks.iter().enumerate() {
        cx.check()?;
        let path = files.disk(index);
        if index < made && !path.exists() {
            return Err(Error::FileMissing { what: "the disk", path });
        }
        if index >= made && planned.backing.is_none() {
            // Cut short before its first start: nothing was ever written to it.
            store::remove_file(&path)?;
        }
        ensure(files, index, planned)?;
        if must_grow(files, index, planned)? {
            if let Some(state) = busy()? {
                let hint = "shut it down first: `vbox-rs halt`";
                return Err(Error::State { action: "grow a disk of", state, hint });
            }
            resize(&path, planned.size.unwrap_or_default())?;
        }
    }
    Ok(())
}

/// What a start needs and nobody else checks, with a word of ours instead of the hypervisor's.
pub fn require_files(files: &Files, plan: &VmPlan) -> Result<(), Error> {
    let require = |what, path: &Path| {
        if path.exists() { Ok(()) } else { Err(Error::FileMissing { what, path: path.into() }) }
    };
    for index in 0..plan.disks.len() {
        let path = files.disk(index);
        let overlay = Overlay::read(&path)?.ok_or(Error::FileMissing { what: "the disk", path })?;
        overlay.backing.map_or(Ok(()), |backing| require("the box's image", &backing))?;
    }
    if let Boot::Kernel { kernel, initrd, .. } = &plan.boot {
        require("the box's kernel", kernel)?;
        initrd.as_deref().map_or(Ok(()), |initrd| require("the box's initrd", initrd))?;
    }
    plan.seed.as_deref().map_or(Ok(()), |seed| require("the seed", seed))
}

/// The overlays that are there.
pub fn images(files: &Files) -> Result<Vec<Image>, Error> {
    let mut images = Vec::new();
    loop {
        let path = files.disk(images.len());
        let Some(Overlay { size: virtual_size, .. }) = Overlay::read(&path)? else { return Ok(images) };
        images.push(Image { path, format: "qcow2".into(), virtual_size });
    }
}

/// Grows the overlay at `path`.
fn resize(path: &Path, size: u64) -> Result<(), Error> {
    let size = size.to_string();
    let words: [&OsStr; 6] =
        ["resize".as_ref(), "-q".as_ref(), "-f".as_ref(), "qcow2".as_ref(), path.as_os_str(), size.as_ref()];
    qemu_img("resize", path, &words)
}

/// Runs `qemu-img`; `path` is what it makes or changes, for people.
fn qemu_img(verb: &str, path: &Path, args: &[&OsStr]) -> Result<(), Error> {
    let program = host::find(host::QEMU_IMG).ok_or_else(|| host::missing(host::QEMU_IMG))?;
    let mut command = Command::new(&program);
    // A group of its own: Ctrl-C must not cut it in the middle of a resize. It takes some milliseconds.
    command.args(args).stdin(Stdio::null()).process_group(0);
    sys::die_with_parent(&mut command);
    trace::command(&command);
    let program = format!("qemu-img {verb}");
    let output = command.output().map_err(|source| Error::Run { program: program.clone(), source })?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    // glibc's words for ENOSPC and EDQUOT; qemu-img is not translated.
    if ["No space left on device", "Disk quota exceeded"].iter().any(|words| text.contains(words)) {
        return Err(Error::Full { program, path: path.into() });
    }
    let message = text.trim().trim_start_matches("qemu-img: ").chars().take(2000).collect();
    Err(Error::Tool { program, message })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(size: u64, backing: &str) -> Vec<u8> {
        let mut bytes = vec![0; HEADER];
        bytes[..4].copy_from_slice(b"QFI\xfb");
        bytes[24..32].copy_from_slice(&size.to_be_bytes());
        if !backing.is_empty() {
            bytes[8..16].copy_from_slice(&(HEADER as u64).to_be_bytes());
            bytes[16..20].copy_from_slice(&u32::try_from(backing.len()).unwrap().to_be_bytes());
        }
        bytes.extend_from_slice(backing.as_bytes());
        bytes
    }

    #[test]
    fn the_head_tells_size_and_backing_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("disk");
        assert_eq!(Overlay::read(&path).unwrap(), None);
        for (bytes, expected) in [
            (header(5 << 30, "/b/x.qcow2"), Ok(Overlay { size: 5 << 30, backing: Some("/b/x.qcow2".into()) })),
            (header(1, ""), Ok(Overlay { size: 1, backing: None })),
            (b"QFI".to_vec(), Err("shorter")),
            (vec![0; 100], Err("not a qcow2")),
            (header(1, "/b/x")[..HEADER + 2].to_vec(), Err("cut off")),
        ] {
            fs::write(&path, bytes).unwrap();
            match (Overlay::read(&path), expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, Some(expected)),
                (Err(error), Err(words)) => assert!(error.to_string().contains(words), "{error}"),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn a_disk_grows_and_never_shrinks() {
        let dir = tempfile::tempdir().unwrap();
        let files = Files::new(dir.path());
        fs::write(files.disk(0), header(2 << 30, "/b")).unwrap();
        let planned = |size| PlannedDisk { size, ..PlannedDisk::overlay("/b".into(), "raw") };
        assert!(!must_grow(&files, 0, &planned(None)).unwrap());
        assert!(!must_grow(&files, 0, &planned(Some(2 << 30))).unwrap());
        assert!(must_grow(&files, 0, &planned(Some(3 << 30))).unwrap());
        let error = must_grow(&files, 0, &planned(Some(1 << 30))).unwrap_err().to_string();
        assert!(error.ends_with("has 2 GiB and cannot shrink to 1 GiB"), "{error}");
    }
}
