//! Getting into a machine: logging in, the OpenSSH client's configuration, uploads, console and logs.

use std::cell::RefCell;
use std::io::{ErrorKind, Read};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::ops::Range;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::record::{KeyInUse, MachineRecord};
use super::settle::timed;
use super::{Error, Fleet, Logs, SshTarget, Step, Target, describe};
use crate::boxes::Library;
use crate::error::{Exit, Explain, Failure};
use crate::guest::wait::{self, Outside};
use crate::guest::{self, Endpoint, HostKey, Login, Session, keys, openssh};
use crate::progress::Cx;
use crate::provider::{Vm, VmState};
use crate::provision;
use crate::store;

/// How many lines of the guest's console a failure shows.
const CONSOLE_TAIL: usize = 15;

/// Bytes of the console log that are looked at for them.
const CONSOLE_TAIL_BYTES: u64 = 16 << 10;

/// How often the hypervisor is asked whether it had to stop a guest that boots.
const STATE_EVERY: Duration = Duration::from_secs(1);

/// How often it is asked whether the guest's network is up, while it is not.
const NETWORK_EVERY: Duration = Duration::from_millis(100);

/// How often it is asked for the guest's own address, until that answers.
const ADDRESS_EVERY: Duration = Duration::from_millis(100);

/// How long an address may take to answer before it is asked again whether there is a better one. A guest on a network of
/// this host answers within a millisecond, or not at all.
const ADDRESS_PATIENCE: Duration = Duration::from_millis(90);

/// When another host's kernel, which asks three times, a second apart, knows that nobody has an address.
const NOBODY_THERE: Range<Duration> = Duration::from_millis(2500)..Duration::from_secs(4);

/// What our own sessions need to log in.
pub(super) fn login(fleet: &Fleet, record: &MachineRecord) -> Result<Login, Failure> {
    let endpoint = endpoint(record, fleet.vm(record)?.as_mut())?;
    login_at(fleet, record, endpoint)
}

fn login_at(fleet: &Fleet, record: &MachineRecord, endpoint: Endpoint) -> Result<Login, Failure> {
    let dir = fleet.dirs().machine(record.id).join("ssh");
    let pending = seed_pending(record);
    let keys = match record.key {
        KeyInUse::Own => vec![dir.join("id_ed25519")],
        // An image that may not have read its seed: the seed's key, what the machine file knows, what Vagrant's boxes have.
        KeyInUse::Box if record.manifest.cloud_init.is_some() => {
            let mut keys = vec![dir.join("id_ed25519")];
            keys.extend(record.ssh.private_key_path.iter().cloned());
            keys.push(keys::insecure(&dir)?.private);
            keys
        }
        KeyInUse::Box if !record.ssh.private_key_path.is_empty() => record.ssh.private_key_path.clone(),
        // A kill between the guest's taking our key and our recording it leaves both possible.
        KeyInUse::Box => {
            let brought = key_of_box(fleet, record)?.into_iter();
            brought.chain([keys::insecure(&dir)?.private, dir.join("id_ed25519")]).collect()
        }
    };
    Ok(Login {
        endpoint,
        keys: keys.into_iter().filter(|key| key.exists()).collect(),
        // cloud-init replaces the host keys when it comes to it, perhaps under an ssh server that answers already.
        host_key: record.host_key.clone().filter(|_| !pending).map_or(HostKey::FirstContact, HostKey::Pinned),
        timeout: Duration::from_secs(record.ssh.connect_timeout),
        keep_alive: record.ssh.keep_alive,
    })
}

/// The private key that the box brings, where it is not Vagrant's published one.
pub(super) fn key_of_box(fleet: &Fleet, record: &MachineRecord) -> Result<Option<PathBuf>, Failure> {
    let installed = Library::new(fleet.dirs()).resting_on(record.manifest.clone())?;
    let dir = fleet.dirs().machine(record.id).join("ssh");
    Ok(installed.private_key()?.map(|text| keys::of_box(&dir, &text)).transpose()?)
}

/// Whether the guest may not be as its seed says yet.
pub(super) fn seed_pending(record: &MachineRecord) -> bool {
    record.manifest.cloud_init.is_some() && !record.seed_taken
}

/// Where the guest's ssh server is reached: at its own address where it has one, else the first forward leads to it. One
/// that listens on every address listens on this host's own too.
fn endpoint(record: &MachineRecord, vm: &mut dyn Vm) -> Result<Endpoint, Failure> {
    if let Some(addresses) = vm.addresses()? {
        let first = addresses.first().ok_or_else(|| Error::NoAddress { name: record.name.clone() })?;
        return Ok(at(record, vm.reach(&Cx::silent(), *first, record.ssh.guest_port)?));
    }
    let ssh = record.forwards.first();
    let address = ssh.map(|forward| forward.host_ip).filter(|ip| !ip.is_unspecified());
    let host = address.unwrap_or(Ipv4Addr::LOCALHOST.into()).to_string();
    Ok(Endpoint { host, port: ssh.map_or(0, |forward| forward.host), user: record.user.clone() })
}

