//! Reserving ports.

use std::fs::{self, File};
use std::io::{self, Seek, Write};
use std::net::{IpAddr, TcpListener, UdpSocket};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use super::{Error, Owner, owner};
use crate::config::spec::Protocol;
use crate::store::{self, Dirs, Lock};

/// The ports of this host.
#[derive(Clone, Copy, Debug)]
pub struct Ports<'a>(pub &'a Dirs);

/// A port that is ours until this is dropped, or until the last process that inherited [`Reservation::file`] ends.
#[derive(Debug)]
pub struct Reservation {
    protocol: Protocol,
    port: u16,
    /// `None` only while being dropped.
    lock: Option<Lock>,
    guard: Mutex<Option<Socket>>,
}

/// Keeps other programs away from the port.
#[derive(Debug)]
#[expect(dead_code, reason = "held for what the kernel does as long as it is open")]
enum Socket {
    Tcp(TcpListener),
    Udp(UdpSocket),
}

impl Socket {
    /// On Linux a listener excludes every other listener on the port whose address overlaps (`0.0.0.0` and `127.0.0.1`,
    /// `::` and both), whatever their options. `TcpListener` sets `SO_REUSEADDR`, so connections of a former machine
    /// that linger in `TIME_WAIT` do not count; the hypervisor does the same.
    fn bind(protocol: Protocol, host_ip: IpAddr, port: u16) -> io::Result<Self> {
        match protocol {
            Protocol::Tcp => TcpListener::bind((host_ip, port)).map(Self::Tcp),
            Protocol::Udp => UdpSocket::bind((host_ip, port)).map(Self::Udp),
        }
    }
}

impl Reservation {
    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its transport.
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// The locked file, for the hypervisor's process to inherit. Until now a bound socket kept other programs away;
    /// it is closed here so that the hypervisor can bind: ask for the file when everything else is ready.
    pub fn file(&self) -> &File {
        drop(self.guard.lock().unwrap_or_else(PoisonError::into_inner).take());
        self.lock().file()
    }

    #[expect(clippy::expect_used, reason = "only `drop` takes the lock out")]
    fn lock(&self) -> &Lock {
        self.lock.as_ref().expect("a reservation has its lock until it is dropped")
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        // Never handed on: nobody needs the file. A file that stays behind does no harm either.
        let unused = self.guard.get_mut().unwrap_or_else(PoisonError::into_inner).is_some();
        if let Some(lock) = self.lock.take().filter(|_| unused) {
            let _ = lock.remove();
        }
    }
}

