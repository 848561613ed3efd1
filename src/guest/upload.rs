//! One file into the guest: a single channel, `cat` into a temporary name, and a rename only when every byte is there.
//!
//! Not sftp: it is a subsystem that small guests lack, and it costs the guest one more process to start.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::quoting::with_sh;
use super::session::{GuestCommand, Session};
use super::{Error, clean, quote};
use crate::progress::{Cx, Transfer};
use crate::store;

/// Below this a progress bar only flickers.
const WORTH_TELLING: u64 = 1 << 20;

pub(super) fn file(session: &mut Session, cx: &Cx, from: &Path, to: &str, mode: u32) -> Result<(), Error> {
    let unreadable = |e| store::Error::io("read", from, e);
    let file = File::open(from).map_err(unreadable)?;
    let about = file.metadata().map_err(unreadable)?;
    if !about.is_file() {
        return Err(Error::Upload { to: to.into(), why: format!("{} is not a file", from.display()) });
    }
    let mut source = Counted {
        inner: file.take(about.len()),
        transfer: (about.len() >= WORTH_TELLING).then(|| cx.transfer(to, Some(about.len()))),
        done: 0,
    };
    send(session, cx, &mut source, about.len(), to, mode)
}

pub(super) fn bytes(session: &mut Session, cx: &Cx, mut bytes: &[u8], to: &str, mode: u32) -> Result<(), Error> {
    let size = bytes.len() as u64;
    send(session, cx, &mut bytes, size, to, mode)
}

fn send(session: &mut Session, cx: &Cx, source: &mut dyn Read, size: u64, to: &str, mode: u32) -> Result<(), Error> {
    let refused = |why: String| Error::Upload { to: to.into(), why };
    if to.is_empty() || to.ends_with('/') || to.contains('\0') {
        return Err(refused("this is not the name of a file".into()));
    }
    let command = GuestCommand { line: with_sh(&script(to, mode, size)), stdin: Some(source), pty: false };
    let output = session.output_of(cx, command)?;
    match output.status {
        0 => Ok(()),
        20 => Err(refused("there is a directory of that name".into())),
        21 => Err(refused("the file changed while it was sent".into())),
        status => {
            let said = clean(&output.stderr, 3, 400);
            Err(refused(if said.is_empty() { format!("exit code {status}") } else { said }))
        }
    }
}

/// The size is checked because a connection that breaks off looks like the end of the file to `cat`.
fn script(to: &str, mode: u32, size: u64) -> String {
    let mode = mode & 0o7777;
    format!(
        "t={to}; [ ! -d \"$t\" ] || exit 20; case $t in /*) ;; *) t=./$t ;; esac; n=$t.vbox-rs.$$; umask 077; \
         trap 'rm -f \"$n\"' EXIT; trap 'exit 1' HUP INT TERM PIPE; \
         cat >\"$n\" || exit 1; [ \"$(wc -c <\"$n\")\" -eq {size} ] || exit 21; \
         chmod {mode:o} \"$n\" && mv -f \"$n\" \"$t\"",
        to = quote(to)
    )
}

struct Counted<R> {
    inner: R,
    transfer: Option<Transfer>,
    done: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, block: &mut [u8]) -> std::io::Result<usize> {
        let length = self.inner.read(block)?;
        self.done += length as u64;
        if let Some(transfer) = &mut self.transfer {
            transfer.update(self.done);
        }
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::fs::PermissionsExt;
    use std::process::{Command, Stdio};

    use super::*;

    fn run(dir: &Path, script: &str, input: &[u8]) -> i32 {
        let mut child =
            Command::new("sh").args(["-c", &with_sh(script)]).current_dir(dir).stdin(Stdio::piped()).spawn().unwrap();
        // The script may end before it reads.
        let _ = child.stdin.take().unwrap().write_all(input);
        child.wait().unwrap().code().unwrap()
    }

    #[test]
    fn a_file_appears_whole_with_its_mode_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["plain", "-rf", "it's a $(name)", "a\nb"] {
            let path = dir.path().join(name);
            assert_eq!(run(dir.path(), &script(name, 0o640, 5), b"hello"), 0, "{name}");
            assert_eq!(std::fs::read(&path).unwrap(), b"hello");
            assert_eq!(path.metadata().unwrap().permissions().mode() & 0o7777, 0o640);
            assert_eq!(run(dir.path(), &script(name, 0o640, 9), b"cut off"), 21);
            assert_eq!(std::fs::read(&path).unwrap(), b"hello", "the old file stays");
        }
        std::fs::create_dir(dir.path().join("dir")).unwrap();
        assert_eq!(run(dir.path(), &script("dir", 0o644, 1), b"x"), 20);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 5, "no temporary file is left");
    }
}
