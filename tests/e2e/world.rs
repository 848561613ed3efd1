//! A user's world for a test: a home, projects, and the program itself.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// The demo box that `make test` built. A test that is asked for and cannot be done has failed.
pub fn demo_box() -> PathBuf {
    let path = std::env::var_os("VBOX_RS_TEST_BOX").map(PathBuf::from);
    path.filter(|path| path.exists()).expect("VBOX_RS_TEST_BOX must name a box; `make test` builds one and sets it")
}

/// A home of its own and a project folder; whatever runs in it ends with it.
pub struct World {
    root: TempDir,
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

impl World {
    /// Without any box.
    pub fn empty() -> Self {
        let root = tempfile::Builder::new().prefix("vbox-rs-e2e-").tempdir().unwrap();
        let project = root.path().join("project");
        fs::create_dir(&project).unwrap();
        Self { root, project }
    }

    /// With the box `demo`.
    pub fn with_demo() -> Self {
        let world = Self::empty();
        link_tree(&prepared_library(&demo_box()), &world.home().join("boxes"));
        world
    }

    /// A box `empty` whose disk has a boot sector and nothing else: its machines start for real and sleep for ever.
    pub fn add_empty_box(&self) {
        // sti; hlt; jmp back to hlt
        self.add_boot_sector("empty", &[0xfb, 0xf4, 0xeb, 0xfd]);
    }

    /// A box whose disk of 1 MiB has nothing but a boot sector with this code. It reads no seed, so it gets none: a
    /// machine of it takes only some KiB.
    pub fn add_boot_sector(&self, name: &str, code: &[u8]) {
        let image = self.root.path().join(format!("{name}.img"));
        let mut disk = vec![0_u8; 1 << 20];
        disk[..code.len()].copy_from_slice(code);
        // The signature that firmware looks for.
        disk[510..512].copy_from_slice(&[0x55, 0xaa]);
        fs::write(&image, disk).unwrap();
        self.run(&["box", "add", image.to_str().unwrap(), "--name", name]).ok();
        let folder = self.home().join("boxes/manifests").join(name).join("0");
        let manifest = fs::read_dir(folder).unwrap().next().unwrap().unwrap().path();
        let mut known: Value = serde_json::from_slice(&fs::read(&manifest).unwrap()).unwrap();
        known.as_object_mut().unwrap().remove("cloud_init").unwrap();
        fs::write(manifest, serde_json::to_vec(&known).unwrap()).unwrap();
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
        fs::write(self.project.join("Vagrantfile"), text).unwrap();
    }

    pub fn command(&self, args: &[&str]) -> Command {
        self.command_in(&self.project, args)
    }

    pub fn command_in(&self, folder: &Path, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vbox-rs"));
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

    /// After `destroy` nothing may be left: no process, no file.
    #[track_caller]
    pub fn assert_nothing_left(&self) {
        let deadline = Instant::now() + Duration::from_secs(5);
        while !self.processes().is_empty() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(self.processes(), [0; 0], "processes are left");
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

/// The demo box, unpacked once for all tests by `box add`.
fn prepared_library(demo: &Path) -> PathBuf {
    let home = demo.with_extension("library");
    let gate = fs::File::create(demo.with_extension("lock")).unwrap();
    gate.lock().unwrap();
    let newer = |path: &Path| fs::metadata(path).and_then(|meta| meta.modified()).ok();
    let marker = home.join("complete");
    if newer(&marker) < newer(demo) {
        drop(fs::remove_dir_all(&home));
        let mut command = Command::new(env!("CARGO_BIN_EXE_vbox-rs"));
        command.env("VBOX_RS_HOME", &home).args(["box", "add", "--name", "demo"]).arg(demo).stdin(Stdio::null());
        Ran::of(&command.output().unwrap()).ok();
        fs::write(marker, "").unwrap();
    }
    home.join("boxes")
}

/// Library files never change, so that hard links are as good as copies.
fn link_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            link_tree(&entry.path(), &to);
        } else {
            fs::hard_link(entry.path(), &to).or_else(|_| fs::copy(entry.path(), &to).map(drop)).unwrap();
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
