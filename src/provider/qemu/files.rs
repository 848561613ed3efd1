//! The files in a machine's directory that belong to this provider.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::store;

/// A log that is longer at a start is put aside, so two of them bound what a chatty guest can fill.
const LOG_LIMIT: u64 = 16 << 20;

/// Paths below the machine's directory.
#[derive(Clone, Debug)]
pub struct Files(PathBuf);

impl Files {
    /// For the machine that lives in `dir`.
    pub fn new(dir: &Path) -> Self {
        Self(dir.into())
    }

    /// The directory itself.
    pub fn dir(&self) -> &Path {
        &self.0
    }

    /// See `record`.
    pub fn record(&self) -> PathBuf {
        self.0.join("qemu.json")
    }

    /// Held by QEMU's process as long as it lives.
    pub fn lock(&self) -> PathBuf {
        self.0.join("qemu.lock")
    }

    /// Written by QEMU, and removed by it when it ends in order: what is left tells of a death.
    pub fn pid(&self) -> PathBuf {
        self.0.join("qemu.pid")
    }

    /// The process that wrote it, which may have ended since.
    pub fn process(&self) -> Option<i32> {
        tail(&self.pid(), 0, 16).trim().parse().ok()
    }

    /// The monitor for commands.
    pub fn control(&self) -> PathBuf {
        self.0.join("qmp.sock")
    }

    /// The monitor for queries.
    pub fn status(&self) -> PathBuf {
        self.0.join("status.sock")
    }

    /// The serial console.
    pub fn console(&self) -> PathBuf {
        self.0.join("console.sock")
    }

    /// What the guest wrote to its serial console.
    pub fn console_log(&self) -> PathBuf {
        self.0.join("console.log")
    }

    /// What QEMU printed.
    pub fn log(&self) -> PathBuf {
        self.0.join("qemu.log")
    }

    /// An overlay.
    pub fn disk(&self, index: usize) -> PathBuf {
        self.0.join(format!("disk{index}.qcow2"))
    }

    /// An overlay that the process `pid` has not completed.
    pub fn new_disk(&self, index: usize, pid: u32) -> PathBuf {
        self.0.join(format!("disk{index}.{pid}.new"))
    }

    /// The variables of its UEFI firmware.
    pub fn nvram(&self) -> PathBuf {
        self.0.join("nvram.fd")
    }

    /// Memory and devices of a machine that does not run.
    pub fn saved(&self) -> PathBuf {
        self.0.join("saved-state")
    }

    /// A saved state that is not complete.
    pub fn new_saved(&self) -> PathBuf {
        self.0.join("saved-state.part")
    }

    /// A saved state whose machine may have run on since: of no use, for the disk may have changed.
    pub fn used_saved(&self) -> PathBuf {
        self.0.join("saved-state.used")
    }

    /// Everything of ours that exists, the lock and the record last.
    pub fn existing(&self) -> Result<Vec<PathBuf>, store::Error> {
        let entries = match fs::read_dir(&self.0) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(store::Error::io("read", &self.0, e)),
        };
        let mut found = Vec::new();
        for entry in entries {
            let name = entry.map_err(|e| store::Error::io("read", &self.0, e))?.file_name();
            if let Some(rank) = name.to_str().and_then(rank) {
                found.push((rank, self.0.join(name)));
            }
        }
        found.sort();
        Ok(found.into_iter().map(|(_, path)| path).collect())
    }

    /// Removes overlays that nobody will complete.
    pub fn remove_half_disks(&self) -> Result<(), store::Error> {
        let half = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "new");
        self.existing()?.iter().filter(|path| half(path)).try_for_each(|path| store::remove_file(path))
    }

    /// Where a long log is put aside.
    pub fn put_aside(log: &Path) -> PathBuf {
        log.with_extension("log.old")
    }

    /// Opens a log for appending, after putting a long one aside as `….old`.
    pub fn open_log(path: &Path) -> Result<File, store::Error> {
        if path.metadata().is_ok_and(|meta| meta.len() > LOG_LIMIT) {
            fs::rename(path, Self::put_aside(path)).map_err(|e| store::Error::io("rename", path, e))?;
        }
        let mut options = OpenOptions::new();
        options.append(true).create(true).mode(0o600);
        options.open(path).map_err(|e| store::Error::io("open", path, e))
    }
}

/// Whether a name is one of ours, and when it is removed.
fn rank(name: &str) -> Option<u8> {
    let disk = name.strip_prefix("disk").and_then(|rest| rest.strip_suffix(".qcow2").or(rest.strip_suffix(".new")));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    match name {
        "nvram.fd" | "saved-state" | "saved-state.part" | "saved-state.used" | "qmp.sock" | "status.sock"
        | "console.sock" | "console.log" | "console.log.old" | "qemu.log" | "qemu.log.old" | "qemu.pid" => Some(0),
        "qemu.json" => Some(1),
        "qemu.lock" => Some(2),
        _ => disk.filter(|numbers| numbers.split('.').all(digits)).map(|_| 0),
    }
}

/// The last `limit` bytes of a file, but nothing before the offset `from`; empty when there is no such file.
pub fn tail(path: &Path, from: u64, limit: u64) -> String {
    let read = || -> io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        // A log that was put aside since starts anew.
        let from = if from > length { 0 } else { from };
        file.seek(SeekFrom::Start(from.max(length.saturating_sub(limit))))?;
        let mut bytes = Vec::new();
        file.take(limit).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    String::from_utf8_lossy(&read().unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_files_are_ours_and_the_lock_comes_last() {
        let dir = tempfile::tempdir().unwrap();
        for name in [
            "machine.json",
            "lock",
            "qemu.lock",
            "disk0.qcow2",
            "disk.qcow2",
            "disk0x.qcow2",
            "disk1.77.new",
            "qemu.json",
        ] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        let names: Vec<_> = Files::new(dir.path())
            .existing()
            .unwrap()
            .iter()
            .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
            .collect();
        assert_eq!(names, ["disk0.qcow2", "disk1.77.new", "qemu.json", "qemu.lock"]);
        assert!(Files::new(&dir.path().join("gone")).existing().unwrap().is_empty());
    }

    #[test]
    fn a_tail_is_bounded_on_both_sides() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        fs::write(&path, "one two three").unwrap();
        assert_eq!(tail(&path, 0, 5), "three");
        assert_eq!(tail(&path, 8, 100), "three");
        assert_eq!(tail(&path, 100, 3), "ree");
        assert_eq!(tail(&dir.path().join("none"), 0, 3), "");
    }

    #[test]
    fn a_long_log_is_put_aside() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("qemu.log");
        File::create(&path).unwrap().set_len(LOG_LIMIT + 1).unwrap();
        Files::open_log(&path).unwrap();
        assert_eq!(path.metadata().unwrap().len(), 0);
        assert!(dir.path().join("qemu.log.old").exists());
    }
}
