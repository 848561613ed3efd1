//! A machine at a daemon of its own for each test.

use std::fs;
use std::ops::{Deref, DerefMut};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use vbox_rs::config::spec::{Accel, ProviderKind};
use vbox_rs::progress::{Cancel, Cx, Event, Sink};
use vbox_rs::provider::{PlannedDisk, Vm, VmPlan, VmState};
use vbox_rs::store::{Dirs, MachineId};

use crate::daemon;
pub use crate::daemon::{found, is_root};
use crate::remote_world::Far;
use crate::vm;
pub use crate::vm::{eventually, forward, free_port, names};

/// A daemon, and where it listens for other hosts.
pub struct Daemon {
    inner: daemon::Daemon,
    far: Option<Far>,
}

impl Deref for Daemon {
    type Target = daemon::Daemon;

    fn deref(&self) -> &Self::Target {
        &self.inner
    }
}

impl DerefMut for Daemon {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.inner
    }
}

impl Daemon {
    /// `None` (and a printed reason) where there is none to start.
    pub fn start(dir: &Path) -> Option<Self> {
        Self::with(dir, None)
    }

    pub fn with(dir: &Path, far: Option<Far>) -> Option<Self> {
        let inner = daemon::Daemon::with(dir, far.as_ref().map(Far::listening), None);
        Some(Self { inner: inner.map_err(|why| println!("skipped: {why}")).ok()?, far })
    }

    /// With a log daemon beside it, of this configuration.
    fn logging(dir: &Path, conf: &str) -> Option<Self> {
        let inner = daemon::Daemon::with(dir, None, Some(conf));
        Some(Self { inner: inner.map_err(|why| println!("skipped: {why}")).ok()?, far: None })
    }

    pub fn dir(&self) -> &Path {
        &self.inner.dir
    }

    pub fn pid(&self) -> u32 {
        self.inner.child.as_ref().unwrap().id()
    }

    pub fn far(&self) -> &Far {
        self.far.as_ref().unwrap()
    }

    /// For other hosts.
    pub fn tcp_uri(&self) -> String {
        let Far { there, port, .. } = self.far();
        format!("qemu+tcp://{there}:{port}/system")
    }
}

/// A machine at a daemon of its own; both are gone at the end, also when the test fails.
pub struct TestVm {
    pub root: tempfile::TempDir,
    pub daemon: Daemon,
    pub id: MachineId,
    pub vm: Box<dyn Vm>,
    pub heard: Arc<Heard>,
    abandoned: bool,
}

/// What was told.
#[derive(Default)]
pub struct Heard(Mutex<Vec<String>>);

impl Sink for Heard {
    fn emit(&self, _: Option<&str>, event: &Event) {
        if let Event::Warning(text) = event {
            self.0.lock().unwrap().push(text.clone());
        }
    }
}

impl Heard {
    pub fn warnings(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl TestVm {
    /// `None` where there is no libvirt.
    pub fn new() -> Option<Self> {
        Self::at(Daemon::start)
    }

    /// At a daemon that other hosts can reach.
    pub fn listening() -> Option<Self> {
        Self::at(|dir| Daemon::with(dir, Some(Far::new())))
    }

    /// Whose console's log is kept by a log daemon of this configuration.
    pub fn logging(conf: &str) -> Option<Self> {
        Self::at(|dir| Daemon::logging(dir, conf))
    }

    pub fn at(start: impl FnOnce(&Path) -> Option<Daemon>) -> Option<Self> {
        let root = tempfile::Builder::new().prefix("lv").tempdir().unwrap();
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let daemon = start(&root.path().join("d"))?;
        let id = MachineId::random().unwrap();
        let vm = open(root.path(), id);
        Some(Self { root, daemon, id, vm, heard: Arc::default(), abandoned: false })
    }

    pub fn plan(&self) -> VmPlan {
        plan(self.root.path(), self.daemon.uri())
    }

    pub fn cx(&self) -> Cx {
        Cx::new(Arc::clone(&self.heard) as Arc<dyn Sink>, Cancel::default())
    }

    pub fn dir(&self) -> PathBuf {
        Dirs::below(self.root.path()).machine(self.id)
    }

    pub fn up(&mut self, plan: &VmPlan) {
        let cx = self.cx();
        self.vm.create(&cx, plan).unwrap();
        self.vm.start(&cx, plan, &[]).unwrap();
    }

    /// Another `vbox-rs`, later: it knows nothing but the files.
    pub fn reopen(&mut self) {
        self.vm = open(self.root.path(), self.id);
    }

    pub fn state(&mut self) -> VmState {
        self.reopen();
        self.vm.state().unwrap()
    }

    pub fn uuid(&self) -> String {
        self.id.uuid()
    }

    /// What another client says to the domain.
    pub fn virsh(&self, verb: &str) -> String {
        self.daemon.virsh(&[verb, &self.uuid()]).unwrap_or_else(|| panic!("virsh {verb}"))
    }
}

/// A small machine on an image of its own in `root`, at this daemon.
pub fn plan(root: &Path, uri: String) -> VmPlan {
    let backing = root.join("image.raw");
    if !backing.exists() {
        fs::File::create(&backing).unwrap().set_len(1 << 20).unwrap();
    }
    let disk = PlannedDisk::overlay(backing, "raw");
    let mut plan = vm::plan("test & more/default", disk);
    plan.memory = 64;
    plan.libvirt.uri = Some(uri);
    plan.libvirt.accel = Accel::Tcg;
    plan
}

/// The image that the first disk of a plan rests on.
pub fn base(plan: &VmPlan) -> &Path {
    &plan.disks[0].backing.as_ref().unwrap().path
}

pub fn open(root: &Path, id: MachineId) -> Box<dyn Vm> {
    vm::open(ProviderKind::Libvirt, &Dirs::below(root), id)
}

impl TestVm {
    /// Its daemon's own records are spoilt: nothing of it can be tested any more.
    pub fn abandon(mut self) {
        self.daemon.kill();
        self.abandoned = true;
    }
}

impl Drop for TestVm {
    fn drop(&mut self) {
        if self.abandoned {
            return;
        }
        if self.daemon.virsh(&["version"]).is_none() {
            self.daemon.kill();
            self.daemon.restart();
        }
        self.reopen();
        let result = self.vm.destroy(&Cx::silent());
        if !std::thread::panicking() {
            result.unwrap();
            assert!(names(&self.dir()).is_empty(), "left over: {:?}", names(&self.dir()));
            assert_eq!(self.daemon.virsh(&["list", "--all", "--name"]).unwrap().trim(), "");
        }
    }
}

/// The emulator of the domain with this id.
pub fn emulator(uuid: &str) -> i32 {
    let processes = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let is = |pid: &i32| {
        let words = fs::read(Path::new("/proc").join(pid.to_string()).join("cmdline")).unwrap_or_default();
        let words = String::from_utf8_lossy(&words);
        words.contains("qemu-system") && words.contains(uuid)
    };
    processes.into_iter().find(is).unwrap()
}
