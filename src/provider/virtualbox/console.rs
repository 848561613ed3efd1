//! The serial console.
//!
//! VirtualBox writes it to a file or hands it to the one client of a socket, never both, but it changes over while the
//! machine runs. So the console is lent: as long as somebody is attached, the log is written here, in VirtualBox's place.
//! After a console that was killed nobody writes it, until the next console, start or resume.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::super::Error;
use super::argv::Args;
use super::fault::Meaning;
use super::files::Files;
use super::machine::{Machine, VIRTUALBOX};
use super::parse::Info;
use crate::progress::Cx;
use crate::store::{self, Lock, MachineId};

/// A socket's address holds 108 bytes, one of which ends it.
const ADDRESS_LIMIT: usize = 107;

/// How long VirtualBox may take to listen once it said that it does.
const LISTENING: Duration = Duration::from_secs(5);

/// Between two tries to connect: what the guest writes in between is lost.
const PAUSE: Duration = Duration::from_millis(2);

/// A console that is lent.
#[derive(Debug)]
pub struct Lease {
    lock: Lock,
    socket: PathBuf,
    carrier: JoinHandle<()>,
}

/// Hands the console out: the stream is connected with it until either side ends, and the log goes on until
/// [`Lease::end`].
pub fn lend(cx: &Cx, machine: &Machine<'_>, runtime: &Path) -> Result<(Lease, UnixStream), Error> {
    let socket = address(machine.files, runtime)?;
    let path = machine.files.console_lock();
    let lock = Lock::exclusive(cx, &path, "the machine's serial console", "console", false)?;
    if socket.exists() {
        // Whoever was killed before us left VirtualBox listening there, and it would change nothing.
        machine.manage.call(cx, &switch(machine.id, &["disconnected".as_ref()]))?;
        store::remove_file(&socket)?;
    }
    let (ours, theirs) = UnixStream::pair().map_err(|e| store::Error::io("connect", &socket, e))?;
    let given_up = Arc::new(AtomicBool::new(false));
    let (report, connected) = channel();
    let way = Way { socket: socket.clone(), log: machine.files.console_log(), given_up: Arc::clone(&given_up) };
    let carrier = thread::Builder::new().name("console".into()).spawn(move || carry(&way, &theirs, &report));
    let carrier = carrier.map_err(|e| store::Error::io("connect to", &socket, e))?;
    let switched = machine.manage.call(cx, &switch(machine.id, &["server".as_ref(), socket.as_os_str()]));
    match switched.and_then(|_| awaited(cx, &connected, &socket)) {
        Ok(()) => Ok((Lease { lock, socket, carrier }, ours)),
        Err(error) => {
            given_up.store(true, Ordering::SeqCst);
            // The first error says more than what may come of this.
            drop(mend_if_lent(machine));
            drop(lock.remove());
            Err(error)
        }
    }
}

fn mend_if_lent(machine: &Machine<'_>) -> Result<(), Error> {
    if machine.glance()?.is_some_and(|info| is_lent(&info)) && take_back(machine)? {
        machine.files.keep_lent_console()?;
    }
    Ok(())
}

impl Lease {
    /// Lets VirtualBox write the log again. Fine where the machine has ended.
    pub fn end(self, machine: &Machine<'_>) -> Result<(), Error> {
        // The connection ended from the other side: so has the machine, and one that was started since is no loan.
        if !self.carrier.is_finished() && take_back(machine)? {
            // It is closed by now, with all that came through it in the log.
            let _ = self.carrier.join();
            machine.files.keep_lent_console()?;
        }
        store::remove_file(&self.socket)?;
        Ok(self.lock.remove()?)
    }
}

/// Whether VirtualBox says that the console is lent.
pub fn is_lent(info: &Info) -> bool {
    info.get("uartmode1").is_some_and(|mode| mode.starts_with("server,"))
}

