//! The background `ssh` through which this computer's ports lead to another host.
//!
//! It outlives the command that starts it, so it must be found and ended by later ones, whatever happened in between. OpenSSH
//! itself has what that takes: as a master it listens at a socket in the machine's directory as long as it lives, is asked to
//! end through it, and removes it. A socket that answers is a tunnel, one that does not is none: no process id is recorded
//! that could be somebody else's by then. Until it has its ports and goes to the background it dies with us.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::super::Error as ProviderError;
use super::super::qemu::{host, socket};
use super::Error;
use super::remote::{self, Hop};
use super::uri::SshHost;
use crate::config::spec::Protocol;
use crate::progress::Cx;
use crate::store::Lock;
use crate::{store, sys, trace};

/// How long a host may take until its ssh server lets us in.
const OPEN: Duration = Duration::from_secs(30);

/// The same for its first answer, in ssh's own words.
const CONNECT: &str = "ConnectTimeout=15";

/// How long a tunnel may take to end once it was asked.
const CLOSE: Duration = Duration::from_secs(5);

/// How often we look.
const TICK: Duration = Duration::from_millis(20);

/// As much of ssh's complaint as we read.
const COMPLAINT: u64 = 8 << 10;

/// Where in the machine's directory stands to which address of a guest the tunnel leads; gone with the tunnel.
const LED: &str = "tunnel.way";

/// The socket's name in the machine's directory, from which ssh is started: a path may be too long for a socket.
const SOCKET: &str = "tunnel.sock";

/// A way to a port at the guest's own address, which nobody knows before the guest runs: it comes to a tunnel that stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way {
    /// The port of this computer's 127.0.0.1.
    pub here: u16,
    /// Where it ends, as the other host sees it.
    pub to: SocketAddr,
}

impl Way {
    fn rule(self) -> OsString {
        format!("127.0.0.1:{}:{}", self.here, self.to).into()
    }

    fn parse(text: &str) -> Option<Self> {
        let (here, to) = text.trim().split_once(' ')?;
        Some(Self { here: here.parse().ok()?, to: to.parse().ok()? })
    }
}

/// Held while the tunnel is made or ended.
const LOCK: &str = "tunnel.lock";

/// The tunnel of one machine.
pub struct Tunnel<'a> {
    dir: &'a Path,
    host: &'a SshHost,
}

impl<'a> Tunnel<'a> {
    /// That of the machine in `dir`.
    pub fn new(dir: &'a Path, host: &'a SshHost) -> Self {
        Self { dir, host }
    }

    /// Whether it stands, as far as this computer knows.
    pub fn is_open(&self) -> bool {
        socket::connect(&self.dir.join(SOCKET)).is_ok()
    }

    /// Sees to it that there is a way to a port of the guest, and says where it begins: as `way` has it, or at another port
    /// where somebody took that meanwhile. Whoever asks may be one of several commands that do. The way is noted once it is
    /// there, so what a command that was killed had begun is not: then it is asked for again, which changes nothing.
    pub fn lead_to(&self, cx: &Cx, hops: &[Hop], way: Way) -> Result<u16, ProviderError> {
        let noted = self.dir.join(LED);
        let leads = || -> Result<Option<Way>, store::Error> {
            Ok(store::read_bounded(&noted, 100)?.and_then(|text| Way::parse(&String::from_utf8_lossy(&text))))
        };
        let is_there = |led: &Way| led.to == way.to;
        if self.is_open()
            && let Some(led) = leads()?.filter(is_there)
        {
            return Ok(led.here);
        }
        let _held = self.hold(cx)?;
        let (open, led) = (self.is_open(), leads()?);
        if let Some(led) = led.filter(|_| open) {
            if is_there(&led) {
                return Ok(led.here);
            }
            self.tell(cx, &["-O".into(), "cancel".into(), "-L".into(), led.rule()])?;
            store::remove_file(&noted)?;
        }
        let mut way = Way { here: led.map_or(way.here, |led| led.here), ..way };
        let forward = |way: Way| {
            Ok::<_, ProviderError>(open && self.tell(cx, &["-O".into(), "forward".into(), "-L".into(), way.rule()])?)
        };
        if !forward(way)? {
            // A new tunnel would not get the port either, and this one's end is that of all that goes through it.
            way.here = remote::way(Some(way.here), hops)?;
            if !forward(way)? {
                self.begin(cx, hops, Some(way))?;
            }
        }
        store::write_atomic(&noted, format!("{} {}\n", way.here, way.to).as_bytes(), 0o600)?;
        Ok(way.here)
    }

