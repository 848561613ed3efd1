//! One SSH connection, as the tool itself uses it.
//!
//! The library never blocks: a command's two streams are always drained together and its input is fed in between,
//! since a guest that waits for one of them to be read would otherwise hang us. After a cancelled or failed call the
//! connection may be in the middle of a message: drop the session.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::PollFd;
use ssh2::{Channel, ErrorCode};

use super::connect::{self, SLICE, wait};
use super::login::{self, Endpoint, Link, Login, Stage};
use super::{Error, upload};
use crate::progress::{Cx, Stream};

/// A command to run in the guest.
#[derive(Default)]
pub struct GuestCommand<'a> {
    /// For the login shell.
    pub line: String,
    /// What it reads.
    pub stdin: Option<&'a mut dyn Read>,
    /// Give it a terminal.
    pub pty: bool,
}

impl fmt::Debug for GuestCommand<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Neither the line nor the input: either may hold a secret.
        f.debug_struct("GuestCommand").field("pty", &self.pty).finish_non_exhaustive()
    }
}

/// What a short command printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Exit code; 128 + n for signal n.
    pub status: i32,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
}

/// A connection that is logged in.
pub struct Session {
    link: Link,
    endpoint: Endpoint,
    keep_alive: Option<Instant>,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

/// What `output` keeps of each stream.
const OUTPUT_LIMIT: usize = 1 << 20;

/// How often a server that hangs up is asked.
const ATTEMPTS: u32 = 3;

/// Between two of these.
const AGAIN: Duration = Duration::from_millis(300);

/// Blocks that one stream may deliver before the others have their turn.
const TURN: usize = 16;

impl Session {
    /// Connects, checks the host key, logs in. A server that hangs up before that is asked again: it may have had too many
    /// guests at that moment (`MaxStartups` of sshd_config(5)).
    pub fn open(cx: &Cx, login: &Login) -> Result<Self, Error> {
        let began = Instant::now();
        for _ in 1..ATTEMPTS {
            match Self::attempt(cx, login, began) {
                Err(Error::Handshake { .. } | Error::Lost { .. }) if began.elapsed() < login.timeout => {
                    cx.sleep(AGAIN)?;
                }
                result => return result,
            }
        }
        Self::attempt(cx, login, began)
    }

    fn attempt(cx: &Cx, login: &Login, began: Instant) -> Result<Self, Error> {
        let stage = std::cell::Cell::new(Stage::Port);
        let mut go_on = || {
            cx.check()?;
            if began.elapsed() < login.timeout {
                return Ok(());
            }
            Err(Error::LoginTimeout { endpoint: login.endpoint.clone(), stage: stage.get(), limit: login.timeout })
        };
        let socket = connect::connect(&login.endpoint.host, login.endpoint.port, &mut go_on)?
            .map_err(|source| Error::Unreachable { endpoint: login.endpoint.clone(), source })?;
        let link = login::log_in(socket, login, &mut go_on, &mut |reached| stage.set(reached))?;
        Ok(Self::logged_in(link, login))
    }

    pub(super) fn logged_in(link: Link, login: &Login) -> Self {
        Self { link, endpoint: login.endpoint.clone(), keep_alive: login.keep_alive.then(Instant::now) }
    }

    /// The host key that the guest showed, in OpenSSH's one-line form.
    pub fn host_key(&self) -> &str {
        &self.link.host_key
    }

    /// Where and as whom we are logged in.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Runs a command and hands over both streams as they come (never one before the other can block). Returns the exit
    /// code, 128 + n for signal n. Stops within 100 ms when cancelled: the guest's side of the command then finds its
    /// streams closed. As with OpenSSH, a command has ended once nobody in the guest holds its output open any more.
    pub fn run(
        &mut self,
        cx: &Cx,
        command: GuestCommand<'_>,
        on_output: &mut dyn FnMut(Stream, &[u8]),
    ) -> Result<i32, Error> {
        let mut channel = self.open_channel(cx)?;
        if command.pty {
            self.drive(cx, "ask for a terminal", || channel.request_pty("xterm-256color", None, None))?;
        }
        self.drive(cx, "run a command", || channel.exec(&command.line))?;
        let mut feed = Feed::new(command.stdin);
        let result = self.pump(cx, &mut channel, &mut feed, on_output);
        if matches!(result, Err(Error::Interrupted(_) | Error::Input(_))) {
            self.abandon(&mut channel);
        }
        result
    }

