//! Who has a port.

use std::fmt;
use std::fs;
use std::path::Path;

use super::procfs::{self, Socket};
use crate::config::spec::Protocol;

/// Who has a port, as far as this user may know.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Owner {
    /// One of our machines, in the words of its reservation.
    Machine(String),
    /// A process that we may look into.
    Process {
        /// Its number.
        pid: u32,
        /// Its name.
        name: String,
    },
    /// A process of somebody else.
    User(u32),
    /// Nothing is known.
    Unknown,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Machine(words) => f.write_str(words),
            Self::Process { pid, name } => write!(f, "{name} (process {pid})"),
            Self::User(uid) => write!(f, "a process of user id {uid}"),
            Self::Unknown => f.write_str("another process"),
        }
    }
}

/// Larger than the socket tables of any busy host; what lies beyond is not looked at.
const TABLE_LIMIT: u64 = 16 << 20;

/// A process name is at most 15 bytes (`proc_pid_comm(5)`), some threads of the kernel have more.
const NAME_LIMIT: u64 = 64;

/// Which process has the port; whose machine that is, where `last` are the words of whoever reserved it last. Reads `/proc`,
/// so it is asked only once a port is known to be taken.
pub fn of_port(protocol: Protocol, port: u16, last: &str) -> Owner {
    let tables = match protocol {
        Protocol::Tcp => ["/proc/net/tcp", "/proc/net/tcp6"],
        Protocol::Udp => ["/proc/net/udp", "/proc/net/udp6"],
    };
    let text: String = tables.iter().map(|table| read(Path::new(table), TABLE_LIMIT)).collect();
    let mut sockets: Vec<Socket> = procfs::sockets(&text).filter(|s| s.port == port && s.inode != 0).collect();
    // A connection may use the port too, but the one who listens is the one to name.
    sockets.sort_by_key(|s| !s.listening);
    let Some(first) = sockets.first() else { return Owner::Unknown };
    match process_with(first.inode) {
        Some(Owner::Process { pid, .. }) if is_of_machine(pid, last) => Owner::Machine(last.into()),
        Some(owner) => owner,
        None => Owner::User(first.uid),
    }
}

/// Whether it is the process of the machine in these words ("machine `web` (a1b2c3d4)"): all hypervisors have the machine's
/// id among their arguments. One that a service started has inherited no reservation.
fn is_of_machine(pid: u32, words: &str) -> bool {
    let id = words.strip_suffix(')').and_then(|words| words.rsplit_once(" (")).map_or("", |(_, id)| id);
    id.len() >= 8 && read(Path::new(&format!("/proc/{pid}/cmdline")), TABLE_LIMIT).contains(id)
}

fn process_with(inode: u64) -> Option<Owner> {
    let processes = fs::read_dir("/proc").ok()?.filter_map(Result::ok);
    for process in processes {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let Ok(mut open) = fs::read_dir(process.path().join("fd")) else { continue };
        let holds = |link: &Path| link.to_str().and_then(procfs::socket_inode) == Some(inode);
        if open.any(|fd| fd.and_then(|fd| fs::read_link(fd.path())).is_ok_and(|link| holds(&link))) {
            let name = read(&process.path().join("comm"), NAME_LIMIT);
            let name: String = name.trim().chars().filter(|c| !c.is_control()).collect();
            return Some(Owner::Process { pid, name });
        }
    }
    None
}

fn read(path: &Path, limit: u64) -> String {
    use std::io::Read;
    let mut bytes = Vec::new();
    // What cannot be read is as good as empty: this is for a message only.
    let _ = fs::File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes));
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, UdpSocket};

    use super::*;

    #[test]
    fn the_process_behind_a_port_is_named() {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let udp = UdpSocket::bind("[::1]:0").unwrap();
        let me = std::process::id();
        for (protocol, port) in
            [(Protocol::Tcp, tcp.local_addr().unwrap().port()), (Protocol::Udp, udp.local_addr().unwrap().port())]
        {
            let owner = of_port(protocol, port, "");
            assert!(matches!(&owner, Owner::Process { pid, name } if *pid == me && !name.is_empty()), "{owner:?}");
        }
    }

    #[test]
    fn a_process_with_the_id_of_the_machine_that_had_the_port_last_is_that_machines() {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = tcp.local_addr().unwrap().port();
        // This program's name ends in a hash.
        let program = std::env::args().next().unwrap();
        let mine = format!("machine `web` ({})", &program[program.len() - 8..]);
        assert_eq!(of_port(Protocol::Tcp, port, &mine), Owner::Machine(mine));
        for others in ["machine `web` (a1b2c3d4)", "machine `web` ()", "another process"] {
            assert!(matches!(of_port(Protocol::Tcp, port, others), Owner::Process { .. }), "{others}");
        }
    }

    #[test]
    fn owners_are_worded() {
        for (owner, words) in [
            (Owner::Machine("machine `web` (a1b2c3d4)".into()), "machine `web` (a1b2c3d4)"),
            (Owner::Process { pid: 7, name: "nginx".into() }, "nginx (process 7)"),
            (Owner::User(33), "a process of user id 33"),
            (Owner::Unknown, "another process"),
        ] {
            assert_eq!(owner.to_string(), words);
        }
    }
}