/// The guest's own addresses, as `Vm::addresses` has them, for those who ask again: a hypervisor that takes too long for its
/// answer knows none yet.
pub(super) fn addresses_yet(vm: &mut dyn Vm) -> Result<Option<Vec<IpAddr>>, Failure> {
    match vm.addresses() {
        Err(error) if error.exit() == Exit::Timeout => Ok(Some(Vec::new())),
        found => Ok(found?),
    }
}

fn at(record: &MachineRecord, address: SocketAddr) -> Endpoint {
    Endpoint { host: address.ip().to_string(), port: address.port(), user: record.user.clone() }
}

/// Waits until the guest has an address of its own that answers; one that nobody answers at may be of a former start. When
/// the time is over, what there is is taken, and the next step tells what is wrong with it.
fn await_address(
    cx: &Cx,
    fleet: &Fleet,
    record: &MachineRecord,
    vm: &mut dyn Vm,
    time: Duration,
) -> Result<Endpoint, Failure> {
    cx.waiting("the guest to get an address");
    let began = Instant::now();
    let mut outlook = Outlook::new(cx, vm);
    loop {
        cx.check()?;
        if outlook.look() == Outside::Ended {
            let ended = guest::Error::ProcessDied { stage: guest::Stage::Port };
            return Err(explain(fleet, record, "address", ended, outlook.vm));
        }
        let found = addresses_yet(outlook.vm)?.unwrap_or_default();
        for address in &found {
            let reached = outlook.vm.reach(cx, *address, record.ssh.guest_port)?;
            let itself = reached.ip() == *address;
            let answered = if itself { answers(reached) } else { answers_behind(cx, reached)? };
            if answered {
                return Ok(at(record, reached));
            }
        }
        if began.elapsed() >= time {
            let none = || Error::NoAddress { name: record.name.clone() };
            let first = found.first().ok_or_else(|| Error::boot("address", none(), tail(&outlook.vm.console_log())))?;
            return Ok(at(record, outlook.vm.reach(cx, *first, record.ssh.guest_port)?));
        }
        cx.sleep(ADDRESS_EVERY)?;
    }
}

/// Whether anybody is there, an ssh server or not.
fn answers(address: SocketAddr) -> bool {
    match TcpStream::connect_timeout(&address, ADDRESS_PATIENCE) {
        Ok(_) => true,
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionRefused,
    }
}

/// The same where something of ours leads there, and takes every connection itself. It hangs up at once where nobody
/// listens yet, and late where nobody is; a server that took the connection may think for long before it speaks, and must
/// not get another one each time we look.
fn answers_behind(cx: &Cx, address: SocketAddr) -> Result<bool, Failure> {
    let Ok(mut stream) = TcpStream::connect_timeout(&address, ADDRESS_PATIENCE) else { return Ok(false) };
    let began = Instant::now();
    while stream.set_read_timeout(Some(ADDRESS_PATIENCE)).is_ok() && began.elapsed() < NOBODY_THERE.end {
        cx.check()?;
        match stream.read(&mut [0]) {
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Ok(1) => return Ok(true),
            _ => return Ok(began.elapsed() < NOBODY_THERE.start),
        }
    }
    Ok(true)
}

/// Waits until the guest lets us in, for at most `time`; notices at once when the machine's process ends. Two steps:
/// `boot` until its ssh server answers, `login` from there on; the latter alone where the guest was set up before. Where it
/// has an address of its own, `address` comes first.
pub(super) fn await_login(
    cx: &Cx,
    fleet: &Fleet,
    record: &MachineRecord,
    vm: &mut dyn Vm,
    time: Duration,
    steps: &mut Vec<Step>,
) -> Result<Session, Failure> {
    let (endpoint, time) = if addresses_yet(vm)?.is_some() {
        let began = Instant::now();
        let endpoint = timed(cx, steps, "address", || await_address(cx, fleet, record, vm, time))?;
        (endpoint, time.saturating_sub(began.elapsed()).max(Duration::from_secs(1)))
    } else {
        (endpoint(record, vm)?, time)
    };
    let login = login_at(fleet, record, endpoint)?;
    // A guest that is set up answers one connection. The many of a wait would make an ssh server that is slow, not
    // booting, drop the next ones (`MaxStartups` of sshd_config(5)), those of the user's own `ssh` among them.
    if record.ready {
        let first = timed(cx, steps, "login", || match Session::open(cx, &login) {
            Err(guest::Error::Interrupted(interrupted)) => Err(interrupted.into()),
            result => Ok(result.ok()),
        })?;
        if let Some(session) = first {
            return Ok(session);
        }
    }
    let outlook = RefCell::new(Outlook::new(cx, vm));
    let mut look = || outlook.borrow_mut().look();
    let explained = |step, error| explain(fleet, record, step, error, outlook.borrow_mut().vm);
    let answered = timed(cx, steps, "boot", || {
        wait::for_banner(cx, &login, &mut look, time).map_err(|error| explained("boot", error))
    })?;
    let answered = if seed_pending(record) { answered.making_users() } else { answered };
    timed(cx, steps, "login", || answered.log_in().map_err(|error| explained("login", error)))
}

