//! Bytes of an image at any place, without reading the rest.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Something that an image is read from.
pub trait Source {
    /// How long it is.
    fn size(&self) -> u64;

    /// `length` bytes at `at`; `None` where it does not have them.
    fn bytes(&self, at: u64, length: usize) -> io::Result<Option<Vec<u8>>>;
}

impl Source for &[u8] {
    fn size(&self) -> u64 {
        self.len() as u64
    }

    fn bytes(&self, at: u64, length: usize) -> io::Result<Option<Vec<u8>>> {
        let range = usize::try_from(at).ok().and_then(|at| Some(at..at.checked_add(length)?));
        Ok(range.and_then(|range| self.get(range)).map(<[u8]>::to_vec))
    }
}

/// A file.
#[derive(Debug)]
pub struct FileSource {
    file: File,
    size: u64,
}

impl FileSource {
    /// Takes an open file.
    pub fn new(file: File) -> io::Result<Self> {
        let size = file.metadata()?.len();
        Ok(Self { file, size })
    }
}

impl Source for FileSource {
    fn size(&self) -> u64 {
        self.size
    }

    fn bytes(&self, at: u64, length: usize) -> io::Result<Option<Vec<u8>>> {
        if at.checked_add(length as u64).is_none_or(|end| end > self.size) {
            return Ok(None);
        }
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, at)?;
        Ok(Some(bytes))
    }
}

/// A little-endian number; `None` behind the end.
pub(super) fn le16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

pub(super) fn le32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

pub(super) fn le64(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

pub(super) fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

pub(super) fn be64(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}
