//! A daemon and a machine for each test.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use vbox_rs::config::spec::{Accel, LibvirtOptions, Protocol, ProviderKind, QemuOptions, VirtualboxOptions};
use vbox_rs::progress::{Cancel, Cx, Event, Sink};
use vbox_rs::provider::{Boot, Devices, Forward, PlannedDisk, Vm, VmHome, VmPlan, VmState, provider};
use vbox_rs::store::{Dirs, MachineId};

use crate::remote_world::Far;

/// A daemon with a socket of its own.
pub struct Daemon {
    dir: PathBuf,
    child: Option<Child>,
    /// Where it listens for other hosts.
    far: Option<Far>,
}

pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

pub fn found(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs = std::env::split_paths(&path).chain(["/usr/sbin".into()]);
    dirs.map(|dir| dir.join(program)).find(|file| file.exists())
}

impl Daemon {
    /// `None` (and a printed reason) where there is none to start.
    pub fn start(dir: &Path) -> Option<Self> {
        Self::with(dir, None)
    }

    fn with(dir: &Path, far: Option<Far>) -> Option<Self> {
        for program in ["libvirtd", "virsh", "qemu-img"] {
            if found(program).is_none() {
                println!("skipped: it takes {program}");
                return None;
            }
        }
        if is_root() && !Command::new("unshare").args(["-m", "true"]).status().is_ok_and(|status| status.success()) {
            println!("skipped: it takes a mount namespace of its own");
            return None;
        }
        for name in ["run", "etc", "lib", "log", "sock"] {
            fs::create_dir_all(dir.join(name)).unwrap();
        }
        let mut conf = "listen_tls = 0\nauth_unix_ro = \"none\"\nauth_unix_rw = \"none\"\n".to_owned();
        if let Some(Far { there, port, .. }) = &far {
            let listen = format!("listen_tcp = 1\nlisten_addr = \"{there}\"\ntcp_port = \"{port}\"\n");
            conf += &(listen + "auth_tcp = \"none\"\n");
        }
        fs::write(dir.join("libvirtd.conf"), format!("{conf}unix_sock_dir = \"{}\"\n", dir.join("sock").display()))
            .unwrap();
        // No second daemon for the logs, and no user that only a whole installation has.
        fs::write(
            dir.join("etc/qemu.conf"),
            "stdio_handler = \"file\"\nremember_owner = 0\nuser = \"+0\"\ngroup = \"+0\"\n",
        )
        .unwrap();
        let mut daemon = Self { dir: dir.into(), child: None, far };
        assert!(daemon.restart(), "libvirtd does not start: {}", daemon.said());
        Some(daemon)
    }

    fn said(&self) -> String {
        fs::read_to_string(self.dir.join("said")).unwrap_or_default()
    }

