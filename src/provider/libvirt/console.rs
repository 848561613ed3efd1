//! The serial console: libvirt's stream on one side, a socket on the other.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread;

use super::ffi::Stream;

/// A socket whose bytes go to and come from `stream`, until one of both ends. Two threads carry them.
pub fn socket(stream: Stream) -> io::Result<UnixStream> {
    let (ours, theirs) = UnixStream::pair()?;
    let stream = Arc::new(stream);
    let (from, to) = (Arc::clone(&stream), ours.try_clone()?);
    thread::Builder::new().name("console-out".into()).spawn(move || carry_out(&from, to))?;
    thread::Builder::new().name("console-in".into()).spawn(move || carry_in(ours, &stream))?;
    Ok(theirs)
}

fn carry_out(stream: &Stream, mut socket: UnixStream) {
    let mut bytes = [0; 4096];
    while let Ok(count @ 1..) = stream.receive(&mut bytes) {
        if socket.write_all(&bytes[..count]).is_err() {
            break;
        }
    }
    // The reader shall see the end, which may have been somebody else's doing.
    let _ = socket.shutdown(Shutdown::Both);
}

fn carry_in(mut socket: UnixStream, stream: &Stream) {
    let mut bytes = [0; 1024];
    while let Ok(count @ 1..) = socket.read(&mut bytes) {
        let mut rest = &bytes[..count];
        while !rest.is_empty() {
            match stream.send(rest) {
                Ok(sent @ 1..) => rest = &rest[sent.min(rest.len())..],
                _ => return,
            }
        }
    }
}
