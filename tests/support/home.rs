//! A `vbox-rs` that knows nothing of this user: a home of its own, an environment without settings.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use snapbox::cmd::Command;
use tempfile::TempDir;

/// A home and an empty project folder, removed with the value.
pub struct TestHome {
    root: TempDir,
}

impl TestHome {
    /// An empty home.
    pub fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("project")).unwrap();
        Self { root }
    }

    /// `VBOX_RS_HOME`; made by the first command that needs it.
    pub fn home(&self) -> PathBuf {
        self.root.path().join("home")
    }

    /// Where commands run.
    pub fn project(&self) -> PathBuf {
        self.root.path().join("project")
    }

    /// Writes a file of the project.
    pub fn write(&self, name: impl AsRef<Path>, text: &str) -> PathBuf {
        let path = self.project().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    /// `vbox-rs` with these arguments, in the project's folder.
    pub fn cmd<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Command {
        let mut command = Command::new(snapbox::cmd::cargo_bin!("vbox-rs"));
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("VBOX_RS_") || text.starts_with("VAGRANT_") {
                command = command.env_remove(&name);
            }
        }
        for name in ["NO_COLOR", "CLICOLOR_FORCE", "CI", "TERM", "COLUMNS", "XDG_RUNTIME_DIR"] {
            command = command.env_remove(name);
        }
        command.env("VBOX_RS_HOME", self.home()).env("LC_ALL", "C.UTF-8").current_dir(self.project()).args(args)
    }

    /// Runs to the end and returns exit code, stdout and stderr, with the folder's path written as `[ROOT]`.
    pub fn run<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> (i32, String, String) {
        let output = self.cmd(args).output().unwrap();
        let root = self.root.path().display().to_string();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace(&root, "[ROOT]");
        (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
    }
}