    /// Says something to the tunnel's ssh; whether it did so.
    fn tell(&self, cx: &Cx, words: &[OsString]) -> Result<bool, ProviderError> {
        let socket = ["-o", "ControlPath=tunnel.sock"].map(OsString::from);
        let mut command = self.command(&[&socket, words, &["--".into()]].concat())?;
        command.stderr(Stdio::null());
        trace::command(&command);
        let mut child = command.spawn().map_err(|source| ProviderError::Run { program: "ssh".to_owned(), source })?;
        Ok(wait(cx, &mut child, CLOSE)?.unwrap_or_default())
    }

    /// Leads this computer's ports to the other host's; a former tunnel is ended first.
    pub fn open(&self, cx: &Cx, hops: &[Hop]) -> Result<(), ProviderError> {
        let _held = self.hold(cx)?;
        self.begin(cx, hops, None)
    }

    /// The same where none stands.
    pub fn keep_open(&self, cx: &Cx, hops: &[Hop]) -> Result<(), ProviderError> {
        if self.is_open() {
            return Ok(());
        }
        let _held = self.hold(cx)?;
        if self.is_open() { Ok(()) } else { self.begin(cx, hops, None) }
    }

    /// Commands that only log in hold no lock of the machine's: of several that find no tunnel, one makes it.
    fn hold(&self, cx: &Cx) -> Result<Lock, store::Error> {
        Lock::exclusive(cx, &self.dir.join(LOCK), "the way to the machine", "ssh", true)
    }

    fn begin(&self, cx: &Cx, hops: &[Hop], way: Option<Way>) -> Result<(), ProviderError> {
        self.end(cx)?;
        let mut command = self.command(&options(self.host, hops, way))?;
        let complaint = self.dir.join("tunnel.log");
        let log = File::create(&complaint).map_err(|e| store::Error::io("write", &complaint, e))?;
        command.stderr(log);
        sys::die_with_parent(&mut command);
        trace::command(&command);
        let program = || command.get_program().to_string_lossy().into_owned();
        let name = program();
        let mut child = command.spawn().map_err(|source| ProviderError::Run { program: name, source })?;
        let opened = wait(cx, &mut child, OPEN);
        let said = read(&complaint);
        store::remove_file(&complaint)?;
        match opened? {
            Some(true) if self.is_open() => Ok(()),
            Some(_) => Err(self.failed(&said, hops, way)),
            None => Err(self.failed(&format!("it did not answer within {} s", OPEN.as_secs()), hops, None)),
        }
    }

    /// Ends it. Fine where there is none.
    pub fn close(&self, cx: &Cx) -> Result<(), ProviderError> {
        let held = self.hold(&cx.uninterrupted())?;
        self.end(cx)?;
        Ok(held.remove()?)
    }

    fn end(&self, cx: &Cx) -> Result<(), ProviderError> {
        let path = self.dir.join(SOCKET);
        store::remove_file(&self.dir.join(LED))?;
        if !self.is_open() {
            return Ok(store::remove_file(&path)?);
        }
        // Asked for by whoever ends a machine: what is half done helps nobody.
        let cx = &cx.uninterrupted();
        self.tell(cx, &["-O".into(), "exit".into()])?;
        let began = Instant::now();
        while self.is_open() {
            if began.elapsed() > CLOSE {
                let message = "the ssh that leads there does not end".to_owned();
                return Err(Error::Tunnel { host: self.host.host.clone(), message, fix: None }.into());
            }
            cx.sleep(TICK)?;
        }
        Ok(store::remove_file(&path)?)
    }

    fn command(&self, arguments: &[OsString]) -> Result<Command, ProviderError> {
        let program = host::find("ssh").ok_or_else(|| ProviderError::Missing {
            program: "ssh".into(),
            fix: Some("install the OpenSSH client".into()),
        })?;
        let mut command = Command::new(program);
        command.args(arguments).arg(&self.host.host).current_dir(self.dir);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        Ok(command)
    }

