//! Ways into parsers that nobody outside uses, for `fuzz/`.

use std::io::{self, Read};

use super::archive::{Archive, Walk};
use super::compression::Compression;
use super::keys::Keyring;
use super::metadata::{Metadata, read_info};
use super::receive::Limits;
use super::signature;
use super::zip::{Zip, is_zip};

/// `metadata.json` and `info.json`.
pub fn metadata(bytes: &[u8]) {
    let _ = Metadata::read(&mut &bytes[..]);
    let _ = read_info(&mut &bytes[..]);
}

/// A walk through a tar or zip archive, compressed or not, all contents read.
pub fn archive(bytes: &[u8]) {
    let limits = Limits { file: 1 << 20, total: 1 << 20, entries: 100 };
    let mut from = bytes;
    if let Some(compression) = Compression::of(bytes) {
        // The archive's bounds do not count what is no archive.
        let plain = compression.undo(&mut from).map(|plain| plain.take(4 << 20));
        if let Ok(mut plain) = plain {
            walk(&mut Archive::new(&mut plain, &limits), &limits);
        }
        return;
    }
    if is_zip(bytes) {
        walk(&mut Zip::new(&mut from, &limits), &limits);
    } else {
        walk(&mut Archive::new(&mut from, &limits), &limits);
    }
}

/// A signature by itself, and the same bytes as a clear-signed file.
pub fn signature(bytes: &[u8], key: &str, fingerprint: &str) {
    let (ring, allowed) = (Keyring::with(key), [fingerprint.to_owned()]);
    let _ = signature::detached(b"content", bytes, &allowed, &ring);
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = signature::clear_signed(text, &allowed, &ring);
    }
}

fn walk(archive: &mut dyn Walk, limits: &Limits) {
    while let Ok(Some(entry)) = archive.entry() {
        assert!(!entry.name.starts_with('/') && entry.name.split('/').all(|part| part != ".."));
        match io::copy(archive, &mut io::sink()) {
            Ok(size) => assert!(size <= limits.total),
            Err(_) => return,
        }
    }
    let _ = archive.finish();
}
