//! What of a download has arrived, kept in the cache until its box is in the library: a later run reads it instead of
//! fetching it again.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};

use crate::store::{self, Dirs, Lock, Record, read_bounded, read_record, remove_file, write_record};
use crate::sys::spawn_detached;

/// From this size on it takes noticeably long to forget a file.
const LARGE: u64 = 64 << 20;

/// Which version of the file the server delivered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Validator {
    pub etag: Option<String>,
    pub last_modified: Option<String>,
    /// The server's clock was past that moment: nobody can have changed the file again within the same second.
    #[serde(default)]
    pub strong_date: bool,
    pub total: Option<u64>,
}

impl Validator {
    /// What `If-Range` may carry (RFC 9110, 13.1.5): a strong ETag; a strong date only where there is no ETag.
    pub fn if_range(&self) -> Option<&str> {
        match &self.etag {
            Some(tag) => Some(tag.as_str()).filter(|tag| !tag.starts_with("W/")),
            None => self.last_modified.as_deref().filter(|_| self.strong_date),
        }
    }

    /// Whether `later` may be the same file, as far as both tell.
    pub fn agrees_with(&self, later: &Self) -> bool {
        fn same<T: PartialEq>(a: Option<&T>, b: Option<&T>) -> bool {
            a.zip(b).is_none_or(|(a, b)| a == b)
        }
        same(self.etag.as_ref(), later.etag.as_ref())
            && same(self.last_modified.as_ref(), later.last_modified.as_ref())
            && same(self.total.as_ref(), later.total.as_ref())
    }
}

/// The record beside the bytes.
#[derive(Debug, Serialize, Deserialize)]
struct PartRecord {
    /// For people who look into the cache.
    url: String,
    #[serde(flatten)]
    validator: Validator,
    /// Which run of the kernel wrote the bytes: after a crash of the whole computer only synced ones are good.
    boot: String,
    synced: u64,
}

impl Record for PartRecord {
    const FORMAT: u32 = 1;
}

/// A download's bytes in the cache. Locked: a second process downloads without one.
pub(in crate::boxes) struct Part {
    data: PathBuf,
    record: PathBuf,
    url: String,
    file: File,
    validator: Validator,
    length: u64,
    lock: Lock,
}

impl Part {
    /// Opens what an earlier run left, or begins anew; `None` when another process has it. `id` stands for the URL,
    /// `shown` is the URL without secrets.
    pub fn open(dirs: &Dirs, id: &str, shown: &str) -> Result<Option<Self>, store::Error> {
        let path = |ending: &str| dirs.downloads().join(format!("{id}.{ending}"));
        let (data, record) = (path("part"), path("json"));
        let Some(lock) = Lock::try_exclusive(&path("lock"), "box add")? else { return Ok(None) };
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(&data).map_err(|e| store::Error::io("open", &data, e))?;
        let size = file.metadata().map_err(|e| store::Error::io("read", &data, e))?.len();
        // A record that cannot be read is one of a cache: begin anew.
        let former: Option<PartRecord> = read_record(&record).ok().flatten();
        let (validator, length) = former
            .filter(|former| former.validator.if_range().is_some())
            .map(|former| {
                let good = if former.boot == boot_id() { size } else { former.synced.min(size) };
                (former.validator, good)
            })
            .unwrap_or_default();
        Ok(Some(Self { data, record, url: shown.into(), file, validator, length, lock }))
    }

    /// How far another process is at this moment, and how far it has to go; `None` when none has it.
    pub fn watch(dirs: &Dirs, id: &str) -> Option<(u64, Option<u64>)> {
        let path = |ending: &str| dirs.downloads().join(format!("{id}.{ending}"));
        if !Lock::is_held(&path("lock")) {
            return None;
        }
        let done = path("part").metadata().ok()?.len();
        let record: PartRecord = read_record(&path("json")).ok().flatten()?;
        Some((done, record.validator.total))
    }

    /// How many good bytes there are.
    pub fn length(&self) -> u64 {
        self.length
    }

    pub(super) fn validator(&self) -> &Validator {
        &self.validator
    }

    /// Begins anew with another version of the file.
    pub(super) fn reset(&mut self, validator: Validator) -> Result<(), store::Error> {
        // First the bytes, then the record: a record never speaks of bytes that it does not belong to.
        self.file.set_len(0).map_err(|e| store::Error::io("write", &self.data, e))?;
        self.length = 0;
        self.validator = validator;
        self.note(0)
    }