    fn failed(&self, said: &str, hops: &[Hop], way: Option<Way>) -> ProviderError {
        if let Some(way) = way.filter(|way| taken_ports(said).contains(&way.here)) {
            let host_ip = Ipv4Addr::LOCALHOST.into();
            return ProviderError::PortTaken { protocol: Protocol::Tcp, host_ip, port: way.here };
        }
        if let Some(hop) = taken(said, hops) {
            let here = &hop.here;
            return ProviderError::PortTaken { protocol: here.protocol, host_ip: here.host_ip, port: here.host };
        }
        let host = self.host.host.clone();
        let user = self.host.user.as_ref().map(|user| format!("{user}@")).unwrap_or_default();
        let said = if user.is_empty() { said.to_owned() } else { said.replace(&user, "") };
        let last = said.lines().map(str::trim).rfind(|line| !line.is_empty());
        let message = last.unwrap_or("it ended without a word").chars().filter(|c| !c.is_control()).take(500).collect();
        let fix = Some(format!("`ssh {host} true` must work without a password (`ssh-copy-id`, an agent)"));
        Error::Tunnel { host, message, fix }.into()
    }
}

/// Arguments up to the host: a master without a command, which has all its ports or ends.
fn options(host: &SshHost, hops: &[Hop], way: Option<Way>) -> Vec<OsString> {
    let mut all: Vec<OsString> = ["-f", "-N", "-T", "-M"].map(OsString::from).into();
    let mut set = |option: &str| all.extend(["-o".into(), OsString::from(option)]);
    for option in [
        "ControlPath=tunnel.sock",
        "ControlPersist=no",
        "ExitOnForwardFailure=yes",
        // Nobody is there to be asked.
        "BatchMode=yes",
        CONNECT,
        "ServerAliveInterval=15",
        "ServerAliveCountMax=4",
        "ForwardAgent=no",
        "ForwardX11=no",
        "PermitLocalCommand=no",
        "RemoteCommand=none",
        "LogLevel=ERROR",
    ] {
        set(option);
    }
    if !host.verify {
        set("StrictHostKeyChecking=no");
    }
    if let Some(port) = host.port {
        set(&format!("Port={port}"));
    }
    if let Some(user) = &host.user {
        set(&format!("User={user}"));
    }
    if let Some(key) = &host.key {
        all.extend(["-i".into(), key.into()]);
    }
    for hop in hops.iter().filter(|hop| hop.here.protocol == Protocol::Tcp) {
        let [here, there] = [&hop.here, &hop.there].map(|end| SocketAddr::new(end.host_ip, end.host));
        all.extend(["-L".into(), format!("{here}:{there}").into()]);
    }
    if let Some(way) = way {
        all.extend(["-L".into(), way.rule()]);
    }
    all.push("--".into());
    all
}

/// Waits for an end: whether it was a good one; `None` when the time was over. What does not end is killed.
fn wait(cx: &Cx, child: &mut Child, time: Duration) -> Result<Option<bool>, ProviderError> {
    let began = Instant::now();
    let ended = loop {
        if let Ok(Some(status)) = child.try_wait() {
            return Ok(Some(status.success()));
        }
        if began.elapsed() > time {
            break Ok(None);
        }
        if let Err(interrupted) = cx.sleep(TICK) {
            break Err(interrupted.into());
        }
    };
    // It may have ended in this moment.
    drop(child.kill());
    drop(child.wait());
    ended
}

fn read(path: &PathBuf) -> String {
    let mut bytes = Vec::new();
    drop(File::open(path).and_then(|file| file.take(COMPLAINT).read_to_end(&mut bytes)));
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The ports that ssh could not listen on: `bind [127.0.0.1]:2200: Address already in use`.
fn taken_ports(said: &str) -> Vec<u16> {
    let lines = said.lines().filter(|line| line.contains("cannot listen to port") || line.starts_with("bind ["));
    let ports = lines.filter_map(|line| {
        let words = line.trim_end_matches(": Address already in use").rsplit([':', ' ']);
        words.into_iter().find_map(|word| word.trim().parse::<u16>().ok())
    });
    ports.collect()
}

fn taken<'h>(said: &str, hops: &'h [Hop]) -> Option<&'h Hop> {
    taken_ports(said).into_iter().find_map(|port| hops.iter().find(|hop| hop.here.host == port))
}

#[cfg(test)]
mod tests {
    use super::super::uri::{self, Place};
    use super::*;
    use crate::provider::Forward;

    fn host(uri: &str) -> SshHost {
        match uri::place(uri).unwrap() {
            Place::Ssh(host) => host,
            place => panic!("{place:?}"),
        }
    }

