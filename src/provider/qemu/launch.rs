//! Starting QEMU's process, and saying why it did not start.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use super::super::process::Process;
use super::super::{Devices, Error, Forward, VmPlan};
use super::accel::Engine;
use super::argv::{self, Arch, Input, Sockets};
use super::files::{Files, tail};
use super::firmware::Flash;
use super::host;
use super::qmp::{self, Qmp};
use super::socket;
use super::state::strip_prefix;
use crate::config::spec::{DiskBus, Protocol, mac_address};
use crate::progress::Cx;
use crate::store::{self, Lock, MachineId};
use crate::sys;
use crate::trace;

/// How long QEMU may take until its monitor answers. It takes 60 ms; a host that swaps takes seconds.
const READY: Duration = Duration::from_secs(60);

/// How long we wait for the exit status of a process whose monitor is gone.
const BURIAL: Duration = Duration::from_secs(2);

/// How long others may seem to hold the lock: a query looks at it for some microseconds.
const LOCK_NOISE: Duration = Duration::from_millis(200);

/// As much of QEMU's complaint as we look at.
const LOG_TAIL: u64 = 64 << 10;

/// What is to be started.
#[derive(Debug)]
pub struct Launch<'a> {
    /// The machine's id.
    pub id: MachineId,
    /// Its files.
    pub files: &'a Files,
    /// What it should be.
    pub plan: &'a VmPlan,
    /// How instructions are run.
    pub engine: Engine,
    /// UEFI firmware, where it starts by one.
    pub flash: Option<&'a Flash>,
    /// The machine type of a saved state that is to be loaded.
    pub incoming: Option<&'a str>,
    /// Descriptors that the process holds until it ends.
    pub keep: &'a [BorrowedFd<'a>],
    /// Where this start's messages begin in the log.
    pub log_from: u64,
}

/// Takes the lock that QEMU's process will hold; `None` when one holds it already.
pub fn lock(cx: &Cx, files: &Files) -> Result<Option<Lock>, Error> {
    let began = Instant::now();
    loop {
        if let Some(lock) = Lock::try_exclusive(&files.lock(), "up")? {
            return Ok(Some(lock));
        }
        if began.elapsed() > LOCK_NOISE {
            return Ok(None);
        }
        cx.sleep(Duration::from_millis(5))?;
    }
}

/// A process that was just started.
struct Started {
    process: Process,
    ended: Receiver<ExitStatus>,
}

impl Launch<'_> {
    /// Starts the process and returns when its monitor answers. `lock` goes over to the process.
    pub fn run(&self, cx: &Cx, (arch, program): (Arch, PathBuf), lock: Lock) -> Result<Qmp, Error> {
        store::remove_file(&self.files.pid())?;
        let listen = |path: PathBuf| socket::listen(&path).map_err(|e| store::Error::io("listen on", path, e));
        let listeners = [listen(self.files.control())?, listen(self.files.status())?, listen(self.files.console())?];
        let mut command = self.command(arch, &program, &listeners)?;
        let mut keep = vec![lock.file().as_fd()];
        keep.extend(listeners.iter().map(AsFd::as_fd));
        keep.extend(self.keep);
        cx.check()?;
        trace::command(&command);
        let child = sys::spawn_detached(&mut command, &keep)
            .map_err(|source| Error::Run { program: program.display().to_string(), source })?;
        let started = Started::watch(child)?;
        // From here on QEMU alone listens and holds the lock: its death closes the connection and frees the lock.
        let stream = socket::connect(&self.files.control()).map_err(qmp::Error::Io);
        drop((listeners, lock));
        match stream.and_then(|stream| Qmp::open(stream, cx, READY)) {
            Ok(qmp) => Ok(qmp),
            Err(error) => Err(self.failed(&started, error)),
        }
    }

    fn command(&self, arch: Arch, program: &PathBuf, listeners: &[UnixListener; 3]) -> Result<Command, Error> {
        let [control, status, console] = listeners.each_ref().map(AsRawFd::as_raw_fd);
        let sockets = Sockets { control, status, console };
        let Self { id, files, plan, engine, flash, incoming, .. } = *self;
        let args = argv::argv(&Input { arch, engine, id, plan, files, sockets, flash, incoming });
        drop(Files::open_log(&files.console_log())?);
        let log = Files::open_log(&files.log())?;
        let log2 = log.try_clone().map_err(|e| store::Error::io("open", files.log(), e))?;
        let mut command = Command::new(program);
        // Not the user's directory: that one must stay free to be unmounted or removed.
        command.args(args).current_dir("/").stdin(Stdio::null()).stdout(log).stderr(log2);
        if plan.tethered {
            sys::die_with_parent(&mut command);
        }
        Ok(command)
    }

    /// Why the monitor never answered. No process is left behind.
    fn failed(&self, started: &Started, error: qmp::Error) -> Error {
        let told = self.ended_early(started, error);
        // What is told now is no death to tell of later.
        store::remove_file(&self.files.pid()).map_or_else(Into::into, |()| told)
    }

    fn ended_early(&self, started: &Started, error: qmp::Error) -> Error {
        if error.is_closed() {
            let status = started.ended.recv_timeout(BURIAL);
            let text = tail(&self.files.log(), self.log_from, LOG_TAIL);
            let status = status.map_or_else(|_| "it does not end".into(), |status| status.to_string());
            return complaint(&text, &self.plan.forwards, self.engine).unwrap_or_else(|| Error::Died {
                status,
                message: last_line(&text),
                log: self.files.log(),
            });
        }
        if let Err(source) = started.process.kill() {
            return Error::WillNotEnd { pid: started.process.pid(), source: Some(source) };
        }
        let _ = started.ended.recv_timeout(BURIAL);
        match error {
            qmp::Error::Timeout { .. } => Error::Timeout { what: "get ready", limit: READY },
            other => other.into(),
        }
    }
}