    /// Starts it (again), and waits until it answers.
    pub fn restart(&mut self) -> bool {
        let said = fs::File::create(self.dir.join("said")).unwrap();
        let conf = self.dir.join("libvirtd.conf");
        let libvirtd = found("libvirtd").unwrap();
        let mut command = if is_root() {
            // What a daemon finds out about each emulator takes it seconds.
            let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("libvirt-cache");
            fs::create_dir_all(&cache).unwrap();
            let mut command = self.far.as_ref().map_or_else(|| Command::new("unshare"), |far| far.command("unshare"));
            // Its state is below /var and /run, whoever starts it: other directories in a namespace of its own.
            let script = "for d in /run/libvirt:run /etc/libvirt:etc /var/lib/libvirt:lib \
                          /var/log/libvirt:log; do mkdir -p ${d%:*}; mount --bind \"$1/${d#*:}\" ${d%:*} || exit 9; done; \
                          mount --bind \"$4\" /var/cache/libvirt || exit 9; \
                          [ ! -d \"$1/pools/small\" ] || mount -t tmpfs -o size=4m none \"$1/pools/small\"; \
                          ln -sf \"$1/sock/libvirt-sock\" /run/libvirt/libvirt-sock; \
                          exec \"$2\" -f \"$3\" -p \"$1/pid\" $5";
            command.args(["-m", "--propagation", "private", "sh", "-c", script, "sh"]);
            command.arg(&self.dir).arg(libvirtd).arg(conf).arg(cache).args(self.far.as_ref().map(|_| "--listen"));
            command
        } else {
            let mut command = Command::new(libvirtd);
            command.arg("-f").arg(conf).arg("-p").arg(self.dir.join("pid"));
            command.env("XDG_RUNTIME_DIR", self.dir.join("run")).env("XDG_CONFIG_HOME", self.dir.join("etc"));
            command.env("XDG_CACHE_HOME", self.dir.join("cache")).env("XDG_DATA_HOME", self.dir.join("lib"));
            command
        };
        command.stdin(Stdio::null()).stdout(said.try_clone().unwrap()).stderr(said);
        self.child = Some(command.spawn().unwrap());
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(60) {
            if self.virsh(&["version"]).is_some() {
                return true;
            }
            if self.child.as_mut().unwrap().try_wait().unwrap().is_some() {
                return false;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        false
    }

    /// Kills it, as a crash would.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    pub fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    pub fn far(&self) -> &Far {
        self.far.as_ref().unwrap()
    }

    /// For other hosts.
    pub fn tcp_uri(&self) -> String {
        let Far { there, port, .. } = self.far();
        format!("qemu+tcp://{there}:{port}/system")
    }

    pub fn uri(&self) -> String {
        let path = if is_root() { "system" } else { "session" };
        format!("qemu:///{path}?socket={}", self.dir.join("sock/libvirt-sock").display())
    }

    /// Another client: what it printed, if all went well.
    pub fn virsh(&self, args: &[&str]) -> Option<String> {
        let output = Command::new("virsh").args(["-q", "-c", &self.uri()]).args(args).output().unwrap();
        output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A machine at a daemon of its own; both are gone at the end, also when the test fails.
pub struct TestVm {
    pub root: tempfile::TempDir,
    pub daemon: Daemon,
    pub id: MachineId,
    pub vm: Box<dyn Vm>,
    pub heard: Arc<Heard>,
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

    fn at(start: impl FnOnce(&Path) -> Option<Daemon>) -> Option<Self> {
        let root = tempfile::Builder::new().prefix("lv").tempdir().unwrap();
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let daemon = start(&root.path().join("d"))?;
        fs::File::create(root.path().join("image.raw")).unwrap().set_len(1 << 20).unwrap();
        let id = MachineId::random().unwrap();
        let vm = open(root.path(), id);
        Some(Self { root, daemon, id, vm, heard: Arc::default() })
    }

    pub fn plan(&self) -> VmPlan {
        let disk =
            PlannedDisk { backing: self.root.path().join("image.raw"), backing_format: "raw".into(), size: None };
        let libvirt = LibvirtOptions { uri: Some(self.daemon.uri()), accel: Accel::Tcg, ..LibvirtOptions::default() };
        VmPlan {
            name: "test & more/default".into(),
            cpus: 1,
            memory: 64,
            disks: vec![disk],
            boot: Boot::Disk,
            devices: Devices::default(),
            seed: None,
            seed_writable: false,
            tethered: false,
            forwards: Vec::new(),
            qemu: QemuOptions::default(),
            libvirt,
            virtualbox: VirtualboxOptions::default(),
        }
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

pub fn open(root: &Path, id: MachineId) -> Box<dyn Vm> {
    let dirs = Dirs::below(root);
    let home = VmHome { id, dir: dirs.machine(id), runtime: dirs.runtime(id) };
    provider(ProviderKind::Libvirt).unwrap().open(home)
}

impl Drop for TestVm {
    fn drop(&mut self) {
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

pub fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < Duration::from_secs(20), "never: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

pub fn forward(protocol: Protocol, host: u16) -> Forward {
    Forward { protocol, host_ip: [127, 0, 0, 1].into(), host, guest: 22 }
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
