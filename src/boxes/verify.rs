//! Looks at everything in the library again. Changes nothing: each finding names the command that mends it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::num::NonZero;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::Error;
use super::checksum::{hex, is_sha256};
use super::gc::is_temporary;
use super::images::{self, FileSource, Format};
use super::library::{Library, Listing};
use super::manifest::{Installed, Manifest, digest_of};
use super::mend::{add_again, quoted};
use super::needs::Needs;
use super::qemu_img::{self, Failed};
use super::sweep::stored;
use crate::error::Exit;
use crate::progress::{Cx, Interrupted, Transfer};

/// How much is read and hashed at a time.
const BLOCK: usize = 1 << 20;

/// What is wrong with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Trouble {
    /// Its content is not what its name says.
    Damaged,
    /// It is not there.
    Missing,
    /// The record of a box cannot be read, or lies in the wrong place.
    Manifest,
    /// It cannot be read.
    Unreadable,
    /// It can be changed, although machines stand on it.
    Permissions,
    /// Not a file of the library: no harm.
    Foreign,
    /// Nothing needs it: no harm.
    Unneeded,
}

impl Trouble {
    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Damaged => "damaged",
            Self::Missing => "missing",
            Self::Manifest => "bad record",
            Self::Unreadable => "unreadable",
            Self::Permissions => "writable",
            Self::Foreign => "foreign",
            Self::Unneeded => "unneeded",
        }
    }

    /// The code of a library whose worst trouble this is.
    fn exit(self) -> Exit {
        match self {
            Self::Damaged | Self::Missing => Exit::Checksum,
            Self::Manifest => Exit::State,
            Self::Unreadable => Exit::Io,
            Self::Permissions => Exit::Failure,
            Self::Foreign | Self::Unneeded => Exit::Ok,
        }
    }
}

/// Something that is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What it is.
    pub trouble: Trouble,
    /// Which file.
    pub path: PathBuf,
    /// More about it.
    pub detail: String,
    /// Boxes that need it, as `name version`.
    pub boxes: Vec<String>,
    /// Machines that stand on it.
    pub machines: Vec<String>,
    /// The command that mends it, where there is one.
    pub mend: Option<String>,
}

/// What [`Library::verify`] saw.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Boxes whose files were read.
    pub boxes: usize,
    /// Files that were read.
    pub files: usize,
    /// Bytes that were read.
    pub bytes: u64,
    /// What is wrong, the worst first.
    pub findings: Vec<Finding>,
}

impl Verdict {
    /// Success unless something is wrong that harms a box or machine.
    pub fn exit(&self) -> Exit {
        self.findings.first().map_or(Exit::Ok, |worst| worst.trouble.exit())
    }
}

/// A file of `disks` as its name promises it.
struct Promise<'a> {
    file: String,
    boxes: Vec<&'a Manifest>,
    machines: Vec<String>,
    /// Of a box, or of the machine's record of it.
    origin: &'a Manifest,
}

impl Library {
    /// Reads and hashes every file that boxes or machines need, with all cores, and looks for what does not belong here;
    /// with `names` only the files of these boxes. Takes no lock.
    pub fn verify(&self, cx: &Cx, names: &[String], needs: &Needs) -> Result<Verdict, Error> {
        let listing = self.list()?;
        let wanted = |name: &String| names.is_empty() || names.contains(name);
        let boxes: Vec<&Installed> = listing.boxes.iter().filter(|one| wanted(&one.manifest.name)).collect();
        let promises = promises(&boxes, needs, names.is_empty());
        let (bytes, mut findings) = self.hash_all(cx, &promises)?;
        findings.extend(self.manifest_findings(&listing, &wanted));
        findings.extend(self.converted_findings(cx, &promises)?);
        if names.is_empty() {
            findings.extend(self.stray_findings(&listing, needs));
        }
        // What was removed or replaced while we read is nobody's damage.
        if findings.iter().any(|one| matches!(one.trouble, Trouble::Missing)) {
            let now = self.list()?;
            let still: BTreeSet<String> = now.boxes.iter().flat_map(|one| one.manifest.files()).collect();
            findings.retain(|one| {
                one.trouble != Trouble::Missing
                    || !one.machines.is_empty()
                    || one.path.file_name().is_some_and(|name| still.contains(&*name.to_string_lossy()))
            });
        }
        findings.sort_by(|a, b| (a.trouble, &a.path).cmp(&(b.trouble, &b.path)));
        Ok(Verdict { boxes: boxes.len(), files: promises.len(), bytes, findings })
    }

