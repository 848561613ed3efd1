//! A VirtualBox of its own for each test: its settings, its service, and a `VBoxManage` that tells what it was asked.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::outer::{Ran, World};
use crate::vboxes;

/// The beginning of every machine file: nothing answers in these machines, and they need little.
const HEAD: &str = "boot_timeout = 1\nmemory = 32\ncpus = 1\n";

/// A user's world in which machines are VirtualBox's.
pub struct Lab {
    pub world: World,
    /// What `scripts/virtualbox/setup.sh` filled.
    tool: PathBuf,
    socket: String,
}

impl Lab {
    /// `None` (and a printed reason) where there is no VirtualBox.
    pub fn new() -> Option<Self> {
        let Some(tool) = std::env::var_os("VBOX_RS_TEST_VIRTUALBOX").map(PathBuf::from) else {
            println!("skipped: VBOX_RS_TEST_VIRTUALBOX names no VirtualBox (scripts/virtualbox/setup.sh DIR gets one)");
            return None;
        };
        let world = World::on("virtualbox");
        let socket = format!("vbox-rs-{}", world.project.parent().unwrap().file_name().unwrap().to_str().unwrap());
        let lab = Self { world, tool, socket };
        fs::create_dir_all(lab.bin()).unwrap();
        lab.behave("");
        // Without the kernel's driver, machines run in the interpreter.
        lab.manage(&["setextradata", "global", "VBoxInternal/HM/FallbackToIEM", "1"]);
        lab.manage(&["setproperty", "machinefolder", lab.theirs().to_str().unwrap()]);
        Some(lab)
    }

    /// With a box `empty`, whose machines sleep for ever, and a machine file that wants it.
    pub fn with_sleeper() -> Option<Self> {
        let lab = Self::new()?;
        lab.world.add_empty_box();
        lab.machine_file("box = \"empty\"\n");
        Some(lab)
    }

    /// The beginning of every machine file here, then `text`.
    pub fn machine_file(&self, text: &str) {
        self.world.machine_file(&format!("{HEAD}{text}"));
    }

    fn root(&self) -> &Path {
        self.world.project.parent().unwrap()
    }

    fn bin(&self) -> PathBuf {
        self.root().join("bin")
    }

    /// Where VirtualBox puts machines that are made by hand.
    pub fn theirs(&self) -> PathBuf {
        self.root().join("VirtualBox VMs")
    }

    fn settings(&self) -> PathBuf {
        self.root().join("settings")
    }

    /// What the `VBoxManage` of `vbox-rs` does before it is itself: shell, with the call in `$@`. Each call is written down.
    pub fn behave(&self, script: &str) {
        let text = format!(
            "#!/bin/sh\nCALLS='{}' REAL='{}'\nprintf '%s\\n' \"$*\" >>\"$CALLS\"\n{script}\nexec \"$REAL\" \"$@\"\n",
            self.calls_path().display(),
            self.real().display()
        );
        let new = self.bin().join("new");
        fs::write(&new, text).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(&new, mode).unwrap();
        // Under its name at once: a script that is being written cannot be run.
        fs::rename(new, self.bin().join("VBoxManage")).unwrap();
    }

    /// An `up` that is killed once `VBoxManage` has made a call like this one: `storageattach * none`.
    pub fn up_killed_after(&self, call: &str) {
        println!("killed after {call}");
        let pattern = call.replace(' ', "\\ ");
        self.behave(&format!(
            "case \"$*\" in {pattern}*) \"$REAL\" \"$@\" >/dev/null 2>&1; kill -9 $PPID; exit ;; esac"
        ));
        self.run(&["up"]);
        assert!(self.machines("runningvms").is_empty(), "it was killed before");
        self.behave("");
        self.run(&["status"]).ok();
    }

    fn real(&self) -> PathBuf {
        self.tool.join("bin/VBoxManage")
    }

    /// Where they are written down, a line each.
    pub fn calls_path(&self) -> PathBuf {
        self.root().join("calls")
    }

