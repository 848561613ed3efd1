//! Any bytes as a disk image, and as the pages of a VHDX image that matter: those lie far apart.
#![no_main]

use std::io;

use libfuzzer_sys::fuzz_target;
use vbox_rs::boxes::images::{self, Source, vmdk::Descriptor};

/// A VHDX image with one header: its region table (2 KiB at 192 KiB) and what lies behind 2 MiB are the input.
struct Scattered<'a>(&'a [u8], &'a [u8]);

impl Source for Scattered<'_> {
    fn size(&self) -> u64 {
        (2 << 20) + (64 << 10) + self.1.len() as u64
    }

    fn bytes(&self, at: u64, length: usize) -> io::Result<Option<Vec<u8>>> {
        if at.checked_add(length as u64).is_none_or(|end| end > self.size()) {
            return Ok(None);
        }
        let (content, skipped) = match at {
            0 => (b"vhdxfile".as_slice(), 0),
            0x10000 => (b"head".as_slice(), 0),
            0x30000 => (self.0, 0),
            _ => (self.1, at.saturating_sub(2 << 20)),
        };
        let skipped = usize::try_from(skipped).unwrap_or(usize::MAX);
        let mut bytes: Vec<_> = content.iter().copied().skip(skipped).take(length).collect();
        bytes.resize(length, 0);
        if at == 0x10000 && length > 66 {
            bytes[66] = 1;
        }
        Ok(Some(bytes))
    }
}

fuzz_target!(|bytes: &[u8]| {
    let inspected = match bytes.strip_prefix(b"vhdxfile").and_then(|rest| rest.split_at_checked(2048)) {
        Some((regions, rest)) => images::inspect(&Scattered(regions, rest)),
        None => images::inspect(&bytes),
    };
    if let Ok(image) = inspected {
        assert!(image.virtual_size <= images::MAX_VIRTUAL_SIZE);
    }
    let _ = Descriptor::parse(bytes);
});
