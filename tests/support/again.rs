//! A test of this program, started again: in other surroundings, or as somebody else.

use std::env;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::daemon::known_emulators;

/// Runs the test `name` with what starts this program. It may be one that only other tests start.
pub fn run(mut program: Command, name: &str) {
    program.args(["--exact", name, "--include-ignored", "--nocapture"]).stdout(Stdio::piped());
    let mut child = program.spawn().unwrap();
    let mut passed = false;
    // At once: somebody may end us, too.
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        println!("{line}");
        passed |= line.contains("1 passed");
    }
    assert!(child.wait().unwrap().success() && passed, "{name} failed where it was started again");
}

/// This program.
pub fn program() -> PathBuf {
    env::current_exe().unwrap()
}

/// `nobody`.
pub const USER: u32 = 65534;

/// An ordinary user, with a home that is gone at the end.
pub struct User(tempfile::TempDir);

impl User {
    pub fn new() -> Self {
        let home = tempfile::Builder::new().prefix("lu").tempdir().unwrap();
        let shared = known_emulators("session-cache");
        fs::create_dir_all(&shared).unwrap();
        for folder in [home.path(), &shared] {
            chown(folder, Some(USER), Some(USER)).unwrap();
        }
        Self(home)
    }

    /// The same file where this user may look: where it was built or kept, only whoever did that may be allowed to.
    pub fn given(&self, file: &Path) -> PathBuf {
        let given = self.0.path().join(file.file_name().unwrap());
        if !given.exists() {
            fs::hard_link(file, &given).or_else(|_| fs::copy(file, &given).map(drop)).unwrap();
        }
        given
    }

    /// What starts this program as this user.
    pub fn program(&self) -> Command {
        let (home, user) = (self.0.path(), USER.to_string());
        let mut command = Command::new("setpriv");
        command.args(["--reuid", &user, "--regid", &user, "--clear-groups"]).arg(self.given(&program()));
        command.env("HOME", home).env("TMPDIR", home).env("XDG_RUNTIME_DIR", home).current_dir(home);
        command
    }
}
