//! A machine of its own for each test.

use std::fs;
use std::net::{IpAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use vbox_rs::config::spec::{Accel, Protocol, ProviderKind, QemuOptions, VirtualboxOptions};
use vbox_rs::progress::Cx;
use vbox_rs::provider::{Boot, Devices, Forward, PlannedDisk, Vm, VmHome, VmPlan, VmState, provider};
use vbox_rs::store::{Dirs, MachineId};

/// A machine of its own directory that is destroyed at the end, also when the test fails.
pub struct TestVm {
    _root: tempfile::TempDir,
    pub dirs: Dirs,
    pub id: MachineId,
    pub image: PathBuf,
    pub vm: Box<dyn Vm>,
}

impl TestVm {
    pub fn new() -> Self {
        Self::below("")
    }

    pub fn below(folder: &str) -> Self {
        let root = tempfile::tempdir().unwrap();
        let dirs = Dirs::below(&root.path().join(folder));
        let image = root.path().join("image.raw");
        fs::File::create(&image).unwrap().set_len(1 << 20).unwrap();
        let id = MachineId::random().unwrap();
        let vm = open(&dirs, id);
        Self { _root: root, dirs, id, image, vm }
    }

    pub fn plan(&self) -> VmPlan {
        plan(&self.image)
    }

    pub fn dir(&self) -> PathBuf {
        self.dirs.machine(self.id)
    }

    pub fn up(&mut self) {
        let plan = self.plan();
        self.vm.create(&Cx::silent(), &plan).unwrap();
        self.vm.start(&Cx::silent(), &plan, &[]).unwrap();
    }

    /// Another `vbox-rs`, later: it knows nothing but the files.
    pub fn reopen(&mut self) {
        self.vm = open(&self.dirs, self.id);
    }

    pub fn state(&mut self) -> VmState {
        self.reopen();
        self.vm.state().unwrap()
    }

    fn pid(&self) -> u32 {
        fs::read_to_string(self.dir().join("qemu.pid")).unwrap().trim().parse().unwrap()
    }

    pub fn signal(&self, signal: &str) {
        let pid = self.pid().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }

    pub fn ended(&mut self) {
        assert!(self.vm.wait_until_ended(&Cx::silent(), Duration::from_secs(20)).unwrap());
    }
}

impl Drop for TestVm {
    fn drop(&mut self) {
        let result = self.vm.destroy(&Cx::silent());
        if !std::thread::panicking() {
            result.unwrap();
            assert!(names(&self.dir()).is_empty(), "left over: {:?}", names(&self.dir()));
            assert!(processes(self.id).is_empty());
        }
    }
}

pub fn plan(image: &Path) -> VmPlan {
    let disk = PlannedDisk { backing: image.into(), backing_format: "raw".into(), size: None };
    VmPlan {
        name: "test,x/default".into(),
        cpus: 1,
        memory: 32,
        disks: vec![disk],
        boot: Boot::Disk,
        devices: Devices::default(),
        seed: None,
        seed_writable: false,
        tethered: false,
        forwards: Vec::new(),
        qemu: QemuOptions { accel: Accel::Tcg, ..QemuOptions::default() },
        virtualbox: VirtualboxOptions::default(),
    }
}

pub fn open(dirs: &Dirs, id: MachineId) -> Box<dyn Vm> {
    let home = VmHome { id, dir: dirs.machine(id), runtime: dirs.runtime(id) };
    provider(ProviderKind::Qemu).unwrap().open(home)
}

pub fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    // What `store` was writing when it was killed goes with the directory, which is not the provider's.
    names.filter(|name| !name.starts_with(".new-")).collect()
}

/// Processes that carry the machine's id, zombies not counted.
pub fn processes(id: MachineId) -> Vec<String> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let lines = entries.filter_map(|entry| fs::read_to_string(entry.path().join("cmdline")).ok());
    lines.filter(|line| line.contains(&id.uuid())).collect()
}

pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < Duration::from_secs(20), "never: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

pub fn forward(port: u16) -> Forward {
    Forward { protocol: Protocol::Tcp, host_ip: IpAddr::from([127, 0, 0, 1]), host: port, guest: 22 }
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