    /// Adds bytes at the end.
    pub(super) fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(self.length))?;
        self.file.write_all(bytes)?;
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// The good bytes, from the first.
    pub(super) fn read(&self) -> io::Result<impl Read> {
        let mut file = File::open(&self.data)?;
        file.rewind()?;
        Ok(file.take(self.length))
    }

    /// The box is not there yet: a later run goes on from here.
    pub fn keep(self) {
        // Failing only means that a later run fetches more.
        let kept = self.file.sync_data().is_ok() && self.note(self.length).is_ok();
        if !kept || self.length == 0 || self.validator.if_range().is_none() {
            self.discard();
        }
    }

    /// The box is there, or will never be.
    pub fn discard(self) {
        let Self { data, record, file, lock, .. } = self;
        // What cannot be removed is a file in a cache.
        for path in [&data, &record] {
            let _ = remove_file(path);
        }
        let _ = lock.remove();
        if file.metadata().is_ok_and(|about| about.len() >= LARGE) {
            // Without it we close the file ourselves, and wait.
            let _ = close_elsewhere(file);
        }
    }

    fn note(&self, synced: u64) -> Result<(), store::Error> {
        let record = PartRecord { url: self.url.clone(), validator: self.validator.clone(), boot: boot_id(), synced };
        write_record(&self.record, &record)
    }
}

/// Has a file that has no name any more closed by another process. Whoever closes such a file last waits until the kernel
/// has forgotten all of it: half a second for a gigabyte, and longer while the disk is busy with it. A thread of ours would
/// not do, because our own end waits for it. `cat` does nothing with the file, and ends when we have let go of both.
fn close_elsewhere(file: File) -> io::Result<()> {
    let mut command = Command::new("cat");
    command.current_dir("/").stdin(Stdio::piped()).stdout(file).stderr(Stdio::null());
    let mut child = spawn_detached(&mut command, &[])?;
    // In this order: our copy of the file is in the command.
    drop(command);
    drop(child.stdin.take());
    // A command that goes on for long collects it.
    std::thread::Builder::new().spawn(move || child.wait()).map(drop)
}

/// Changes with every start of the kernel; empty (and so never trusted) where there is none.
fn boot_id() -> String {
    let id = read_bounded(Path::new("/proc/sys/kernel/random/boot_id"), 100).ok().flatten().unwrap_or_default();
    let id = String::from_utf8_lossy(&id).trim().to_owned();
    if id.is_empty() { format!("unknown {}", std::process::id()) } else { id }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    fn validator(etag: &str) -> Validator {
        Validator { etag: Some(etag.into()), total: Some(10), ..Validator::default() }
    }

    #[test]
    fn a_kept_part_is_found_again_and_a_discarded_one_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let dirs = Dirs::below(dir.path());
        let open = || Part::open(&dirs, "id", "http://x/y").unwrap();
        let mut part = open().unwrap();
        assert!(open().is_none(), "one process at a time");
        part.reset(validator("\"a\"")).unwrap();
        part.append(b"abc").unwrap();
        part.keep();
        let mut part = open().unwrap();
        part.append(b"d").unwrap();
        assert_eq!((part.length(), part.validator()), (4, &validator("\"a\"")));
        let mut text = String::new();
        part.read().unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "abcd");
        part.discard();
        assert_eq!(std::fs::read_dir(dirs.downloads()).unwrap().count(), 0);
    }

    #[test]
    fn a_large_part_is_gone_at_once_and_nobody_keeps_it() {
        let dir = tempfile::tempdir().unwrap();
        let dirs = Dirs::below(dir.path());
        let part = Part::open(&dirs, "id", "http://x/y").unwrap().unwrap();
        part.file.set_len(LARGE).unwrap();
        let inode = part.file.metadata().unwrap().ino();
        part.discard();
        assert_eq!(std::fs::read_dir(dirs.downloads()).unwrap().count(), 0);
        while somebody_has(inode) {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }

    /// Whether a process has the file open (`proc_pid_fd(5)`).
    fn somebody_has(inode: u64) -> bool {
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        let open =
            processes.flat_map(|process| std::fs::read_dir(process.path().join("fd")).into_iter().flatten().flatten());
        let is_it = |about: std::fs::Metadata| about.ino() == inode && about.nlink() == 0;
        open.filter_map(|fd| std::fs::metadata(fd.path()).ok()).any(is_it)
    }

    #[test]
    fn a_killed_run_leaves_its_bytes_but_only_with_a_validator() {
        let dir = tempfile::tempdir().unwrap();
        let dirs = Dirs::below(dir.path());
        for (etag, good) in [("\"a\"", 3), ("W/\"a\"", 0)] {
            let mut part = Part::open(&dirs, "id", "http://x/y").unwrap().unwrap();
            part.reset(validator(etag)).unwrap();
            part.append(b"abc").unwrap();
            drop(part);
            assert_eq!(Part::open(&dirs, "id", "http://x/y").unwrap().unwrap().length(), good);
        }
    }
}