impl Ports<'_> {
    /// Takes exactly this port for `owner` ("machine `web` (a1b2c3d4)": shown to others who want it).
    pub fn reserve(&self, protocol: Protocol, host_ip: IpAddr, port: u16, owner: &str) -> Result<Reservation, Error> {
        let path = self.path(protocol, port);
        let taken = |owner| Error::Taken { protocol, host_ip, port, owner };
        let last = Lock::holder(&path).to_string();
        let Some(lock) = Lock::try_exclusive(&path, "up")? else {
            return Err(taken(Owner::Machine(Lock::holder(&path).to_string())));
        };
        match Socket::bind(protocol, host_ip, port) {
            Ok(socket) => {
                sign(&lock, owner).map_err(|e| store::Error::io("write", &path, e))?;
                Ok(Reservation { protocol, port, lock: Some(lock), guard: Mutex::new(Some(socket)) })
            }
            Err(source) if source.kind() == io::ErrorKind::AddrInUse => {
                let owner = owner::of_port(protocol, port, &last);
                match &owner {
                    // Whoever wants it next shall know, too. This is for a message only.
                    Owner::Machine(words) => drop(sign(&lock, words)),
                    _ => lock.remove()?,
                }
                Err(taken(owner))
            }
            Err(source) => {
                lock.remove()?;
                Err(match source.kind() {
                    io::ErrorKind::PermissionDenied => Error::Privileged { protocol, port },
                    io::ErrorKind::AddrNotAvailable => Error::NoAddress { host_ip },
                    _ => Error::Bind { protocol, host_ip, port, source },
                })
            }
        }
    }

    /// Takes `prefer`, or else the first free port of `range`.
    pub fn reserve_any(
        &self,
        protocol: Protocol,
        host_ip: IpAddr,
        range: RangeInclusive<u16>,
        prefer: Option<u16>,
        owner: &str,
    ) -> Result<Reservation, Error> {
        for port in prefer.into_iter().chain(range.clone()).filter(|&port| port != 0) {
            match self.reserve(protocol, host_ip, port, owner) {
                // A preferred port may lie outside of the range, where other rules hold.
                Err(Error::Taken { .. } | Error::Privileged { .. }) => {}
                result => return result,
            }
        }
        Err(Error::Exhausted { protocol, range })
    }

    /// Removes the file of a port that no machine holds any more.
    pub fn forget(&self, protocol: Protocol, port: u16) -> Result<(), Error> {
        let path = self.path(protocol, port);
        if path.exists()
            && let Some(lock) = Lock::try_exclusive(&path, "destroy")?
        {
            lock.remove()?;
        }
        Ok(())
    }

    /// Removes the files of all ports that no machine holds any more.
    pub fn sweep(&self) -> Result<(), Error> {
        let dir = self.0.ports();
        let files = match fs::read_dir(&dir) {
            Ok(files) => files,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(e) => return Err(store::Error::io("read", dir, e).into()),
        };
        for file in files.filter_map(Result::ok) {
            let name = file.file_name();
            if let Some((protocol, port)) = name.to_str().and_then(parse_name) {
                self.forget(protocol, port)?;
            }
        }
        Ok(())
    }

    fn path(self, protocol: Protocol, port: u16) -> PathBuf {
        self.0.ports().join(format!("{protocol}-{port}"))
    }
}

fn parse_name(name: &str) -> Option<(Protocol, u16)> {
    let (protocol, port) = name.split_once('-')?;
    let protocol = [Protocol::Tcp, Protocol::Udp].into_iter().find(|p| p.to_string() == protocol)?;
    Some((protocol, port.parse().ok()?))
}