    /// Runs a short command and collects what it prints (at most 1 MiB of each stream).
    pub fn output(&mut self, cx: &Cx, line: &str) -> Result<Output, Error> {
        self.output_of(cx, GuestCommand { line: line.into(), ..GuestCommand::default() })
    }

    pub(super) fn output_of(&mut self, cx: &Cx, command: GuestCommand<'_>) -> Result<Output, Error> {
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let status = self.run(cx, command, &mut |stream, bytes| {
            let kept = match stream {
                Stream::Stdout => &mut stdout,
                Stream::Stderr => &mut stderr,
            };
            kept.extend_from_slice(&bytes[..bytes.len().min(OUTPUT_LIMIT - kept.len())]);
        })?;
        Ok(Output { status, stdout, stderr })
    }

    /// Copies one file of the host to `to` with `mode`, atomically (temporary name beside it, then `mv`).
    pub fn upload(&mut self, cx: &Cx, from: &Path, to: &str, mode: u32) -> Result<(), Error> {
        upload::file(self, cx, from, to, mode)
    }

    /// As `upload`, from memory.
    pub fn write(&mut self, cx: &Cx, bytes: &[u8], to: &str, mode: u32) -> Result<(), Error> {
        upload::bytes(self, cx, bytes, to, mode)
    }

    pub(super) fn open_channel(&self, cx: &Cx) -> Result<Channel, Error> {
        self.drive(cx, "open a channel", || self.link.ssh.channel_session())
    }

    pub(super) fn socket(&self) -> &TcpStream {
        &self.link.socket
    }

    pub(super) fn directions(&self) -> rustix::event::PollFlags {
        login::directions(&self.link.ssh)
    }

    /// Repeats `step` until it no longer would block; `action` names it in the error.
    pub(super) fn drive<T>(
        &self,
        cx: &Cx,
        action: &'static str,
        step: impl FnMut() -> Result<T, ssh2::Error>,
    ) -> Result<T, Error> {
        let mut go_on = || Ok(cx.check()?);
        let result = login::drive(&self.link.ssh, &self.link.socket, &mut go_on, step)?;
        result.map_err(|source| self.lost(action, source))
    }

    pub(super) fn lost(&self, action: &'static str, source: ssh2::Error) -> Error {
        Error::Lost { endpoint: self.endpoint.clone(), action, source }
    }

    fn pump(
        &mut self,
        cx: &Cx,
        channel: &mut Channel,
        feed: &mut Feed<'_>,
        on_output: &mut dyn FnMut(Stream, &[u8]),
    ) -> Result<i32, Error> {
        let mut block = vec![0; 64 << 10];
        loop {
            cx.check()?;
            let mut moved = self.drain(channel, &mut block, on_output)?;
            if channel.eof() {
                break;
            }
            moved |= feed.push(channel)?;
            if !moved {
                self.stay_alive();
                wait(&mut [PollFd::new(&self.link.socket, self.directions())], SLICE);
            }
        }
        self.status(cx, channel)
    }

    /// Reads what is there of both streams; whether anything was.
    pub(super) fn drain(
        &self,
        channel: &Channel,
        block: &mut [u8],
        on_output: &mut dyn FnMut(Stream, &[u8]),
    ) -> Result<bool, Error> {
        let mut moved = false;
        for (stream, number) in [(Stream::Stdout, 0), (Stream::Stderr, 1)] {
            let mut reader = channel.stream(number);
            for _ in 0..TURN {
                match reader.read(block) {
                    Ok(0) => break,
                    Ok(length) => on_output(stream, &block[..length]),
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                    Err(e) => return Err(self.lost("read a command's output", self.why(&e))),
                }
                moved = true;
            }
        }
        Ok(moved)
    }

    /// Ends a channel whose output was read to its end; returns the command's exit code.
    pub(super) fn status(&self, cx: &Cx, channel: &mut Channel) -> Result<i32, Error> {
        self.drive(cx, "end a command", || channel.close())?;
        self.drive(cx, "end a command", || channel.wait_close())?;
        let failed = |source| self.lost("read a command's exit code", source);
        match channel.exit_signal().map_err(failed)?.exit_signal {
            Some(name) => Ok(128 + signal_number(&name)),
            None => channel.exit_status().map_err(failed),
        }
    }

