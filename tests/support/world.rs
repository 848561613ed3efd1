//! A user's world for a test: a home, projects, and the program itself.
//!
//! `VBOX_RS_TEST_PROVIDER` names the provider whose machines it is about, `qemu` where it is not set. What that one's tools
//! need (a daemon, a home of theirs) is in the environment, which the program inherits. `VBOX_RS_TEST_PROGRAM` names a copy of
//! the program, for users who may not look where it was built.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// A home of its own and a project folder; whatever runs in it ends with it.
pub struct World {
    root: TempDir,
    pub provider: String,
    pub project: PathBuf,
}

/// What a command printed.
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    pub fn of(output: &Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// The command must have ended well.
    #[track_caller]
    pub fn ok(self) -> Self {
        assert_eq!(self.code, 0, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// The command must have failed with `code` and a message that has all of `words`.
    #[track_caller]
    pub fn fails(self, code: i32, words: &[&str]) -> Self {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        for word in words {
            assert!(self.stderr.contains(word), "`{word}` is not in:\n{}", self.stderr);
        }
        self
    }

    #[track_caller]
    pub fn says(self, words: &[&str]) -> Self {
        let all = format!("{}{}", self.stdout, self.stderr);
        for word in words {
            assert!(all.contains(word), "`{word}` is not in:\n{all}");
        }
        self
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e} in {:?}", self.stdout))
    }
}

/// `vbox-rs`.
pub fn program() -> PathBuf {
    std::env::var_os("VBOX_RS_TEST_PROGRAM").unwrap_or_else(|| env!("CARGO_BIN_EXE_vbox-rs").into()).into()
}

impl World {
    /// Without any box.
    pub fn empty() -> Self {
        Self::on(&std::env::var("VBOX_RS_TEST_PROVIDER").unwrap_or_else(|_| "qemu".into()))
    }

    /// For machines of this provider.
    pub fn on(provider: &str) -> Self {
        let root = tempfile::Builder::new().prefix("vbox-rs-e2e-").tempdir().unwrap();
        let project = root.path().join("project");
        fs::create_dir(&project).unwrap();
        Self { root, provider: provider.into(), project }
    }

    pub fn home(&self) -> PathBuf {
        self.root.path().join("home")
    }

    /// Another project folder.
    pub fn folder(&self, name: &str) -> PathBuf {
        let path = self.root.path().join(name);
        fs::create_dir_all(&path).unwrap();
        path
    }

    pub fn machine_file(&self, text: &str) {
        self.file_in(&self.project, text);
    }

    /// The machine file of this folder. It names the provider where that is not the one that is chosen anyway.
    pub fn file_in(&self, folder: &Path, text: &str) {
        let provider = match self.provider.as_str() {
            "qemu" => String::new(),
            other => format!("provider = \"{other}\"\n"),
        };
        fs::write(folder.join("Vagrantfile"), provider + text).unwrap();
    }

    pub fn command(&self, args: &[&str]) -> Command {
        self.command_in(&self.project, args)
    }

    pub fn command_in(&self, folder: &Path, args: &[&str]) -> Command {
        let mut command = Command::new(program());
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("VBOX_RS_")) {
            command.env_remove(name);
        }
        command.env("VBOX_RS_HOME", self.home()).env("NO_COLOR", "1").env_remove("SSH_AUTH_SOCK");
        command.current_dir(folder).args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub fn run(&self, args: &[&str]) -> Ran {
        self.run_in(&self.project, args)
    }

    pub fn run_in(&self, folder: &Path, args: &[&str]) -> Ran {
        Ran::of(&self.command_in(folder, args).output().expect("vbox-rs runs"))
    }

    /// The state that `status` tells of a machine.
    pub fn state(&self, name: &str) -> String {
        let status = self.run(&["status", name, "--json"]).ok().json();
        status["machines"][0]["state"].as_str().unwrap().to_owned()
    }

    pub fn id(&self, name: &str) -> String {
        let status = self.run(&["status", name, "--json"]).ok().json();
        status["machines"][0]["id"].as_str().unwrap().to_owned()
    }

    /// Hypervisor processes of this world: those whose arguments name its home.
    pub fn processes(&self) -> Vec<u32> {
        let home = self.root.path().to_str().unwrap().to_owned();
        let mine = |pid: &u32| {
            let cmdline = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let cmdline = String::from_utf8_lossy(&cmdline).into_owned();
            cmdline.contains(&home) && cmdline.starts_with("qemu-system")
                || cmdline.contains("/qemu-system") && cmdline.contains(&home)
        };
        let pids = fs::read_dir("/proc").unwrap().filter_map(|e| e.unwrap().file_name().to_str()?.parse().ok());
        pids.filter(mine).collect()
    }

    /// Files under the home that belong to machines.
    pub fn leftovers(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for folder in ["machines", "ports", "boxes/incoming"] {
            walk(&self.home().join(folder), &mut found);
        }
        walk(&self.project.join(".vbox-rs"), &mut found);
        found
    }

    /// A process that was told to end, or whose parent was killed, takes a moment.
    #[track_caller]
    pub fn assert_no_process(&self) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while !self.processes().is_empty() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(self.processes(), [0; 0], "processes are left");
    }

    /// After `destroy` nothing may be left: no process, no file.
    #[track_caller]
    pub fn assert_nothing_left(&self) {
        self.assert_no_process();
        assert!(self.leftovers().is_empty(), "files are left: {:?}", self.leftovers());
    }
}

impl Drop for World {
    /// Whatever a failed test leaves running is ended; its own processes only.
    fn drop(&mut self) {
        for pid in self.processes() {
            if let Some(pid) = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw) {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        }
        if std::thread::panicking() && std::env::var_os("VBOX_RS_TEST_KEEP").is_some() {
            let kept = std::mem::replace(&mut self.root, tempfile::tempdir().unwrap()).keep();
            println!("kept: {}", kept.display());
        }
    }
}

fn walk(path: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(path) else { return };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(&path, found);
        }
        found.push(path);
    }
}