/// What the hypervisor shows of a guest that boots, asked no more often than it may change.
pub(super) struct Outlook<'a> {
    cx: &'a Cx,
    vm: &'a mut dyn Vm,
    /// When it was last asked whether it had to stop the guest.
    state_asked: Instant,
    /// When it was last asked for the network, and what it said.
    network_asked: Option<Instant>,
    network_down: bool,
}

impl<'a> Outlook<'a> {
    pub(super) fn new(cx: &'a Cx, vm: &'a mut dyn Vm) -> Self {
        Self { cx, vm, state_asked: Instant::now(), network_asked: None, network_down: false }
    }

    pub(super) fn look(&mut self) -> Outside {
        if self.state_asked.elapsed() >= STATE_EVERY {
            self.state_asked = Instant::now();
            if self.vm.glance().is_ok_and(|state| state.is_stuck()) {
                return Outside::Ended;
            }
        }
        if matches!(self.vm.wait_until_ended(self.cx, Duration::ZERO), Ok(true)) {
            return Outside::Ended;
        }
        let every = if self.network_down { NETWORK_EVERY } else { STATE_EVERY };
        if self.network_asked.is_none_or(|asked| asked.elapsed() >= every) {
            self.network_down = self.vm.network_is_down();
            self.network_asked = Some(Instant::now());
        }
        if self.network_down { Outside::NetworkDown } else { Outside::Runs }
    }
}

/// Why the guest does not let us in, with the end of its console.
fn explain(fleet: &Fleet, record: &MachineRecord, step: &'static str, error: guest::Error, vm: &mut dyn Vm) -> Failure {
    let console = vm.console_log();
    match error {
        guest::Error::Interrupted(interrupted) => interrupted.into(),
        guest::Error::ProcessDied { .. } => {
            let state = vm.state();
            if let Ok(VmState::Paused { why }) = state {
                let stuck = Error::Stuck { why, dir: fleet.dirs().machine(record.id) };
                return Error::boot(step, stuck, tail(&console)).into();
            }
            let why = state.map_or_else(|e| Failure::from(e).chain(), |state| describe(&state));
            Error::boot(step, Error::Died { why, log: vm.hypervisor_log() }, tail(&console)).into()
        }
        guest::Error::WrongKey { endpoint, .. } if seed_pending(record) => {
            Error::boot(step, Error::SeedIgnored { user: endpoint.user }, tail(&console)).into()
        }
        error => Error::boot(step, error, tail(&console)).into(),
    }
}

fn tail(console: &Path) -> Vec<String> {
    guest::tail(console, CONSOLE_TAIL, CONSOLE_TAIL_BYTES).unwrap_or_default()
}

/// A session with a machine that runs.
pub(super) fn session(cx: &Cx, fleet: &Fleet, record: &MachineRecord) -> Result<Session, Failure> {
    running(cx, fleet, record)?;
    Ok(Session::open(cx, &login(fleet, record)?)?)
}

/// Where and how to log in; an error that says what to do when the machine does not run.
pub fn ssh_target(fleet: &Fleet, target: &Target) -> Result<SshTarget, Failure> {
    let (_, record) = fleet.existing(target)?;
    // Ctrl-C ends us at once.
    running(&Cx::silent(), fleet, &record)?;
    let login = login(fleet, &record)?;
    let (config, config_text) = openssh_files(fleet, &record, &login)?;
    Ok(SshTarget { host: record.name, config, config_text, extra_args: record.ssh.extra_args, login })
}