    /// Closes a channel without waiting for the guest.
    pub(super) fn abandon(&self, channel: &mut Channel) {
        let until = Instant::now() + SLICE;
        let mut go_on = || if Instant::now() < until { Ok(()) } else { Err(crate::progress::Interrupted.into()) };
        drop(login::drive(&self.link.ssh, &self.link.socket, &mut go_on, || channel.close()));
    }

    /// Sends a keep-alive message when one is due.
    pub(super) fn stay_alive(&mut self) {
        if self.keep_alive.is_some_and(|due| Instant::now() >= due) {
            let seconds = self.link.ssh.keepalive_send().unwrap_or(1).max(1);
            self.keep_alive = Some(Instant::now() + Duration::from_secs(seconds.into()));
        }
    }

    /// The library's own error behind what its streams make of it.
    fn why(&self, error: &io::Error) -> ssh2::Error {
        ssh2::Error::last_session_error(&self.link.ssh).unwrap_or_else(|| {
            let text: &'static str = if error.kind() == io::ErrorKind::TimedOut { "timed out" } else { "broken off" };
            ssh2::Error::new(ErrorCode::Session(-13), text)
        })
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // A word of farewell, so that the guest's log does not speak of a lost connection; nobody waits for it.
        drop(self.link.ssh.disconnect(None, "done", None));
    }
}

/// A command's input on its way.
struct Feed<'a> {
    source: Option<&'a mut dyn Read>,
    block: Vec<u8>,
    /// What of `block` is still to be sent.
    ready: std::ops::Range<usize>,
    told_end: bool,
}

impl<'a> Feed<'a> {
    fn new(source: Option<&'a mut dyn Read>) -> Self {
        let block = if source.is_some() { vec![0; 128 << 10] } else { Vec::new() };
        Self { source, block, ready: 0..0, told_end: false }
    }

    /// Sends as much as the guest takes; whether anything moved.
    fn push(&mut self, channel: &mut Channel) -> Result<bool, Error> {
        let mut moved = false;
        for _ in 0..TURN {
            if self.ready.is_empty() {
                let Some(source) = self.source.as_mut() else { break };
                match source.read(&mut self.block) {
                    Ok(0) => self.source = None,
                    Ok(length) => self.ready = 0..length,
                    Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                    Err(e) => return Err(Error::Input(e)),
                }
                continue;
            }
            match channel.write(&self.block[self.ready.clone()]) {
                Ok(length) => self.ready.start += length,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(moved),
                // The command no longer reads; a lost connection is found by the next read.
                Err(_) => {
                    (self.source, self.ready, self.told_end) = (None, 0..0, true);
                    return Ok(moved);
                }
            }
            moved = true;
        }
        if self.source.is_none() && self.ready.is_empty() && !self.told_end {
            self.told_end = match channel.send_eof() {
                Err(e) => e.code() != ErrorCode::Session(-37),
                Ok(()) => true,
            };
        }
        Ok(moved)
    }
}

/// The number of a signal as RFC 4254 names it; OpenSSH adds `@openssh.com` to those that it does not list.
fn signal_number(name: &str) -> i32 {
    let name = name.split('@').next().unwrap_or_default();
    let known = [
        ("HUP", 1),
        ("INT", 2),
        ("QUIT", 3),
        ("ILL", 4),
        ("TRAP", 5),
        ("ABRT", 6),
        ("BUS", 7),
        ("FPE", 8),
        ("KILL", 9),
        ("USR1", 10),
        ("SEGV", 11),
        ("USR2", 12),
        ("PIPE", 13),
        ("ALRM", 14),
        ("TERM", 15),
        ("XCPU", 24),
        ("XFSZ", 25),
        ("SYS", 31),
    ];
    known.iter().find(|(known, _)| *known == name).map_or(127, |(_, number)| *number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_become_the_shells_exit_codes() {
        for (name, code) in [("KILL", 137), ("TERM", 143), ("SEGV", 139), ("SYS@openssh.com", 159), ("NEW", 255)] {
            assert_eq!(128 + signal_number(name), code);
        }
    }
}