impl Started {
    /// Pins the process and lets a thread wait for it, so that no zombie stays while we run.
    fn watch(mut child: std::process::Child) -> Result<Self, Error> {
        let pid = i32::try_from(child.id()).unwrap_or_default();
        let process = match Process::of_child(&child) {
            Ok(process) => process,
            Err(source) => {
                let _ = child.kill();
                return Err(Error::Run { program: format!("QEMU (process {pid})"), source });
            }
        };
        let (tell, ended) = mpsc::channel();
        let bury = move || {
            if let Ok(status) = child.wait() {
                let _ = tell.send(status);
            }
        };
        // Without the thread the zombie stays until we end, which is soon.
        let _: io::Result<_> = std::thread::Builder::new().name("qemu-wait".into()).spawn(bury);
        Ok(Self { process, ended })
    }
}

fn last_line(text: &str) -> String {
    let line = text.lines().rev().find(|line| !line.trim().is_empty());
    line.map_or_else(|| "it printed nothing".into(), strip_prefix)
}

/// What QEMU's words mean, where we know it.
pub fn complaint(text: &str, forwards: &[Forward], engine: Engine) -> Option<Error> {
    text.lines().rev().find_map(|line| complaint_line(line, forwards, engine))
}

fn complaint_line(line: &str, forwards: &[Forward], engine: Engine) -> Option<Error> {
    if let Some((_, rest)) = line.split_once("Could not set up host forwarding rule '") {
        let text = rest.split('\'').next()?;
        let forward = forwards.iter().find(|forward| argv::rule(forward) == text)?;
        let &Forward { protocol, host_ip, host: port, .. } = forward;
        return Some(Error::PortTaken { protocol, host_ip, port });
    }
    let message = || strip_prefix(line);
    if line.contains("could not load PC BIOS") || line.contains("Could not find ROM image") {
        return Some(Error::Firmware { message: message(), fix: host::install_command() });
    }
    let kvm = line.contains("Could not access KVM kernel module") || line.contains("failed to initialize kvm");
    (kvm && engine == Engine::Kvm).then(|| Error::NoKvm { reason: message() })
}

/// What of a plan QEMU cannot do.
pub fn objections(plan: &VmPlan) -> Vec<(String, Option<String>)> {
    let mut found = Vec::new();
    let mut object = |text: String, fix: &str| {
        found.push((text, (!fix.is_empty()).then(|| fix.to_owned())));
    };
    if plan.name.is_empty() || plan.name.chars().any(char::is_control) {
        object("the machine's name is empty or has control characters".into(), "");
    }
    if !(1..=255).contains(&plan.cpus) {
        object(format!("{} processors are not possible", plan.cpus), "set `cpus` to 1 or more");
    }
    if plan.memory < 16 {
        object(format!("{} MiB of memory are too few", plan.memory), "set `memory` to what the guest needs");
    }
    device_objections(plan, &mut object);
    for forward in &plan.forwards {
        forward_objections(forward, &mut object);
    }
    for (index, forward) in plan.forwards.iter().enumerate() {
        if plan.forwards[..index].iter().any(|other| same_port(other, forward)) {
            object(format!("port {}/{} is forwarded twice", forward.host, forward.protocol), "use another `host` port");
        }
    }
    for option in ["-uuid", "-pidfile", "-daemonize", "-incoming", "-runas", "-chroot", "-run-with", "-S"] {
        if argv::has(&plan.qemu.extra_args, option) {
            object(format!("`extra_args` has `{option}`, which vbox-rs needs for itself"), "remove it");
        }
    }
    found
}

