//! The program under measurement and its world.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// A home with the demo box, and a project folder.
pub struct World {
    root: TempDir,
    /// The project's folder.
    pub project: PathBuf,
}

impl World {
    pub fn new(demo: &Path) -> Self {
        let root = tempfile::Builder::new().prefix("vbox-rs-bench-").tempdir().unwrap();
        let project = root.path().join("project");
        fs::create_dir(&project).unwrap();
        let world = Self { root, project };
        world.run(&["box", "add", "--name", "demo", demo.to_str().unwrap()]);
        world
    }

    pub fn home(&self) -> PathBuf {
        self.root.path().join("home")
    }

    pub fn folder(&self, name: &str) -> PathBuf {
        let path = self.root.path().join(name);
        fs::create_dir_all(&path).unwrap();
        path
    }

    pub fn machine_file(&self, text: &str) {
        let text = format!("box = \"demo\"\n{text}[[synced_folder]]\nguest = \"/vagrant\"\ndisabled = true\n");
        fs::write(self.project.join("Vagrantfile"), text).unwrap();
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vbox-rs"));
        command.env("VBOX_RS_HOME", self.home()).current_dir(&self.project).args(args);
        command
    }

    /// Runs the program; it must end well.
    pub fn run(&self, args: &[&str]) -> Duration {
        timed(&mut self.command(args))
    }

    pub fn json(&self, args: &[&str]) -> Value {
        serde_json::from_slice(&self.command(args).output().unwrap().stdout).unwrap()
    }

    /// Peak resident memory in KiB, as GNU time tells.
    pub fn rss(&self, args: &[&str]) -> Option<u64> {
        let mut command = Command::new("/usr/bin/time");
        command.args(["-f", "%M", env!("CARGO_BIN_EXE_vbox-rs")]).args(args);
        command.env("VBOX_RS_HOME", self.home()).current_dir(&self.project).stdout(Stdio::null());
        let said = String::from_utf8_lossy(&command.output().ok()?.stderr).into_owned();
        said.lines().last()?.trim().parse().ok()
    }

    /// The only machine's folder.
    pub fn machine(&self) -> PathBuf {
        let status = self.json(&["status", "--json"]);
        self.home().join("machines").join(status["machines"][0]["id"].as_str().unwrap())
    }
}

impl Drop for World {
    fn drop(&mut self) {
        drop(self.command(&["destroy", "-f"]).stdout(Stdio::null()).stderr(Stdio::null()).status());
    }
}

/// How long a command takes; it must end well.
pub fn timed(command: &mut Command) -> Duration {
    let began = Instant::now();
    let output = command.stdin(Stdio::null()).output().unwrap();
    let took = began.elapsed();
    assert!(output.status.success(), "{command:?}:\n{}", String::from_utf8_lossy(&output.stderr));
    took
}
