//! A session that a person works in, where no OpenSSH client is installed; and one command with our own input and
//! output.
//!
//! With a terminal its keys go to the guest as they are, Ctrl-C too. `~.` at the beginning of a line leaves a session
//! that hangs, as in OpenSSH.

use rustix::event::{PollFd, PollFlags};
use ssh2::Channel;
use std::io::Write as _;

use super::connect::{SLICE, wait};
use super::terminal::{Leave, Raw, Signals, Typed, write_all};
use super::{Error, Session};
use crate::progress::{Cx, Stream};

pub use super::terminal::Stdio;

/// Opens the login shell. Returns its exit code, or 255 when the user left with `~.`.
pub fn interactive(cx: &Cx, session: &mut Session, stdio: Stdio<'_>) -> Result<i32, Error> {
    start(cx, session, stdio, None, stdio.is_terminal())
}

/// Runs one command that reads our input and writes our output. With `tty` it gets a terminal.
pub fn command(cx: &Cx, session: &mut Session, stdio: Stdio<'_>, line: &str, tty: bool) -> Result<i32, Error> {
    start(cx, session, stdio, Some(line), tty)
}

/// What OpenSSH returns when it was told to leave.
const LEFT: i32 = 255;

fn start(cx: &Cx, session: &mut Session, stdio: Stdio<'_>, line: Option<&str>, tty: bool) -> Result<i32, Error> {
    let mut channel = session.open_channel(cx)?;
    let signals = Signals::watch()?;
    if tty {
        let term = std::env::var("TERM").ok().filter(|term| !term.is_empty() && term.is_ascii());
        let term = term.as_deref().unwrap_or("vt100");
        let (columns, rows) = stdio.size();
        session.drive(cx, "ask for a terminal", || channel.request_pty(term, None, Some((columns, rows, 0, 0))))?;
    }
    match line {
        Some(line) => session.drive(cx, "run a command", || channel.exec(line))?,
        None => session.drive(cx, "start a shell", || channel.shell())?,
    }
    let raw = if tty { Raw::enter(stdio.input)? } else { None };
    let leave = if raw.is_some() { Leave::Tilde(Typed::LineEnd) } else { Leave::Never };
    let mut relay = Relay { cx, session, stdio, signals, leave, pending: Vec::new(), open: true, told_end: false, tty };
    let result = relay.run(&mut channel);
    drop(raw);
    if matches!(result, Err(Error::Interrupted(_) | Error::Terminal(_)) | Ok(None)) {
        relay.session.abandon(&mut channel);
    }
    match result? {
        Some(()) => relay.session.status(cx, &mut channel),
        None => Ok(LEFT),
    }
}

struct Relay<'a, 'io> {
    cx: &'a Cx,
    session: &'a mut Session,
    stdio: Stdio<'io>,
    signals: Signals,
    leave: Leave,
    /// Read, and not yet taken by the guest.
    pending: Vec<u8>,
    /// More may come from the input.
    open: bool,
    told_end: bool,
    tty: bool,
}

impl Relay<'_, '_> {
    /// Until the guest's side ends (`Some`) or the user leaves (`None`).
    fn run(&mut self, channel: &mut Channel) -> Result<Option<()>, Error> {
        let mut block = vec![0; 64 << 10];
        loop {
            self.cx.check()?;
            self.signals.check()?;
            if self.signals.resized() && self.tty {
                let (columns, rows) = self.stdio.size();
                let resize = || channel.request_pty_size(columns, rows, None, None);
                self.session.drive(self.cx, "tell the size of the window", resize)?;
            }
            let moved = self.show(channel, &mut block)?;
            if channel.eof() {
                return Ok(Some(()));
            }
            let sent = self.send(channel)?;
            if !moved && !sent {
                self.session.stay_alive();
                if self.wait() && !self.take(&mut block)? {
                    return Ok(None);
                }
            }
        }
    }

    fn show(&self, channel: &Channel, block: &mut [u8]) -> Result<bool, Error> {
        let mut result = Ok(());
        let moved = self.session.drain(channel, block, &mut |stream, bytes| {
            let to = match stream {
                Stream::Stdout => self.stdio.output,
                Stream::Stderr => self.stdio.error,
            };
            if result.is_ok() {
                result = write_all(self.cx, to, bytes);
            }
        })?;
        result.map(|()| moved)
    }

    /// Sends what is pending; whether any of it went.
    fn send(&mut self, channel: &mut Channel) -> Result<bool, Error> {
        let mut moved = false;
        while !self.pending.is_empty() {
            match channel.write(&self.pending) {
                Ok(length) => {
                    self.pending.drain(..length);
                    moved = true;
                }
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => return Ok(moved),
                // The command no longer reads; a lost connection is found by the next read.
                Err(_) => {
                    self.pending.clear();
                    (self.open, self.told_end) = (false, true);
                }
            }
        }
        if !self.open && !self.told_end {
            self.session.drive(self.cx, "end a command's input", || channel.send_eof())?;
            self.told_end = true;
        }
        Ok(moved)
    }

    /// Waits for anything; whether the input has something.
    fn wait(&self) -> bool {
        let mut fds = vec![PollFd::new(self.session.socket(), self.session.directions())];
        fds.extend(self.signals.fds().map(|(fd, flags)| PollFd::from_borrowed_fd(fd, flags)));
        let input = fds.len();
        if self.open && self.pending.is_empty() {
            fds.push(PollFd::from_borrowed_fd(self.stdio.input, PollFlags::IN));
        }
        wait(&mut fds, SLICE).contains(&input)
    }

    /// Reads from the input; `false` when the user leaves.
    fn take(&mut self, block: &mut [u8]) -> Result<bool, Error> {
        match self.stdio.read(block)? {
            None => Ok(true),
            Some([]) => {
                self.open = false;
                Ok(true)
            }
            Some(typed) => Ok(!self.leave.filter(typed, &mut self.pending)),
        }
    }
}