fn sign(lock: &Lock, owner: &str) -> io::Result<()> {
    let mut file = lock.file();
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(owner.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::Mutex;

    use super::*;
    use crate::error::{Exit, Explain};

    const LOCAL: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
    const ANY: IpAddr = IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED);

    fn dirs() -> (tempfile::TempDir, Dirs) {
        let root = tempfile::tempdir().unwrap();
        let dirs = Dirs::below(root.path());
        (root, dirs)
    }

    fn free_port() -> u16 {
        TcpListener::bind((ANY, 0)).unwrap().local_addr().unwrap().port()
    }

    #[test]
    fn a_port_of_a_machine_is_taken_until_the_last_holder_of_its_file_is_gone() {
        let (_root, dirs) = dirs();
        let (ports, port) = (Ports(&dirs), free_port());
        let mine = ports.reserve(Protocol::Tcp, LOCAL, port, "machine `web` (a1b2c3d4)").unwrap();
        let inherited = mine.file().try_clone().unwrap();
        drop(mine);
        ports.sweep().unwrap();
        let refused = ports.reserve(Protocol::Tcp, LOCAL, port, "machine `db`").unwrap_err();
        assert_eq!(refused.to_string(), format!("tcp port {port} of 127.0.0.1 is taken by machine `web` (a1b2c3d4)"));
        assert_eq!(refused.exit(), Exit::Port);
        drop(inherited);
        ports.reserve(Protocol::Tcp, LOCAL, port, "machine `db`").unwrap();
    }

    #[test]
    fn a_port_of_another_program_is_refused_on_every_overlapping_address() {
        let (_root, dirs) = dirs();
        for (theirs, ours) in [(LOCAL, LOCAL), (LOCAL, ANY), (ANY, LOCAL)] {
            let other = TcpListener::bind((theirs, 0)).unwrap();
            let port = other.local_addr().unwrap().port();
            let refused = Ports(&dirs).reserve(Protocol::Tcp, ours, port, "x").unwrap_err();
            let me = std::process::id();
            assert!(refused.to_string().ends_with(&format!("(process {me})")), "{refused}");
        }
        let other = UdpSocket::bind((ANY, 0)).unwrap();
        let port = other.local_addr().unwrap().port();
        assert!(matches!(Ports(&dirs).reserve(Protocol::Udp, LOCAL, port, "x"), Err(Error::Taken { .. })));
        assert_eq!(fs::read_dir(dirs.ports()).unwrap().count(), 0, "a refused port leaves no file");
    }

    #[test]
    fn the_socket_is_closed_when_the_file_is_handed_on() {
        let (_root, dirs) = dirs();
        let port = free_port();
        let mine = Ports(&dirs).reserve(Protocol::Tcp, LOCAL, port, "x").unwrap();
        assert!(TcpListener::bind((LOCAL, port)).is_err(), "guarded");
        let _ = mine.file();
        assert!(TcpListener::bind((LOCAL, port)).is_ok(), "free for the hypervisor");
    }

    #[test]
    fn the_preferred_port_comes_first_and_an_exhausted_range_is_named() {
        let (_root, dirs) = dirs();
        let ports = Ports(&dirs);
        let (a, b) = (free_port(), free_port());
        let first = ports.reserve_any(Protocol::Tcp, LOCAL, a..=a, Some(b), "x").unwrap();
        assert_eq!(first.port(), b);
        let second = ports.reserve_any(Protocol::Tcp, LOCAL, a..=a, Some(b), "x").unwrap();
        assert_eq!(second.port(), a);
        let refused = ports.reserve_any(Protocol::Tcp, LOCAL, a..=a, Some(b), "x").unwrap_err();
        assert_eq!(refused.to_string(), format!("every tcp port from {a} to {a} is taken"));
    }

    #[test]
    fn an_address_of_another_host_is_refused() {
        let (_root, dirs) = dirs();
        let refused = Ports(&dirs).reserve(Protocol::Tcp, [192, 0, 2, 1].into(), free_port(), "x").unwrap_err();
        assert_eq!(refused.to_string(), "this host has no address 192.0.2.1 to listen on");
    }

    #[test]
    fn stale_files_are_used_again_and_swept() {
        let (_root, dirs) = dirs();
        let port = free_port();
        let path = dirs.ports().join(format!("tcp-{port}"));
        store::write_atomic(&path, b"machine `gone`", 0o600).unwrap();
        store::write_atomic(&dirs.ports().join("README"), b"not a port", 0o600).unwrap();
        let mine = Ports(&dirs).reserve(Protocol::Tcp, LOCAL, port, "machine `new`").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "machine `new`");
        Ports(&dirs).sweep().unwrap();
        assert!(path.exists(), "it is held");
        let _ = mine.file();
        drop(mine);
        assert!(path.exists());
        Ports(&dirs).sweep().unwrap();
        assert!(!path.exists());
        assert!(dirs.ports().join("README").exists());
    }

    #[test]
    fn many_at_once_never_get_the_same_port() {
        let (_root, dirs) = dirs();
        // Below the ports that the system gives away by itself.
        let start = 22_000 + (std::process::id() % 8000) as u16;
        let held = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for i in 0..8 {
                let (dirs, held) = (&dirs, &held);
                scope.spawn(move || {
                    for j in 0..4 {
                        let owner = format!("machine {i}.{j}");
                        let range = start..=start + 200;
                        let got = Ports(dirs).reserve_any(Protocol::Tcp, LOCAL, range, None, &owner).unwrap();
                        held.lock().unwrap().push(got);
                    }
                });
            }
        });
        let held = held.into_inner().unwrap();
        let distinct: HashSet<u16> = held.iter().map(Reservation::port).collect();
        assert_eq!((held.len(), distinct.len()), (32, 32));
    }
}