    fn hops(protocol: Protocol, port: u16) -> Vec<Hop> {
        let here = Forward { protocol, host_ip: [127, 0, 0, 1].into(), host: port, guest: 22 };
        let there = Forward { host: 23_456, ..here.clone() };
        vec![Hop { here, there, free: true }]
    }

    fn words(uri: &str, hops: &[Hop]) -> String {
        let all = options(&host(uri), hops, None);
        all.iter().map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn ssh_is_told_what_libvirts_uri_says_and_every_tcp_port() {
        let text = words("qemu+ssh://me@h:2222/system?keyfile=/k/id&no_verify=1", &hops(Protocol::Tcp, 2200));
        let end = "-o StrictHostKeyChecking=no -o Port=2222 -o User=me -i /k/id -L 127.0.0.1:2200:127.0.0.1:23456 --";
        assert!(text.ends_with(end), "{text}");
        let text = words("qemu+ssh://h/system", &hops(Protocol::Udp, 53));
        assert!(text.ends_with("-o LogLevel=ERROR --"), "{text}");
        assert!(text.contains("BatchMode=yes") && text.contains("ExitOnForwardFailure=yes"));
        let six = remote::hops(&Place::Here, None, &[]).unwrap();
        assert!(words("qemu+ssh://h/system", &six).ends_with("--"));
    }

    #[test]
    fn a_way_to_a_guest_is_another_forward_and_is_read_again() {
        let way = Way { here: 23_456, to: "192.168.122.5:22".parse().unwrap() };
        let words = options(&host("qemu+ssh://h/system"), &[], Some(way));
        let words: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
        assert!(words.ends_with(&["-L".into(), "127.0.0.1:23456:192.168.122.5:22".into(), "--".into()]), "{words:?}");
        let six = Way { to: "[fd00::5]:22".parse().unwrap(), ..way };
        assert_eq!(six.rule(), "127.0.0.1:23456:[fd00::5]:22");
        assert_eq!(Way::parse("23456 [fd00::5]:22\n"), Some(six));
        for text in ["", "23456", "x [fd00::5]:22", "23456 h:22", "23456 -oProxyCommand=x"] {
            assert_eq!(Way::parse(text), None, "{text}");
        }
        let host = host("qemu+ssh://h/system");
        let error = Tunnel::new(Path::new("/m"), &host).failed(
            "bind [127.0.0.1]:23456: Address already in use",
            &[],
            Some(way),
        );
        assert_eq!(error.to_string(), "port 23456/tcp of 127.0.0.1 is taken");
    }

    #[test]
    fn a_port_of_this_computer_that_is_taken_is_told_as_such() {
        let (hops, host) = (hops(Protocol::Tcp, 2200), host("qemu+ssh://me@h/system"));
        let tunnel = Tunnel::new(Path::new("/m"), &host);
        for said in [
            "bind [127.0.0.1]:2200: Address already in use\r\nchannel_setup_fwd_listener_tcpip: cannot listen to port: \
             2200\r\nCould not request local forwarding.\r\n",
            "channel_setup_fwd_listener_tcpip: cannot listen to port: 2200",
        ] {
            assert_eq!(tunnel.failed(said, &hops, None).to_string(), "port 2200/tcp of 127.0.0.1 is taken");
        }
        let error = tunnel.failed("me@h: Permission denied (publickey).\r\n", &hops, None).to_string();
        assert_eq!(error, "this computer's ssh does not get to `h`: h: Permission denied (publickey).");
        let error = tunnel.failed("", &hops, None).to_string();
        assert_eq!(error, "this computer's ssh does not get to `h`: it ended without a word");
    }

    #[test]
    fn where_there_is_no_socket_there_is_no_tunnel_and_a_dead_one_is_swept() {
        let (dir, host) = (tempfile::tempdir().unwrap(), host("qemu+ssh://h/system"));
        let tunnel = Tunnel::new(dir.path(), &host);
        assert!(!tunnel.is_open());
        tunnel.close(&Cx::silent()).unwrap();
        drop(std::os::unix::net::UnixListener::bind(dir.path().join(SOCKET)).unwrap());
        assert!(!tunnel.is_open());
        tunnel.close(&Cx::silent()).unwrap();
        assert!(!dir.path().join(SOCKET).exists());
    }
}