    /// Large files first, so that at the end no thread is left alone with one.
    fn hash_all(&self, cx: &Cx, promises: &[Promise<'_>]) -> Result<(u64, Vec<Finding>), Error> {
        let size =
            |promise: &&Promise<'_>| fs::metadata(self.disks().join(&promise.file)).map_or(0, |about| about.len());
        let mut order: Vec<_> = promises.iter().map(|promise| (size(&promise), promise)).collect();
        order.sort_by_key(|(size, _)| std::cmp::Reverse(*size));
        let total = order.iter().map(|(size, _)| size).sum();
        let reading = Reading {
            cx,
            bar: Mutex::new(cx.transfer("verify", Some(total))),
            done: AtomicU64::new(0),
            next: AtomicUsize::new(0),
        };
        let findings = Mutex::new(Vec::new());
        let work = || {
            while let Some((_, promise)) = order.get(reading.next.fetch_add(1, Ordering::Relaxed)) {
                let found = self.judge(&reading, promise)?;
                findings.lock().unwrap_or_else(PoisonError::into_inner).extend(found);
            }
            Ok::<_, Error>(())
        };
        let cores = thread::available_parallelism().map_or(1, NonZero::get).min(order.len());
        thread::scope(|scope| {
            let threads: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
            let panicked = |_| Err(Error::io("read", self.disks(), std::io::Error::other("a reading thread panicked")));
            threads.into_iter().try_for_each(|thread| thread.join().unwrap_or_else(panicked))
        })?;
        Ok((total, findings.into_inner().unwrap_or_else(PoisonError::into_inner)))
    }

    /// One file against its promise. An error is an interruption only.
    fn judge(&self, reading: &Reading<'_>, promise: &Promise<'_>) -> Result<Vec<Finding>, Error> {
        let path = self.disks().join(&promise.file);
        let again = Some(add_again(promise.origin));
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(e) if e.kind() == ErrorKind::NotFound => {
                return Ok(vec![promise.finding(Trouble::Missing, path, String::new(), again)]);
            }
            Err(e) => {
                let mend = Some(format!("chmod 400 {}", quoted(&path.display().to_string())));
                return Ok(vec![promise.finding(Trouble::Unreadable, path, e.to_string(), mend)]);
            }
        };
        let mut findings = Vec::new();
        if let Some((detail, mend)) = open_to_change(&path) {
            findings.push(promise.finding(Trouble::Permissions, path.clone(), detail, Some(mend)));
        }
        match reading.sha256(file) {
            Ok(found) if found == digest_of(&promise.file) => {}
            Ok(found) => {
                let detail = format!("its content has sha256:{found}");
                findings.push(promise.finding(Trouble::Damaged, path, detail, again));
            }
            Err(e) => {
                reading.cx.check()?;
                findings.push(promise.finding(Trouble::Damaged, path, e.to_string(), again));
            }
        }
        Ok(findings)
    }

    fn manifest_findings(&self, listing: &Listing, wanted: &dyn Fn(&String) -> bool) -> Vec<Finding> {
        let bad = |path: &Path, name: String, detail| Finding {
            trouble: Trouble::Manifest,
            path: path.into(),
            detail,
            boxes: vec![name],
            machines: Vec::new(),
            mend: Some(format!(
                "mv {} {}.bad",
                quoted(&path.display().to_string()),
                quoted(&path.display().to_string())
            )),
        };
        let damaged = listing.damaged.iter().filter(|one| wanted(&one.name));
        let damaged = damaged.map(|one| bad(&one.path, one.name.clone(), cause(&one.error)));
        let misplaced = listing.boxes.iter().filter(|one| wanted(&one.manifest.name)).filter_map(|one| {
            let place = self.manifest_path(&one.manifest).ok()?;
            let detail = format!("it belongs to {}", place.display());
            (place != one.path).then(|| bad(&one.path, shown(&one.manifest), detail))
        });
        damaged.chain(misplaced).collect()
    }

    /// Converted disks can be made again; what can be told of them is whether their headers and tables are sound.
    fn converted_findings(&self, cx: &Cx, promises: &[Promise<'_>]) -> Result<Vec<Finding>, Error> {
        let mut by_digest: BTreeMap<&str, &Promise<'_>> = BTreeMap::new();
        by_digest.extend(promises.iter().map(|promise| (digest_of(&promise.file), promise)));
        let mut findings = Vec::new();
        for file in stored(&self.converted()) {
            let (Some(promise), Some(format)) = (by_digest.get(digest_of(&file.name)), format_of(&file.path)) else {
                continue;
            };
            if let Some((detail, mend)) = open_to_change(&file.path) {
                findings.push(promise.finding(Trouble::Permissions, file.path.clone(), detail, Some(mend)));
            }
            if let Some(detail) = unsound(cx, format, &file.path)? {
                // The next machine that wants it converts it anew.
                let mend = Some(format!("rm {}", quoted(&file.path.display().to_string())));
                findings.push(promise.finding(Trouble::Damaged, file.path, detail, mend));
            }
        }
        Ok(findings)
    }

    /// What does not belong here, or not any more.
    fn stray_findings(&self, listing: &Listing, needs: &Needs) -> Vec<Finding> {
        let finding = |trouble, path: PathBuf, detail: &str, mend| Finding {
            trouble,
            path,
            detail: detail.into(),
            boxes: Vec::new(),
            machines: Vec::new(),
            mend,
        };
        let mut findings = Vec::new();
        let root = self.dirs.boxes();
        if fs::metadata(&root).is_ok_and(|about| about.mode() & 0o022 != 0) {
            let mend = Some(format!("chmod go-w {}", quoted(&root.display().to_string())));
            findings.push(finding(Trouble::Permissions, root, "other users can change it", mend));
        }
        for file in self.unneeded(listing, &|digest| !needs.machines(digest).is_empty()) {
            let mend = Some("vbox-rs box gc".into());
            findings.push(finding(Trouble::Unneeded, file.path, "no box and no machine needs it", mend));
        }
        let contents = [self.disks(), self.converted()];
        let contents = contents.iter().flat_map(|folder| stored(folder));
        let contents = contents.filter(|file| !is_sha256(digest_of(&file.name))).map(|file| file.path);
        for path in listing.others.iter().cloned().chain(contents) {
            findings.push(if is_temporary(&path) {
                let mend = Some("vbox-rs box gc".into());
                finding(Trouble::Unneeded, path, "a killed command left it", mend)
            } else {
                finding(Trouble::Foreign, path, "vbox-rs did not put it here", None)
            });
        }
        findings
    }
}

impl Promise<'_> {
    fn finding(&self, trouble: Trouble, path: PathBuf, detail: String, mend: Option<String>) -> Finding {
        let boxes = self.boxes.iter().map(|manifest| shown(manifest)).collect();
        Finding { trouble, path, detail, boxes, machines: self.machines.clone(), mend }
    }
}