fn device_objections(plan: &VmPlan, object: &mut impl FnMut(String, &str)) {
    let Devices { disk_bus, mac, .. } = &plan.devices;
    if mac.as_deref().is_some_and(|mac| mac_address(mac).as_deref() != Some(mac)) {
        object("the network card's hardware address is none".into(), "set `mac` to one like 52:54:00:12:34:56");
    }
    // Two channels with two disks each.
    if *disk_bus == DiskBus::Ide && plan.disks.len() + usize::from(plan.seed.is_some()) > 4 {
        object("parallel ATA has room for four disks, the seed counted".into(), "set `disk_bus` to another one");
    }
    if *disk_bus == DiskBus::Ide && Arch::host() == Some(Arch::Aarch64) {
        object("this architecture has no parallel ATA".into(), "set `disk_bus = \"sata\"` or another one");
    }
}

fn forward_objections(forward: &Forward, object: &mut impl FnMut(String, &str)) {
    if let IpAddr::V6(ip) = forward.host_ip {
        object(format!("QEMU forwards no ports of IPv6 addresses ({ip})"), "set `host_ip` to an IPv4 address");
    }
    if forward.host == 0 || forward.guest == 0 {
        object("port 0 cannot be forwarded".into(), "use a port from 1 to 65535");
    }
}

fn same_port(a: &Forward, b: &Forward) -> bool {
    let key = |forward: &Forward| -> (Protocol, IpAddr, u16) { (forward.protocol, forward.host_ip, forward.host) };
    key(a) == key(b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::spec::{LibvirtOptions, QemuOptions, VirtualboxOptions};
    use crate::error::{Exit, Explain};
    use crate::provider::Boot;

    fn forward(host: u16) -> Forward {
        Forward { protocol: Protocol::Tcp, host_ip: [127, 0, 0, 1].into(), host, guest: 22 }
    }

    #[test]
    fn known_complaints_become_errors_of_their_own() {
        let program = "2026-11-22T19:38:55.656828Z qemu-system-x86_64: ";
        for (line, text, exit) in [
            (
                "-netdev user,id=n,hostfwd=tcp:127.0.0.1:2201-:22: Could not set up host forwarding rule \
                 'tcp:127.0.0.1:2201-:22'",
                "port 2201/tcp of 127.0.0.1 is taken",
                Exit::Port,
            ),
            (
                "could not load PC BIOS 'bios-256k.bin'",
                "QEMU does not find its firmware: could not load PC BIOS 'bios-256k.bin'",
                Exit::Provider,
            ),
            (
                "Could not access KVM kernel module: Permission denied",
                "hardware acceleration (KVM) does not work here: Could not access KVM kernel module: Permission denied",
                Exit::Provider,
            ),
        ] {
            let log = format!("{program}warning: something\n{program}{line}\n");
            let error = complaint(&log, &[forward(2200), forward(2201)], Engine::Kvm).unwrap();
            assert_eq!((error.to_string().as_str(), error.exit()), (text, exit));
        }
        assert!(complaint("qemu-system-x86_64: -foo: invalid option\n", &[], Engine::Tcg).is_none());
        assert_eq!(last_line("qemu-system-x86_64: -foo: invalid option\n\n"), "-foo: invalid option");
        assert_eq!(last_line("\n"), "it printed nothing");
    }

    #[test]
    fn all_objections_to_a_plan_come_at_once() {
        let mut six = forward(8080);
        six.host_ip = "::1".parse().unwrap();
        let plan = VmPlan {
            name: "a\nb".into(),
            cpus: 0,
            memory: 4,
            disks: Vec::new(),
            boot: Boot::Disk,
            devices: Devices { mac: Some("x,y".into()), ..Devices::default() },
            seed: None,
            seed_writable: false,
            tethered: false,
            forwards: vec![six, forward(80), forward(80), forward(0)],
            qemu: QemuOptions { extra_args: vec!["--daemonize".into()], ..QemuOptions::default() },
            libvirt: LibvirtOptions::default(),
            virtualbox: VirtualboxOptions::default(),
        };
        let texts: Vec<_> = objections(&plan).into_iter().map(|(text, _)| text).collect();
        assert_eq!(texts.len(), 8, "{texts:#?}");
        assert!(texts[3].contains("hardware address"));
        assert!(texts[4].contains("IPv6"));
        assert!(texts[7].contains("-daemonize"));
    }
}
