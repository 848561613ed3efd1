//! What folders and provisioners need of the guest: to run a command.

use std::io::Read;

use crate::guest::{self, GuestCommand, Session, quote};
use crate::progress::{Cx, Stream};

/// A place where commands run. [`Session`] in life, a local shell in tests.
pub trait Remote {
    /// As [`Session::run`].
    fn run(
        &mut self,
        cx: &Cx,
        command: GuestCommand<'_>,
        on_output: &mut dyn FnMut(Stream, &[u8]),
    ) -> Result<i32, guest::Error>;
}

impl Remote for Session {
    fn run(
        &mut self,
        cx: &Cx,
        command: GuestCommand<'_>,
        on_output: &mut dyn FnMut(Stream, &[u8]),
    ) -> Result<i32, guest::Error> {
        Self::run(self, cx, command, on_output)
    }
}

/// What a command of ours printed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Captured {
    /// Exit code.
    pub status: i32,
    /// Standard output, up to the bound.
    pub stdout: Vec<u8>,
    /// Standard error, up to 16 KiB.
    pub stderr: Vec<u8>,
}

impl Captured {
    /// The last line of standard error, for a message.
    pub fn said(&self) -> String {
        let text = String::from_utf8_lossy(&self.stderr);
        let last = text.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or("it did not say why");
        last.chars().filter(|c| !c.is_control()).take(300).collect()
    }
}

/// Bound of what is kept of standard error.
const STDERR_LIMIT: usize = 16 << 10;

/// Runs a command and keeps what it prints, of standard output at most `limit` bytes.
pub fn capture(
    cx: &Cx,
    remote: &mut dyn Remote,
    line: String,
    stdin: Option<&mut dyn Read>,
    limit: usize,
) -> Result<Captured, guest::Error> {
    let mut captured = Captured::default();
    let keep = |to: &mut Vec<u8>, bytes: &[u8], limit: usize| {
        to.extend_from_slice(&bytes[..bytes.len().min(limit.saturating_sub(to.len()))]);
    };
    captured.status = remote.run(cx, GuestCommand { line, stdin, pty: false }, &mut |stream, bytes| match stream {
        Stream::Stdout => keep(&mut captured.stdout, bytes, limit),
        Stream::Stderr => keep(&mut captured.stderr, bytes, STDERR_LIMIT),
    })?;
    Ok(captured)
}

/// Lets a POSIX shell run `script`, whatever the login shell is.
pub fn posix(script: &str) -> String {
    format!("exec sh -c {}", quote(script))
}