/// Takes back what was lent when the machine's memory was saved, now that it runs again.
pub fn mend(machine: &Machine<'_>) -> Result<(), Error> {
    // Somebody may be attached already.
    let Some(lock) = Lock::try_exclusive(&machine.files.console_lock(), "console")? else { return Ok(()) };
    if take_back(machine)? {
        machine.files.keep_lent_console()?;
    }
    Ok(lock.remove()?)
}

/// Whether VirtualBox writes the log again; not where the machine does not run.
fn take_back(machine: &Machine<'_>) -> Result<bool, Error> {
    let cx = Cx::silent();
    // VirtualBox begins the file anew: what is in it stays under another name, where its last lines still go.
    machine.files.lend_console()?;
    let log = machine.files.console_log();
    match machine.manage.call(&cx, &switch(machine.id, &["file".as_ref(), log.as_os_str()])) {
        Err(Error::Virtualbox(fault))
            if matches!(fault.meaning, Meaning::NotRunning | Meaning::NotFound | Meaning::State) =>
        {
            Ok(false)
        }
        answer => answer.map(|_| true),
    }
}

/// Where VirtualBox shall listen: it takes no path that is longer than an address.
fn address(files: &Files, runtime: &Path) -> Result<PathBuf, Error> {
    let fits = |path: &PathBuf| path.as_os_str().as_bytes().len() <= ADDRESS_LIMIT;
    if let Some(path) = Some(files.console_socket()).filter(fits) {
        return Ok(path);
    }
    let path = Some(runtime.join("console.sock")).filter(fits).ok_or(Error::Unable {
        provider: VIRTUALBOX,
        what: "attach to the serial console: the path of its socket would be too long",
        hint: "set VBOX_RS_HOME to a shorter path; `vbox-rs logs -f` shows what the guest writes",
    })?;
    store::create_private(runtime)?;
    Ok(path)
}

/// Changes over: to a socket (`server`), a file, or nothing.
fn switch(id: MachineId, to: &[&OsStr]) -> Args {
    let call = ["controlvm", &id.uuid(), "changeuartmode1"].map(OsString::from);
    call.into_iter().chain(to.iter().map(OsString::from)).collect()
}

fn awaited(cx: &Cx, connected: &Receiver<io::Result<()>>, socket: &Path) -> Result<(), Error> {
    let began = Instant::now();
    while began.elapsed() < LISTENING {
        if let Ok(answer) = connected.recv_timeout(PAUSE) {
            return answer.map_err(|e| store::Error::io("connect to", socket, e).into());
        }
        cx.check()?;
    }
    let timed_out = io::Error::from(io::ErrorKind::TimedOut);
    Err(store::Error::io("connect to", socket, timed_out).into())
}

/// What the thread that carries the bytes needs.
struct Way {
    socket: PathBuf,
    log: PathBuf,
    given_up: Arc<AtomicBool>,
}

/// Connects as soon as VirtualBox listens, and carries until it does no more.
fn carry(way: &Way, user: &UnixStream, report: &Sender<io::Result<()>>) {
    let guest = loop {
        match UnixStream::connect(&way.socket) {
            Ok(guest) => break guest,
            Err(_) if way.given_up.load(Ordering::SeqCst) => return,
            Err(_) => thread::sleep(PAUSE),
        }
    };
    let prepare = || -> io::Result<(File, UnixStream, UnixStream)> {
        let log = File::options().append(true).create(true).mode(0o600).open(&way.log)?;
        Ok((log, user.try_clone()?, guest.try_clone()?))
    };
    let (log, from, to) = match prepare() {
        Ok(all) => all,
        // Nobody hears of it who has given up.
        Err(e) => return drop(report.send(Err(e))),
    };
    let typing = thread::Builder::new().name("console-in".into()).spawn(move || carry_in(from, to));
    if report.send(typing.map(drop)).is_ok() {
        carry_out(guest, user, log);
    }
    // The reader shall see the end.
    let _ = user.shutdown(Shutdown::Both);
}