fn promises<'a>(boxes: &[&'a Installed], needs: &'a Needs, everything: bool) -> Vec<Promise<'a>> {
    let mut all: BTreeMap<String, Promise<'a>> = BTreeMap::new();
    let promise =
        |file: &String, origin| Promise { file: file.clone(), boxes: Vec::new(), machines: Vec::new(), origin };
    for manifest in boxes.iter().map(|installed| &installed.manifest) {
        for file in manifest.files() {
            all.entry(file.clone()).or_insert_with(|| promise(&file, manifest)).boxes.push(manifest);
        }
    }
    for (file, need) in needs.files() {
        if everything || all.contains_key(file) {
            let promise = all.entry(file.clone()).or_insert_with(|| promise(file, &need.manifest));
            promise.machines.clone_from(&need.machines);
        }
    }
    all.into_values().collect()
}

/// Files that are being read, by several threads.
struct Reading<'a> {
    cx: &'a Cx,
    bar: Mutex<Transfer>,
    done: AtomicU64,
    next: AtomicUsize,
}

impl Reading<'_> {
    fn sha256(&self, mut file: File) -> std::io::Result<String> {
        let mut hasher = Sha256::new();
        let mut block = vec![0; BLOCK];
        loop {
            self.cx.check().map_err(std::io::Error::other)?;
            let amount = file.read(&mut block)?;
            if amount == 0 {
                return Ok(hex(&hasher.finalize()));
            }
            hasher.update(&block[..amount]);
            let done = self.done.fetch_add(amount as u64, Ordering::Relaxed) + amount as u64;
            self.bar.lock().unwrap_or_else(PoisonError::into_inner).update(done);
        }
    }
}

/// What is wrong with the permissions of a file that nobody may change, and what mends it.
fn open_to_change(path: &Path) -> Option<(String, String)> {
    let mode = fs::metadata(path).ok()?.mode() & 0o7777;
    let mend = format!("chmod 400 {}", quoted(&path.display().to_string()));
    (mode & 0o222 != 0).then(|| (format!("its permissions are {mode:o}; nobody should be able to change it"), mend))
}

/// The format that the name of a converted disk tells; `None` for what else lies beside them.
fn format_of(path: &Path) -> Option<Format> {
    let ending = path.extension()?;
    Format::ALL.iter().copied().find(|format| ending == format.ending())
}

/// What is wrong with a disk that was converted, as far as its headers tell, and its tables where `qemu-img` is there.
fn unsound(cx: &Cx, format: Format, path: &Path) -> Result<Option<String>, Interrupted> {
    if format == Format::Raw {
        let is_empty = fs::metadata(path).is_ok_and(|about| about.len() == 0);
        return Ok(is_empty.then(|| "it is empty".into()));
    }
    let inspected = File::open(path).and_then(FileSource::new).map_err(images::Error::from);
    match inspected.and_then(|source| images::inspect(&source)) {
        // Removed meanwhile.
        Err(images::Error::Read(error)) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Ok(Some(error.to_string())),
        Ok(image) if image.format != format => return Ok(Some(format!("it is a {} image", image.format))),
        Ok(_) => {}
    }
    match qemu_img::check(cx, format, path) {
        Err(Failed::Interrupted(interrupted)) => Err(interrupted),
        Err(Failed::Said(words)) => Ok(Some(words)),
        Err(Failed::Missing | Failed::Run(_) | Failed::Full) | Ok(()) => Ok(None),
    }
}

fn shown(manifest: &Manifest) -> String {
    format!("{} {}", manifest.name, manifest.version)
}

/// The error without the path, which the finding names.
fn cause(error: &crate::store::Error) -> String {
    use std::error::Error as _;
    error.source().map_or_else(|| error.to_string(), ToString::to_string)
}
