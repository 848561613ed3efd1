//! The files in a machine's directory that belong to this provider.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::super::Error;
use crate::store::{self, MachineId};

/// A console log that is longer at a start is put aside, so two of them bound what a chatty guest can fill.
const LOG_LIMIT: u64 = 16 << 20;

/// How the name of a copy of a disk ends.
const COPY: &str = ".copy.vdi";

/// How deep a machine lies in groups, at most.
const GROUPS: u32 = 6;

/// Paths below the machine's directory.
#[derive(Clone, Debug)]
pub struct Files(PathBuf);

impl Files {
    /// For the machine that lives in `dir`.
    pub fn new(dir: &Path) -> Self {
        Self(dir.into())
    }

    /// See `record`.
    pub fn record(&self) -> PathBuf {
        self.0.join("virtualbox.json")
    }

    /// All that VirtualBox writes, and the disks.
    pub fn folder(&self) -> PathBuf {
        self.0.join("virtualbox")
    }

    /// A disk.
    pub fn disk(&self, index: usize) -> PathBuf {
        self.folder().join(format!("disk{index}.vdi"))
    }

    /// A disk that is being made of another one.
    pub fn new_disk(&self, index: usize) -> PathBuf {
        self.folder().join(format!("new{index}.vdi"))
    }

    /// Copies of disks for others to read, of this machine or one that lives around it.
    pub fn copies(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.0).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
        entries.filter(|path| path.to_string_lossy().ends_with(COPY)).collect()
    }

    /// What lets VirtualBox read the seed, which is no disk to it by itself.
    pub fn seed(&self) -> PathBuf {
        self.0.join("seed.vmdk")
    }

    /// What the guest wrote to its serial console since its last start.
    pub fn console_log(&self) -> PathBuf {
        self.0.join("console.log")
    }

    /// What it wrote before, the oldest first.
    pub fn earlier_console_logs(&self) -> Vec<PathBuf> {
        let both = [self.old_console_log(), self.lent_console_log()];
        both.into_iter().filter(|path| path.exists()).collect()
    }

    /// What it wrote in earlier starts.
    fn old_console_log(&self) -> PathBuf {
        self.0.join("console.log.old")
    }

    /// What it wrote while its console was lent, until that is with the rest.
    fn lent_console_log(&self) -> PathBuf {
        self.0.join("console.log.lent")
    }

    /// There while the console is lent; see `console`.
    pub fn console_lock(&self) -> PathBuf {
        self.0.join("console.lock")
    }

    /// Where VirtualBox listens while the console is lent.
    pub fn console_socket(&self) -> PathBuf {
        self.0.join("console.sock")
    }

    /// Puts the console's log aside: VirtualBox begins the file anew with each start.
    pub fn keep_console(&self) -> Result<(), store::Error> {
        self.keep_lent_console()?;
        self.keep(&self.console_log())
    }

    /// Puts the console's log aside for a moment in which somebody still writes to it.
    pub fn lend_console(&self) -> Result<(), store::Error> {
        self.keep_lent_console()?;
        let now = self.console_log();
        match fs::rename(&now, self.lent_console_log()) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(store::Error::io("put aside", &now, e)),
            _ => Ok(()),
        }
    }

    /// Puts what `lend_console` put aside to the rest: nobody writes to it any more.
    pub fn keep_lent_console(&self) -> Result<(), store::Error> {
        self.keep(&self.lent_console_log())
    }

    fn keep(&self, part: &Path) -> Result<(), store::Error> {
        let old = self.old_console_log();
        let long = |path: &Path| path.metadata().is_ok_and(|meta| meta.len() > LOG_LIMIT);
        let keep = || -> io::Result<()> {
            if long(&old) || long(part) || !old.exists() {
                return fs::rename(part, &old);
            }
            let mut from = File::open(part)?;
            let mut to = OpenOptions::new().append(true).mode(0o600).open(&old)?;
            io::copy(&mut from, &mut to)?;
            fs::remove_file(part)
        };
        match keep() {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(store::Error::io("put aside", part, e)),
            _ => Ok(()),
        }
    }

    /// What VirtualBox says of the machine's last start. It lies in folders that are called as the machine and its groups,
    /// which its user may change.
    pub fn log(&self) -> Option<PathBuf> {
        let mut folders = vec![(self.folder(), 0)];
        let mut newest = None;
        while let Some((folder, depth)) = folders.pop() {
            let log = folder.join("Logs").join("VBox.log");
            if let Ok(modified) = log.metadata().and_then(|meta| meta.modified()) {
                newest = newest.max(Some((modified, log)));
            }
            if depth < GROUPS {
                let inner = fs::read_dir(&folder).into_iter().flatten().filter_map(Result::ok);
                let inner = inner.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
                folders.extend(inner.map(|entry| (entry.path(), depth + 1)));
            }
        }
        newest.map(|(_, log)| log)
    }

    /// Removes all of it, the record last.
    pub fn remove(&self) -> Result<(), store::Error> {
        if self.folder().exists() {
            store::remove_dir(&self.folder())?;
        }
        let logs = [self.console_log(), self.old_console_log(), self.lent_console_log()];
        for path in logs.into_iter().chain([self.seed(), self.console_socket(), self.console_lock()]) {
            store::remove_file(&path)?;
        }
        store::remove_file(&self.record())
    }

    /// Whether anything of ours is there.
    pub fn exist(&self) -> bool {
        self.record().exists() || self.folder().exists()
    }
}