    /// What `VBoxManage` was asked since this was asked last.
    pub fn calls(&self) -> Vec<String> {
        let text = fs::read_to_string(self.calls_path()).unwrap_or_default();
        drop(fs::remove_file(self.calls_path()));
        text.lines().map(str::to_owned).collect()
    }

    fn surroundings(&self, command: &mut Command) {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::iter::once(self.bin()).chain(std::env::split_paths(&path));
        command
            .env("PATH", std::env::join_paths(path).unwrap())
            .env("VBOX_INSTALL_PATH", self.bin())
            .env("VBOX_USER_HOME", self.settings())
            .env("VBOX_IPC_SOCKETID", &self.socket);
    }

    /// `vbox-rs`, in the project's folder.
    pub fn command(&self, args: &[&str]) -> Command {
        self.command_in(&self.world.project, args)
    }

    pub fn command_in(&self, folder: &Path, args: &[&str]) -> Command {
        let mut command = self.world.command_in(folder, args);
        self.surroundings(&mut command);
        command
    }

    pub fn run(&self, args: &[&str]) -> Ran {
        Ran::of(&self.command(args).output().unwrap())
    }

    pub fn run_in(&self, folder: &Path, args: &[&str]) -> Ran {
        Ran::of(&self.command_in(folder, args).output().unwrap())
    }

    /// `up` of a machine in which nothing answers: it starts, and the wait ends with code 10.
    #[track_caller]
    pub fn up(&self) -> Ran {
        self.run(&["up"]).fails(10, &[])
    }

    /// `destroy`, after which nothing may be left.
    #[track_caller]
    pub fn destroy(&self) {
        self.run(&["destroy", "-f"]).ok();
        self.assert_nothing_left();
    }

    pub fn state(&self) -> String {
        let status = self.run(&["status", "--json"]).ok().json();
        status["machines"][0]["state"].as_str().unwrap().to_owned()
    }

    pub fn id(&self) -> String {
        let status = self.run(&["status", "--json"]).ok().json();
        status["machines"][0]["id"].as_str().unwrap().to_owned()
    }

    /// VBoxManage by hand, whatever comes of it.
    pub fn try_manage(&self, args: &[&str]) -> Ran {
        let mut command = self.inside(Command::new(self.real()));
        command.args(args).env("LC_ALL", "C.UTF-8").stdin(std::process::Stdio::null());
        Ran::of(&command.output().unwrap())
    }

    /// VBoxManage by hand: what it says on stdout.
    #[track_caller]
    pub fn manage(&self, args: &[&str]) -> String {
        let mut ran = self.try_manage(args);
        // For a moment after its service was killed nobody finds the new one.
        for _ in 0..20 {
            if !ran.stderr.contains("Failed to create the VirtualBox object") {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(300));
            ran = self.try_manage(args);
        }
        assert_eq!(ran.code, 0, "VBoxManage {args:?}: {}{}", ran.stdout, ran.stderr);
        ran.stdout
    }

    /// Any program, for which `VBoxManage` is the one of `vbox-rs` here.
    pub fn inside(&self, mut command: Command) -> Command {
        self.surroundings(&mut command);
        command
    }

    /// UUIDs of the machines that `list` (`vms`, `runningvms`) tells.
    pub fn machines(&self, list: &str) -> Vec<String> {
        let text = self.manage(&["list", list]);
        text.lines().filter_map(|line| Some(line.rsplit_once('{')?.1.trim_end_matches('}').to_owned())).collect()
    }

    /// The one machine there is.
    #[track_caller]
    pub fn machine(&self) -> String {
        let machines = self.machines("vms");
        assert_eq!(machines.len(), 1, "{machines:?}");
        machines.into_iter().next().unwrap()
    }

    /// The value of `key` among what `showvminfo --machinereadable` tells of a machine.
    pub fn info(&self, machine: &str, key: &str) -> Option<String> {
        let text = self.manage(&["showvminfo", machine, "--machinereadable"]);
        let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        line.map(|value| value.trim_matches('"').to_owned())
    }

