//! The serial console: libvirt's stream on one side, a socket on the other.
//!
//! One thread carries both directions, over a connection that nobody else uses: where several wait at one, libvirt before
//! 10.3 may write into the stack of one that has gone on (CVE-2024-4418).

use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Duration;

use super::ffi::{Complaint, Stream};

/// How long what the guest says may lie there while nobody types.
const TICK: Duration = Duration::from_millis(10);

/// A socket whose bytes go to and come from `stream`, which does not wait, until one of both ends.
pub fn socket(stream: Stream) -> io::Result<UnixStream> {
    let (mut ours, theirs) = UnixStream::pair()?;
    ours.set_read_timeout(Some(TICK))?;
    let carry = move || {
        drop(carry(&stream, &mut ours));
        // The reader shall see the end, which may have been somebody else's doing.
        let _ = ours.shutdown(Shutdown::Both);
    };
    thread::Builder::new().name("console".into()).spawn(carry)?;
    Ok(theirs)
}

/// Carries until there is nothing to carry any more.
fn carry(stream: &Stream, socket: &mut UnixStream) -> Result<(), Complaint> {
    let mut bytes = [0; 4096];
    while stream.is_alive() {
        while let Some(count) = stream.take(&mut bytes)? {
            if count == 0 || socket.write_all(&bytes[..count]).is_err() {
                return Ok(());
            }
        }
        match socket.read(&mut bytes) {
            Ok(0) => break,
            Ok(count) => send(stream, &bytes[..count])?,
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted) => {}
            Err(_) => break,
        }
    }
    Ok(())
}

fn send(stream: &Stream, mut bytes: &[u8]) -> Result<(), Complaint> {
    while !bytes.is_empty() && stream.is_alive() {
        match stream.send(bytes)? {
            0 => thread::sleep(TICK),
            sent => bytes = &bytes[sent.min(bytes.len())..],
        }
    }
    Ok(())
}
