//! The console of a machine at another host, as far as a command of ours hears it: its log lies where nobody hands it out.

use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::ffi::{Complaint, Connection, Stream};
use super::uri;
use crate::trace;

/// A chatty guest must not fill the disk.
const MOST: usize = 16 << 20;

/// Between two attempts at a console.
const AGAIN: Duration = Duration::from_millis(200);

/// Writes what the console of the domain says into `log`, as long as this process lives: over a connection of its own
/// (`console`), for which nobody waits. Whoever asks for the console then is refused by libvirt, which gives it to one client
/// at a time.
pub fn keep(uri: &str, uuid: String, log: File) -> io::Result<()> {
    let uri = uri::opened(uri);
    let listen = move || match open(&uri, &uuid) {
        Ok(stream) => write(&stream, log),
        // That is worth no failure.
        Err(complaint) => trace::tell(|| format!("the console is not heard: {complaint}")),
    };
    thread::Builder::new().name("console-log".into()).spawn(listen).map(drop)
}

fn open(uri: &str, uuid: &str) -> Result<Stream, Complaint> {
    let connection = Arc::new(Connection::open(uri)?);
    let domain = connection.domain(uuid)?.ok_or_else(|| Complaint::of_ours("the domain is gone"))?;
    // The daemon may not have seen yet that the console of a domain that was just saved is nobody's any more.
    let again = |_| {
        thread::sleep(AGAIN);
        domain.console(true)
    };
    domain.console(true).or_else(again).or_else(again)
}

fn write(stream: &Stream, mut log: File) {
    let (mut bytes, mut left) = ([0; 4096], MOST);
    while let Ok(count @ 1..) = stream.receive(&mut bytes) {
        left = left.saturating_sub(count);
        if left == 0 || log.write_all(&bytes[..count]).is_err() {
            break;
        }
    }
}