    /// All its forwards: `NAME,tcp,127.0.0.1,2200,,22`.
    pub fn forwards(&self, machine: &str) -> Vec<String> {
        let text = self.manage(&["showvminfo", machine, "--machinereadable"]);
        let lines = text.lines().filter(|line| line.starts_with("Forwarding("));
        lines.filter_map(|line| Some(line.split_once('=')?.1.trim_matches('"').to_owned())).collect()
    }

    /// The media that VirtualBox knows: fields of each by their names in `list hdds`.
    pub fn media(&self) -> Vec<Medium> {
        let text = self.manage(&["list", "hdds", "--long"]);
        let parts = text.split("\n\n").filter(|part| part.contains("UUID:"));
        parts.map(Medium::parse).collect()
    }

    /// A machine that the user made without us, with a disk of its own.
    pub fn by_hand(&self, name: &str) -> PathBuf {
        let disk = self.theirs().join(name).join(format!("{name}.vdi"));
        self.manage(&["createvm", "--name", name, "--ostype", "Other", "--register"]);
        self.manage(&["storagectl", name, "--name", "SATA", "--add", "sata", "--portcount", "1"]);
        self.manage(&["createmedium", "disk", "--filename", disk.to_str().unwrap(), "--size", "4"]);
        self.attach(name, &disk);
        disk
    }

    pub fn attach(&self, name: &str, disk: &Path) {
        let medium = disk.to_str().unwrap();
        let place = ["--storagectl", "SATA", "--port", "0", "--device", "0", "--type", "hdd", "--medium", medium];
        self.manage(&[&["storageattach", name], &place[..]].concat());
    }

    /// Processes of this VirtualBox, of the kind `name` (`VBoxHeadless`, `VBoxSVC`, or any of them for `VBox`).
    pub fn processes(&self, name: &str) -> Vec<u32> {
        vboxes::processes(&self.settings(), name)
    }

    /// Ends all processes of a kind, at once, and waits until they are gone.
    pub fn kill(&self, name: &str) {
        vboxes::kill(&self.settings(), name);
        self.eventually("processes are gone", || self.processes(name).is_empty());
    }

    #[track_caller]
    pub fn eventually(&self, what: &str, mut condition: impl FnMut() -> bool) {
        let began = Instant::now();
        while !condition() {
            assert!(began.elapsed() < Duration::from_secs(30), "never: {what}; calls: {:?}", self.calls());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// After `destroy` nothing may be left: no machine, medium, process, or file.
    #[track_caller]
    pub fn assert_nothing_left(&self) {
        self.assert_only_theirs(&[], 0);
    }

    /// As [`Self::assert_nothing_left`], but for machines of these names, with so many media.
    #[track_caller]
    pub fn assert_only_theirs(&self, names: &[&str], media: usize) {
        let left = self.manage(&["list", "vms"]);
        assert_eq!(left.lines().count(), names.len(), "machines are left:\n{left}");
        assert!(names.iter().all(|name| left.contains(&format!("\"{name}\" {{"))), "{left}");
        let left = self.media();
        assert_eq!(left.len(), media, "media are left: {left:?}");
        self.eventually("the hypervisor's processes end", || {
            self.processes("VBoxHeadless").len() == self.machines("runningvms").len()
        });
        assert!(self.world.leftovers().is_empty(), "files are left: {:?}", self.world.leftovers());
    }
}

impl Drop for Lab {
    /// Whatever a failed test leaves running is ended, and the service, which would stay for some seconds: its own only.
    fn drop(&mut self) {
        self.kill("VBox");
        drop(fs::remove_dir_all(format!("/tmp/.vbox-{}-ipc", self.socket)));
    }
}

/// A disk as VirtualBox knows it.
#[derive(Debug)]
pub struct Medium {
    pub uuid: String,
    /// `base`, or the UUID of the medium that it rests on.
    pub parent: String,
    pub location: PathBuf,
    /// As VirtualBox writes it: `64 MBytes`.
    pub capacity: String,
}

impl Medium {
    fn parse(text: &str) -> Self {
        let field = |name: &str| {
            let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            value.unwrap_or_default().trim().to_owned()
        };
        Self {
            uuid: field("UUID"),
            parent: field("Parent UUID"),
            location: field("Location").into(),
            capacity: field("Capacity"),
        }
    }
}
