//! The user's terminal: raw mode that is always undone, its size, signals, and the keys that leave a session.

use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::termios::{OptionalActions, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGWINCH};
use signal_hook::{SigId, low_level};

use super::Error;
use super::connect::wait_writable;
use crate::progress::{Cx, Interrupted};

/// Where a session reads and writes.
#[derive(Clone, Copy, Debug)]
pub struct Stdio<'a> {
    /// Keys, or a file.
    pub input: BorrowedFd<'a>,
    /// Output.
    pub output: BorrowedFd<'a>,
    /// Standard error of the guest's command.
    pub error: BorrowedFd<'a>,
}

impl Stdio<'static> {
    /// This process' own.
    pub fn inherited() -> Self {
        Self { input: rustix::stdio::stdin(), output: rustix::stdio::stdout(), error: rustix::stdio::stderr() }
    }
}

impl Stdio<'_> {
    /// Whether a person types.
    pub fn is_terminal(&self) -> bool {
        isatty(self.input)
    }

    /// Columns and rows; 80×24 where there is no terminal.
    pub(super) fn size(&self) -> (u32, u32) {
        [self.input, self.output]
            .into_iter()
            .find_map(|fd| tcgetwinsize(fd).ok())
            .filter(|size| size.ws_col > 0 && size.ws_row > 0)
            .map_or((80, 24), |size| (size.ws_col.into(), size.ws_row.into()))
    }

    /// Reads what is there; `None` when nothing is, an empty slice at the end.
    pub(super) fn read<'b>(&self, block: &'b mut [u8]) -> Result<Option<&'b [u8]>, Error> {
        match rustix::io::read(self.input, &mut *block) {
            Ok(length) => Ok(Some(&block[..length])),
            Err(Errno::INTR | Errno::AGAIN) => Ok(None),
            // The other side of the terminal is gone.
            Err(Errno::IO) => Ok(Some(&[])),
            Err(e) => Err(Error::Terminal(e.into())),
        }
    }
}

/// Writes all of `bytes`, also to what takes only some at a time.
pub(super) fn write_all(cx: &Cx, to: BorrowedFd<'_>, mut bytes: &[u8]) -> Result<(), Error> {
    while !bytes.is_empty() {
        match rustix::io::write(to, bytes) {
            Ok(length) => bytes = &bytes[length..],
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                cx.check()?;
                wait_writable(to);
            }
            Err(e) => return Err(Error::Terminal(e.into())),
        }
    }
    Ok(())
}

/// Raw mode, until it is dropped: also when we panic.
#[derive(Debug)]
pub(super) struct Raw<'a> {
    terminal: BorrowedFd<'a>,
    before: Termios,
}

impl<'a> Raw<'a> {
    /// Enters raw mode; `None` where `terminal` is none.
    pub(super) fn enter(terminal: BorrowedFd<'a>) -> Result<Option<Self>, Error> {
        if !isatty(terminal) {
            return Ok(None);
        }
        let failed = |e: Errno| Error::Terminal(e.into());
        let before = tcgetattr(terminal).map_err(failed)?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(terminal, OptionalActions::Now, &raw).map_err(failed)?;
        Ok(Some(Self { terminal, before }))
    }
}

impl Drop for Raw<'_> {
    fn drop(&mut self) {
        // What was typed and not read is the shell's; drain first so that nothing is shown in the wrong mode.
        drop(tcsetattr(self.terminal, OptionalActions::Drain, &self.before));
    }
}

/// Signals as something to poll: a new window size, and those that would end us before the terminal is restored.
#[derive(Debug)]
pub(super) struct Signals {
    size: UnixStream,
    end: UnixStream,
    registered: Vec<SigId>,
}