/// From the guest to the log and to whoever is attached, who may leave before.
fn carry_out(mut guest: UnixStream, mut user: &UnixStream, mut log: File) {
    let mut bytes = [0; 4096];
    while let Ok(count @ 1..) = guest.read(&mut bytes) {
        // A full disk is no reason to keep the guest's words from who looks at them, nor is who left one to log no more.
        let _ = log.write_all(&bytes[..count]);
        let _ = user.write_all(&bytes[..count]);
    }
}

fn carry_in(mut user: UnixStream, mut guest: UnixStream) {
    // Either end is told by the other thread.
    let _ = io::copy(&mut user, &mut guest);
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn the_console_is_changed_over_by_the_machines_uuid() {
        let id = "00112233445546778899aabbccddeeff".parse().unwrap();
        let words = |to: &[&str]| {
            let to: Vec<&OsStr> = to.iter().map(AsRef::as_ref).collect();
            let args = switch(id, &to);
            args.iter().map(|arg| arg.to_str().unwrap()).collect::<Vec<_>>().join(" ")
        };
        let call = "controlvm 00112233-4455-4677-8899-aabbccddeeff changeuartmode1";
        assert_eq!(words(&["server", "/m/console.sock"]), format!("{call} server /m/console.sock"));
        assert_eq!(words(&["file", "/m/a b.log"]), format!("{call} file /m/a b.log"));
        assert_eq!(words(&["disconnected"]), format!("{call} disconnected"));
    }

    #[test]
    fn a_long_home_has_its_socket_elsewhere_and_one_without_any_place_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let (short, long) = (dir.path().join("m"), dir.path().join("m".repeat(120)));
        let runtime = dir.path().join("run");
        assert_eq!(address(&Files::new(&short), &runtime).unwrap(), short.join("console.sock"));
        assert!(!runtime.exists());
        assert_eq!(address(&Files::new(&long), &runtime).unwrap(), runtime.join("console.sock"));
        assert!(address(&Files::new(&long), &long).unwrap_err().to_string().contains("too long"));
    }

    #[test]
    fn bytes_go_both_ways_and_into_the_log_also_when_nobody_looks_any_more() {
        let dir = tempfile::tempdir().unwrap();
        let way = Way {
            socket: dir.path().join("console.sock"),
            log: dir.path().join("console.log"),
            given_up: Arc::default(),
        };
        let log = way.log.clone();
        fs::write(&log, "before\n").unwrap();
        let listener = UnixListener::bind(&way.socket).unwrap();
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        let (report, connected) = channel();
        let carrier = thread::spawn(move || carry(&way, &theirs, &report));
        let (mut guest, _) = listener.accept().unwrap();
        connected.recv().unwrap().unwrap();
        let mut three = [0; 3];
        ours.write_all(b"ls\n").unwrap();
        guest.read_exact(&mut three).unwrap();
        assert_eq!(&three, b"ls\n");
        guest.write_all(b"a\r\n").unwrap();
        ours.read_exact(&mut three).unwrap();
        assert_eq!(&three, b"a\r\n");
        drop(ours);
        guest.write_all(b"b\n").unwrap();
        guest.write_all(b"c\n").unwrap();
        drop(guest);
        carrier.join().unwrap();
        assert_eq!(fs::read_to_string(log).unwrap(), "before\na\r\nb\nc\n");
    }

    #[test]
    fn the_end_of_the_machine_is_the_end_of_the_stream() {
        let dir = tempfile::tempdir().unwrap();
        let way = Way {
            socket: dir.path().join("console.sock"),
            log: dir.path().join("console.log"),
            given_up: Arc::default(),
        };
        let listener = UnixListener::bind(&way.socket).unwrap();
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        let (report, connected) = channel();
        let carrier = thread::spawn(move || carry(&way, &theirs, &report));
        drop(listener.accept().unwrap());
        connected.recv().unwrap().unwrap();
        assert_eq!(ours.read(&mut [0; 8]).unwrap(), 0);
        carrier.join().unwrap();
    }
}
