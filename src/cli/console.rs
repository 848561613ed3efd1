//! `console`.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use clap::Args;
use rustix::event::{PollFd, PollFlags, poll};

use super::args::OneMachine;
use super::{App, Done, Error};
use crate::error::Failure;
use crate::machine;
use crate::ui::RawMode;

/// Attach this terminal to a machine's serial console
///
/// Works without a network and before the guest answers. Everything that is typed goes to the guest, Ctrl-C too;
/// Ctrl-] leaves.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  vbox-rs console web")]
pub(super) struct Console {
    #[command(flatten)]
    machine: OneMachine,
}

/// Ctrl-], as in telnet and `virsh console`.
const ESCAPE: u8 = 0x1d;

impl Console {
    pub(super) fn run(&self, app: &App) -> Done {
        let fleet = app.fleet()?;
        let target = app.target(&fleet, self.machine.name.as_deref())?;
        let console = machine::console(&fleet, &target)?;
        app.ui.say(&format!("==> {}: connected to the serial console; Ctrl-] leaves it", target.name));
        let raw = RawMode::enter()?;
        let result = relay(console);
        drop(raw);
        app.ui.say("");
        result?;
        Ok(0)
    }
}

/// Copies both ways until the guest's side ends or the user leaves. The end of a piped stdin does not end it at once:
/// the guest may have something to say yet.
fn relay(mut console: UnixStream) -> Result<(), Failure> {
    let stdin = io::stdin();
    let mut block = [0; 4096];
    let mut listening = true;
    loop {
        let mut fds = vec![PollFd::new(&console, PollFlags::IN)];
        if listening {
            fds.push(PollFd::new(&stdin, PollFlags::IN));
        }
        match poll(&mut fds, None) {
            Err(rustix::io::Errno::INTR) => continue,
            result => result.map_err(|e| Error::Console(e.into()))?,
        };
        let guest = !fds[0].revents().is_empty();
        let user = fds.get(1).is_some_and(|fd| !fd.revents().is_empty());
        drop(fds);
        if guest {
            let count = console.read(&mut block).map_err(Error::Console)?;
            if count == 0 {
                return Ok(());
            }
            let mut out = io::stdout().lock();
            out.write_all(&block[..count]).and_then(|()| out.flush()).map_err(Error::Console)?;
        }
        if user {
            // Not through `Stdin`: its buffer would hide bytes from `poll`.
            let count = rustix::io::read(stdin.as_fd(), &mut block).map_err(|e| Error::Console(e.into()))?;
            let (typed, leaves) = until_escape(&block[..count]);
            console.write_all(typed).map_err(Error::Console)?;
            if leaves {
                return Ok(());
            }
            if count == 0 {
                listening = false;
                let _ = console.shutdown(std::net::Shutdown::Write);
            }
        }
    }
}

/// What was typed before the escape key, and whether it was pressed.
fn until_escape(typed: &[u8]) -> (&[u8], bool) {
    match typed.iter().position(|&byte| byte == ESCAPE) {
        Some(at) => (&typed[..at], true),
        None => (typed, false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_escape_key_is_not_sent() {
        assert_eq!(until_escape(b"ls\r"), (b"ls\r".as_slice(), false));
        assert_eq!(until_escape(b"ls\x1dx"), (b"ls".as_slice(), true));
    }
}