impl Signals {
    pub(super) fn watch() -> Result<Self, Error> {
        let mut registered = Vec::new();
        let mut watch = |signals: &[i32]| -> io::Result<UnixStream> {
            let (ours, theirs) = UnixStream::pair()?;
            ours.set_nonblocking(true)?;
            for &signal in signals {
                registered.push(low_level::pipe::register(signal, theirs.try_clone()?)?);
            }
            Ok(ours)
        };
        let size = watch(&[SIGWINCH]).map_err(Error::Terminal)?;
        let end = watch(&[SIGHUP, SIGINT, SIGQUIT, SIGTERM]).map_err(Error::Terminal)?;
        Ok(Self { size, end, registered })
    }

    /// What to poll, for reading.
    pub(super) fn fds(&self) -> [(BorrowedFd<'_>, PollFlags); 2] {
        [(self.size.as_fd(), PollFlags::IN), (self.end.as_fd(), PollFlags::IN)]
    }

    /// Whether the window has another size than before.
    pub(super) fn resized(&self) -> bool {
        let mut seen = false;
        while (&self.size).read(&mut [0; 64]).is_ok_and(|length| length > 0) {
            seen = true;
        }
        seen
    }

    /// `Err` once somebody asked us to end.
    pub(super) fn check(&self) -> Result<(), Interrupted> {
        if (&self.end).read(&mut [0; 64]).is_ok_and(|length| length > 0) { Err(Interrupted) } else { Ok(()) }
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        for id in self.registered.drain(..) {
            low_level::unregister(id);
        }
    }
}

/// The keys that leave a session that does not end by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leave {
    /// Ctrl-], as in telnet and virsh.
    Bracket,
    /// `~.` at the beginning of a line, as in OpenSSH; `~~` is one `~`.
    Tilde(Typed),
    /// Nothing: input is not typed.
    Never,
}

/// What was typed last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Typed {
    /// The end of a line, or nothing yet.
    #[default]
    LineEnd,
    /// A `~` behind that, which is held back.
    Tilde,
    /// Anything else.
    Other,
}

impl Leave {
    /// Appends to `out` what of `typed` is for the guest; `true` when the rest asks to leave.
    pub(super) fn filter(&mut self, typed: &[u8], out: &mut Vec<u8>) -> bool {
        match self {
            Self::Never => out.extend_from_slice(typed),
            Self::Bracket => {
                let end = typed.iter().position(|&b| b == 0x1d);
                out.extend_from_slice(&typed[..end.unwrap_or(typed.len())]);
                return end.is_some();
            }
            Self::Tilde(last) => {
                for &byte in typed {
                    match (*last, byte) {
                        (Typed::Tilde, b'.') => return true,
                        (Typed::LineEnd, b'~') => {
                            *last = Typed::Tilde;
                            continue;
                        }
                        (Typed::Tilde, b'~') | (Typed::LineEnd | Typed::Other, _) => {}
                        (Typed::Tilde, _) => out.push(b'~'),
                    }
                    out.push(byte);
                    *last = if matches!(byte, b'\r' | b'\n') { Typed::LineEnd } else { Typed::Other };
                }
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_documented_keys_leave() {
        for (leave, typed, passed, left) in [
            (Leave::Bracket, "ab\u{1d}cd", "ab", true),
            (Leave::Bracket, "~.", "~.", false),
            (Leave::Never, "~.\u{1d}", "~.\u{1d}", false),
            (Leave::Tilde(Typed::LineEnd), "~.", "", true),
            (Leave::Tilde(Typed::LineEnd), "ls ~.\r", "ls ~.\r", false),
            (Leave::Tilde(Typed::LineEnd), "ls\r~.", "ls\r", true),
            (Leave::Tilde(Typed::LineEnd), "~~.", "~.", false),
            (Leave::Tilde(Typed::LineEnd), "~/bin\r", "~/bin\r", false),
        ] {
            for whole in [true, false] {
                let (mut leave, mut out, mut done) = (leave, Vec::new(), false);
                let pieces: Vec<&[u8]> =
                    if whole { vec![typed.as_bytes()] } else { typed.as_bytes().chunks(1).collect() };
                for piece in pieces {
                    done = done || leave.filter(piece, &mut out);
                }
                assert_eq!((String::from_utf8(out).unwrap().as_str(), done), (passed, left), "{typed:?} {whole}");
            }
        }
    }
}