/// Writes configuration and known host for the OpenSSH client, where they are not as they should be.
pub(super) fn openssh_files(
    fleet: &Fleet,
    record: &MachineRecord,
    login: &Login,
) -> Result<(PathBuf, String), Failure> {
    let dir = fleet.dirs().machine(record.id).join("ssh");
    let known_hosts = dir.join("known_hosts");
    let alias = format!("vbox-rs-{}", record.id);
    if let Some(key) = &record.host_key {
        refresh(&known_hosts, &openssh::known_hosts_line(&alias, key)?)?;
    }
    let text = openssh::config_text(&openssh::ClientConfig {
        host: &record.name,
        endpoint: &login.endpoint,
        known_hosts: &known_hosts,
        host_key_alias: &alias,
        host_key_known: record.host_key.is_some(),
        identities: &login.keys,
        forward_agent: record.ssh.forward_agent,
        forward_x11: record.ssh.forward_x11,
        keep_alive: record.ssh.keep_alive,
        connect_timeout: record.ssh.connect_timeout,
    })?;
    let config = dir.join("config");
    refresh(&config, &text)?;
    Ok((config, text))
}

fn refresh(path: &Path, text: &str) -> Result<(), store::Error> {
    if store::read_bounded(path, 1 << 20)?.is_none_or(|old| old != text.as_bytes()) {
        store::write_atomic(path, text.as_bytes(), 0o600)?;
    }
    Ok(())
}

/// The machine must run.
pub(super) fn running(cx: &Cx, fleet: &Fleet, record: &MachineRecord) -> Result<(), Failure> {
    let mut vm = fleet.vm(record)?;
    let state = vm.glance()?;
    let hint = match state {
        VmState::Running => return Ok(vm.connect(cx)?),
        VmState::Paused { .. } | VmState::Saved => format!("`vbox-rs resume {}` lets it go on", record.name),
        VmState::Unresponsive { .. } | VmState::Broken { .. } => "`vbox-rs status` tells more".into(),
        _ => format!("start it with `vbox-rs up {}`", record.name),
    };
    Err(Error::WrongState { name: record.name.clone(), state: describe(&state), hint }.into())
}

/// Copies a file or folder into the guest; returns where it went.
pub fn upload(cx: &Cx, fleet: &Fleet, target: &Target, from: &Path, to: Option<&str>) -> Result<String, Failure> {
    let cx = &cx.for_machine(&target.name);
    let (_, record) = fleet.existing(target)?;
    let mut session = session(cx, fleet, &record)?;
    let name = from.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let to = to.map_or(name, Into::into);
    match crate::provision::copy(cx, &mut session, "upload", from, &to) {
        Err(provision::Error::Failed { tail, .. }) => Err(Error::NotUploaded { to, said: tail.0.join("; ") }.into()),
        Err(error) => Err(error.into()),
        Ok(()) => Ok(to),
    }
}

/// Waits until the guest answers (ssh login works).
pub fn wait(cx: &Cx, fleet: &Fleet, target: &Target, time: Duration) -> Result<(), Failure> {
    let cx = &cx.for_machine(&target.name);
    let (_, record) = fleet.existing(target)?;
    running(cx, fleet, &record)?;
    let mut vm = fleet.vm(&record)?;
    await_login(cx, fleet, &record, vm.as_mut(), time, &mut Vec::new()).map(drop)
}

/// A connection to the serial console, and what gives it back.
pub struct Console {
    /// The connection.
    pub stream: UnixStream,
    vm: Box<dyn Vm>,
}

impl Console {
    /// Leaves the console to whoever had it before.
    pub fn leave(mut self) -> Result<(), Failure> {
        drop(self.stream);
        Ok(self.vm.leave_console()?)
    }
}

/// A connection to the serial console.
pub fn console(fleet: &Fleet, target: &Target) -> Result<Console, Failure> {
    let (_, record) = fleet.existing(target)?;
    let mut vm = fleet.vm(&record)?;
    if !vm.state()?.has_process() {
        running(&Cx::silent(), fleet, &record)?;
    }
    Ok(Console { stream: vm.console()?, vm })
}

/// The log files: the guest's console, the hypervisor's own.
pub fn logs(fleet: &Fleet, target: &Target) -> Result<Logs, Failure> {
    let (_, record) = fleet.existing(target)?;
    let vm = fleet.vm(&record)?;
    Ok(Logs { earlier: vm.earlier_console_logs(), console: vm.console_log(), hypervisor: vm.hypervisor_log() })
}

/// Steps of the last `up`, with its time (seconds since 1970).
pub fn timings(fleet: &Fleet, target: &Target) -> Result<Option<(u64, Vec<Step>)>, Failure> {
    let (dir, _) = fleet.existing(target)?;
    Ok(dir.read_timings()?.map(|timings| (timings.at, timings.steps)))
}
