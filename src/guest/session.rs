//! One SSH connection, as the tool itself uses it.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Error;
use crate::progress::{Cx, Stream};

/// Where and as whom to log in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Address on the host ("127.0.0.1").
    pub host: String,
    /// Port on the host.
    pub port: u16,
    /// Login name.
    pub user: String,
}

/// What is known of the guest's host key, in OpenSSH's one-line form (`ssh-ed25519 AAAA…`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostKey {
    /// Only this one is right.
    Pinned(String),
    /// Take whatever comes first; the caller records it.
    FirstContact,
}

/// All that a login needs.
#[derive(Clone, Debug)]
pub struct Login {
    /// Where and as whom.
    pub endpoint: Endpoint,
    /// Private keys, tried in order.
    pub keys: Vec<PathBuf>,
    /// What is known of the host key.
    pub host_key: HostKey,
    /// Bound of connecting, handshake and authentication together.
    pub timeout: Duration,
    /// Send keep-alive messages.
    pub keep_alive: bool,
}

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
pub struct Session {}

impl Session {
    /// Connects, checks the host key, logs in.
    pub fn open(_cx: &Cx, _login: &Login) -> Result<Self, Error> {
        todo!()
    }

    /// The host key that the guest showed, in OpenSSH's one-line form.
    pub fn host_key(&self) -> &str {
        todo!()
    }

    /// Runs a command and hands over both streams as they come (never one before the other can block). Returns the exit
    /// code, 128 + n for signal n. Stops within 100 ms when cancelled.
    pub fn run(
        &mut self,
        _cx: &Cx,
        _command: GuestCommand<'_>,
        _on_output: &mut dyn FnMut(Stream, &[u8]),
    ) -> Result<i32, Error> {
        todo!()
    }

    /// Runs a short command and collects what it prints (at most 1 MiB of each stream).
    pub fn output(&mut self, _cx: &Cx, _line: &str) -> Result<Output, Error> {
        todo!()
    }

    /// Copies one file of the host to `to` with `mode`, atomically (temporary name beside it, then `mv`).
    pub fn upload(&mut self, _cx: &Cx, _from: &Path, _to: &str, _mode: u32) -> Result<(), Error> {
        todo!()
    }

    /// As `upload`, from memory.
    pub fn write(&mut self, _cx: &Cx, _bytes: &[u8], _to: &str, _mode: u32) -> Result<(), Error> {
        todo!()
    }
}

/// Quotes `text` for a POSIX shell.
pub fn quote(_text: &str) -> String {
    todo!()
}