/// Where the copy of a disk of a machine lies in a folder for such.
pub fn copy(scratch: &Path, id: MachineId, index: usize) -> PathBuf {
    scratch.join(format!("{}-disk{index}{COPY}", id.short()))
}

/// The last `limit` bytes of a file; empty when there is no such file.
pub fn tail(path: &Path, limit: u64) -> String {
    let read = || -> io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(limit)))?;
        let mut bytes = Vec::new();
        file.take(limit).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    String::from_utf8_lossy(&read().unwrap_or_default()).into_owned()
}

/// Where a VDI image (version 1.1) tells what the guest sees, and by which it is known.
const VDI_MAGIC: (u64, [u8; 4]) = (64, [0x7f, 0x10, 0xda, 0xbe]);
const VDI_SIZE: u64 = 0x170;

const VDI_TYPE: u64 = 76;

/// The type of an image that holds only what differs from another.
const DIFFERENCE: u32 = 4;

/// A VDI image, as its header tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vdi {
    /// What the guest sees, in bytes.
    pub size: u64,
    /// Whether it rests on another one.
    pub overlay: bool,
}

/// Reads the header of a VDI image; `None` when there is no such file.
pub fn vdi(path: &Path) -> Result<Option<Vdi>, Error> {
    let damaged = |why| Error::DiskDamaged { path: path.into(), why };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(store::Error::io("read", path, e).into()),
    };
    let (mut magic, mut kind, mut size) = ([0; 4], [0; 4], [0; 8]);
    let parts: [(&mut [u8], u64); 3] = [(&mut magic, VDI_MAGIC.0), (&mut kind, VDI_TYPE), (&mut size, VDI_SIZE)];
    for (part, at) in parts {
        file.read_exact_at(part, at).map_err(|_| damaged("it is shorter than a VDI header"))?;
    }
    if magic != VDI_MAGIC.1 {
        return Err(damaged("it is not a VDI image"));
    }
    Ok(Some(Vdi { size: u64::from_le_bytes(size), overlay: u32::from_le_bytes(kind) == DIFFERENCE }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_of_a_disk_tells_size_and_kind() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("disk0.vdi");
        assert_eq!(vdi(&path).unwrap(), None);
        let mut bytes = vec![0; 512];
        bytes[64..68].copy_from_slice(&VDI_MAGIC.1);
        bytes[76] = 4;
        bytes[0x170..0x178].copy_from_slice(&(5u64 << 30).to_le_bytes());
        fs::write(&path, &bytes).unwrap();
        assert_eq!(vdi(&path).unwrap(), Some(Vdi { size: 5 << 30, overlay: true }));
        bytes[76] = 1;
        fs::write(&path, &bytes).unwrap();
        assert!(!vdi(&path).unwrap().unwrap().overlay);
        for (bytes, words) in [(&bytes[..100], "shorter"), (&[0; 512], "not a VDI image")] {
            fs::write(&path, bytes).unwrap();
            assert!(vdi(&path).unwrap_err().to_string().contains(words));
        }
    }

    #[test]
    fn what_the_guest_said_in_earlier_starts_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let files = Files::new(dir.path());
        files.keep_console().unwrap();
        for said in ["one\n", "two\n"] {
            fs::write(files.console_log(), said).unwrap();
            files.keep_console().unwrap();
        }
        assert!(!files.console_log().exists());
        assert_eq!(fs::read_to_string(files.old_console_log()).unwrap(), "one\ntwo\n");
    }

    #[test]
    fn the_log_is_found_whatever_the_machine_is_called() {
        let dir = tempfile::tempdir().unwrap();
        let files = Files::new(dir.path());
        assert_eq!(files.log(), None);
        let logs = files.folder().join("a group/renamed/Logs");
        fs::create_dir_all(&logs).unwrap();
        fs::write(files.disk(0), "").unwrap();
        fs::write(logs.join("VBox.log"), "x").unwrap();
        assert_eq!(files.log(), Some(logs.join("VBox.log")));
        files.remove().unwrap();
        assert!(!files.exist());
    }
}
