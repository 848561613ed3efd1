//! Small and read-only file systems in memory, for tests that may mount them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A file system in memory; `None` (and a printed reason) where we may not mount one. Unmounted with the value.
pub struct Mount(PathBuf);

impl Mount {
    pub fn new(at: &Path, options: &str) -> Option<Self> {
        fs::create_dir_all(at).unwrap();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", options, "none"]).arg(at).output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(Self(at.into()));
        }
        println!("skipped: it takes root to mount a file system");
        None
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Lazily: a failed test may have left a process with files in it.
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).output();
    }
}
