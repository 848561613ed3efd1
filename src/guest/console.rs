//! A terminal on a machine's serial console. Ctrl-] leaves it (as in telnet and virsh); every other key goes to the
//! guest.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;

use rustix::event::{PollFd, PollFlags};

use super::Error;
use super::connect::{SLICE, wait};
use super::terminal::{Leave, Raw, Signals, Stdio, write_all};
use crate::progress::Cx;

/// How people are told to leave.
pub const LEAVE_KEY: &str = "Ctrl-]";

/// Why the console was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// The user pressed Ctrl-], or the input ended.
    Asked,
    /// The hypervisor closed it: the machine ended.
    Closed,
}

/// Connects the terminal with the console until one side ends.
pub fn attach(cx: &Cx, console: &UnixStream, stdio: Stdio<'_>) -> Result<Left, Error> {
    console.set_nonblocking(true).map_err(Error::Terminal)?;
    let signals = Signals::watch()?;
    let raw = Raw::enter(stdio.input)?;
    let mut leave = if raw.is_some() { Leave::Bracket } else { Leave::Never };
    let mut pending = Vec::new();
    let mut block = vec![0; 16 << 10];
    loop {
        cx.check()?;
        signals.check()?;
        match (&mut &*console).read(&mut block) {
            Ok(0) => return Ok(Left::Closed),
            Ok(length) => {
                write_all(cx, stdio.output, &block[..length])?;
                continue;
            }
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(_) => return Ok(Left::Closed),
        }
        if !pending.is_empty() {
            match (&mut &*console).write(&pending) {
                Ok(length) => drop(pending.drain(..length)),
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                Err(_) => return Ok(Left::Closed),
            }
        }
        if ready_input(console, &signals, stdio, pending.is_empty())
            && let Some(typed) = stdio.read(&mut block)?
            && (typed.is_empty() || leave.filter(typed, &mut pending))
        {
            return Ok(Left::Asked);
        }
    }
}

/// Waits for anything; whether the input has something. Nothing is read while the console has not taken the last of it.
fn ready_input(console: &UnixStream, signals: &Signals, stdio: Stdio<'_>, reading: bool) -> bool {
    let flags = if reading { PollFlags::IN } else { PollFlags::IN | PollFlags::OUT };
    let mut fds = vec![PollFd::new(console, flags)];
    fds.extend(signals.fds().map(|(fd, flags)| PollFd::from_borrowed_fd(fd, flags)));
    let input = fds.len();
    if reading {
        fds.push(PollFd::from_borrowed_fd(stdio.input, PollFlags::IN));
    }
    wait(&mut fds, SLICE).contains(&input)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn what_is_typed_and_shown_crosses_and_either_end_ends_it() {
        let (ours, mut guest) = UnixStream::pair().unwrap();
        let (input, mut typist) = UnixStream::pair().unwrap();
        let (output, mut screen) = UnixStream::pair().unwrap();
        let stdio = Stdio { input: input.as_fd(), output: output.as_fd(), error: output.as_fd() };
        guest.write_all(b"login: ").unwrap();
        let left = std::thread::scope(|scope| {
            let attached = scope.spawn(|| attach(&Cx::silent(), &ours, stdio));
            let mut shown = [0; 7];
            screen.read_exact(&mut shown).unwrap();
            assert_eq!(&shown, b"login: ");
            typist.write_all(b"root\n").unwrap();
            let mut typed = [0; 5];
            guest.read_exact(&mut typed).unwrap();
            assert_eq!(&typed, b"root\n");
            drop(guest);
            attached.join().unwrap()
        });
        assert_eq!(left.unwrap(), Left::Closed);
    }
}
