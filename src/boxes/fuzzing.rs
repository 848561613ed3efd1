//! Ways into parsers that nobody outside uses, for `fuzz/`.

use std::io;

use super::archive::{Archive, Walk};
use super::metadata::{Metadata, read_info};
use super::receive::Limits;
use super::zip::{Zip, is_zip};

/// `metadata.json` and `info.json`.
pub fn metadata(bytes: &[u8]) {
    let _ = Metadata::read(&mut &bytes[..]);
    let _ = read_info(&mut &bytes[..]);
}

/// A walk through a tar or zip archive, all contents read.
pub fn archive(bytes: &[u8]) {
    let limits = Limits { file: 1 << 20, total: 1 << 20, entries: 100 };
    let mut from = bytes;
    if is_zip(bytes) {
        walk(&mut Zip::new(&mut from, &limits), &limits);
    } else {
        walk(&mut Archive::new(&mut from, &limits), &limits);
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
