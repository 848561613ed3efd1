//! libvirt's daemon in directories of its own: as root that of a host, in a mount namespace; else that of a session.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A daemon with a socket of its own.
pub struct Daemon {
    pub dir: PathBuf,
    pub child: Option<Child>,
    listening: Option<Listening>,
    logger: bool,
}

/// A daemon that listens for other hosts.
pub struct Listening {
    /// What runs a program where the daemon is, before the program's name.
    pub prefix: Vec<String>,
    /// More lines of its configuration.
    pub conf: String,
}

pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

pub fn found(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs = std::env::split_paths(&path).chain(["/usr/sbin".into()]);
    dirs.map(|dir| dir.join(program)).find(|file| file.exists())
}

/// Where daemons keep what they found out about each emulator, which takes them seconds.
pub fn known_emulators(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

/// The one on which daemons are kept (and their machines are not): each core counts as another processor, on which they look
/// at the emulators once more.
fn first_core() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let allowed = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap().trim();
    allowed.split([',', '-']).next().unwrap().into()
}

impl Daemon {
    /// `Err` says why there is none to start.
    pub fn start(dir: &Path) -> Result<Self, String> {
        Self::with(dir, None, None)
    }

    /// `logger`: with a log daemon beside it, of this configuration.
    pub fn with(dir: &Path, listening: Option<Listening>, logger: Option<&str>) -> Result<Self, String> {
        if logger.is_some() && !(is_root() && found("virtlogd").is_some()) {
            return Err("it takes root, and virtlogd".into());
        }
        if let Some(program) = ["libvirtd", "virsh", "qemu-img"].into_iter().find(|program| found(program).is_none()) {
            return Err(format!("it takes {program}"));
        }
        if is_root() && !Command::new("unshare").args(["-m", "true"]).status().is_ok_and(|status| status.success()) {
            return Err("it takes a mount namespace of its own".into());
        }
        for name in ["run", "etc", "lib", "log", "sock"] {
            fs::create_dir_all(dir.join(name)).unwrap();
        }
        let more = listening.as_ref().map_or("listen_tls = 0\n", |listening| listening.conf.as_str());
        let conf = format!("auth_unix_ro = \"none\"\nauth_unix_rw = \"none\"\n{more}");
        fs::write(dir.join("libvirtd.conf"), format!("{conf}unix_sock_dir = \"{}\"\n", dir.join("sock").display()))
            .unwrap();
        // No second daemon for the logs where none is asked for, and no user that only a whole installation has.
        let handler = if logger.is_some() { "logd" } else { "file" };
        let conf = format!("stdio_handler = \"{handler}\"\nremember_owner = 0\nuser = \"+0\"\ngroup = \"+0\"\n");
        fs::write(dir.join("etc/qemu.conf"), conf).unwrap();
        if let Some(conf) = logger {
            fs::write(dir.join("virtlogd.conf"), conf).unwrap();
        }
        let mut daemon = Self { dir: dir.into(), child: None, listening, logger: logger.is_some() };
        assert!(daemon.restart(), "libvirtd does not start: {}", daemon.said());
        Ok(daemon)
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
            let cache = known_emulators("libvirt-cache");
            fs::create_dir_all(&cache).unwrap();
            let prefix = self.listening.iter().flat_map(|listening| listening.prefix.iter().map(String::as_str));
            let mut words = prefix.chain(["unshare"]);
            let mut command = Command::new(words.next().unwrap());
            command.args(words);
            // Its state is below /var and /run, whoever starts it: other directories in a namespace of its own.
            let script = "for d in /run/libvirt:run /etc/libvirt:etc /var/lib/libvirt:lib \
                          /var/log/libvirt:log; do mkdir -p ${d%:*}; mount --bind \"$1/${d#*:}\" ${d%:*} || exit 9; done; \
                          taskset -cp \"$CORE\" $$ >/dev/null; \
                          mount --bind \"$4\" /var/cache/libvirt || exit 9; \
                          [ ! -d \"$1/pools/small\" ] || mount -t tmpfs -o size=4m none \"$1/pools/small\"; \
                          ln -sf \"$1/sock/libvirt-sock\" /run/libvirt/libvirt-sock; \
                          if [ -f \"$1/virtlogd.conf\" ]; then virtlogd -f \"$1/virtlogd.conf\" -p \"$1/logd.pid\" & fi; \
                          exec \"$2\" -f \"$3\" -p \"$1/pid\" $5";
            command.args(["-m", "--propagation", "private", "sh", "-c", script, "sh"]);
            command.arg(&self.dir).arg(libvirtd).arg(conf).arg(cache).env("CORE", first_core());
            command.args(self.listening.as_ref().map(|_| "--listen"));
            command
        } else {
            self.share_emulators();
            let mut command = Command::new("taskset");
            command.args(["-c", &first_core()]).arg(libvirtd).arg("-f").arg(conf).arg("-p").arg(self.dir.join("pid"));
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

    /// For the daemon of a session: where this user may write there.
    fn share_emulators(&self) {
        let (shared, own) = (known_emulators("session-cache"), self.dir.join("cache/libvirt/qemu/capabilities"));
        drop(fs::create_dir(&shared));
        if !own.exists() && rustix::fs::access(&shared, rustix::fs::Access::WRITE_OK).is_ok() {
            fs::create_dir_all(own.parent().unwrap()).unwrap();
            std::os::unix::fs::symlink(shared, own).unwrap();
        }
    }

    /// Kills it, as a crash would.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Kills the log daemon.
    pub fn kill_logger(&self) {
        let pid = fs::read_to_string(self.dir.join("logd.pid")).ok();
        if let Some(pid) = pid.and_then(|pid| rustix::process::Pid::from_raw(pid.trim().parse().ok()?)) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
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
        if self.logger {
            self.kill_logger();
        }
    }
}
