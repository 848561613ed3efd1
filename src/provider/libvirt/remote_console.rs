//! The console of a machine at another host, as far as a command of ours hears it: its log lies where nobody hands it out.

use std::fs::File;
use std::io::{self, Write};
use std::thread;

use super::ffi::Stream;

/// A chatty guest must not fill the disk.
const MOST: usize = 16 << 20;

/// Writes what the console says into `log`, as long as this process lives. Whoever asks for the console then is refused by
/// libvirt, which gives it to one client at a time.
pub fn keep(stream: Stream, mut log: File) -> io::Result<()> {
    let listen = move || {
        let (mut bytes, mut left) = ([0; 4096], MOST);
        while let Ok(count @ 1..) = stream.receive(&mut bytes) {
            left = left.saturating_sub(count);
            if left == 0 || log.write_all(&bytes[..count]).is_err() {
                break;
            }
        }
    };
    thread::Builder::new().name("console-log".into()).spawn(listen).map(drop)
}
