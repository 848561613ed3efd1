//! Files of a box, cut into pieces and compressed.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::pieces::{Gate, piece_length};
use super::{Digest, Error};
use crate::boxes::blocks::BLOCK;
use crate::boxes::checksum::{Hashed, hex};
use crate::boxes::disk::is_zero;
use crate::store;

/// zstd's own default: half of what `gzip -6` needs of time per byte, and smaller.
const LEVEL: i32 = 3;

/// A file of the box, open: its box may be removed meanwhile.
pub(super) struct Part {
    pub name: String,
    pub file: File,
    pub size: u64,
}

impl Part {
    /// Opens a file.
    pub fn open(name: &str, path: &Path) -> Result<Self, Error> {
        let failed = |e| store::Error::io("read", path, e);
        let file = File::open(path).map_err(failed)?;
        let size = file.metadata().map_err(failed)?.len();
        Ok(Self { name: name.into(), file, size })
    }

    /// All of it.
    pub fn whole(&self) -> Job<'_> {
        Job { part: self, offset: 0, size: self.size }
    }
}

/// A piece of a file.
pub(super) struct Job<'a> {
    pub part: &'a Part,
    pub offset: u64,
    pub size: u64,
}

/// The pieces that files are cut into.
pub(super) fn jobs(parts: &[Part]) -> Vec<Job<'_>> {
    let mut jobs = Vec::new();
    for part in parts {
        let length = piece_length(part.size);
        let offsets = (0..part.size.div_ceil(length)).map(|index| index * length);
        jobs.extend(offsets.map(|offset| Job { part, offset, size: length.min(part.size - offset) }));
    }
    jobs
}

/// A piece in a file without a name, which vanishes with us.
pub(super) struct Packed {
    pub file: File,
    pub digest: Digest,
    pub size: u64,
}

/// Who compresses.
pub(super) struct Cutter<'a> {
    pub gate: &'a dyn Gate,
    /// Where files without a name may lie.
    pub scratch: &'a Path,
}

impl Cutter<'_> {
    /// The digest of a piece; `None` when it is all zeros.
    pub fn digest(&self, job: &Job<'_>) -> Result<Option<Digest>, Error> {
        let mut hasher = Sha256::new();
        let mut zero = true;
        self.read(job, |block| {
            zero = zero && is_zero(block);
            hasher.update(block);
            Ok(())
        })?;
        Ok((!zero).then(|| Digest::of(&hex(&hasher.finalize()))))
    }

    /// The SHA-256 of a whole file.
    pub fn sha256(&self, part: &Part) -> Result<String, Error> {
        let mut hasher = Sha256::new();
        self.read(&part.whole(), |block| {
            hasher.update(block);
            Ok(())
        })?;
        Ok(hex(&hasher.finalize()))
    }

    /// Compresses a piece: its digest must be known before it goes anywhere.
    pub fn compress(&self, job: &Job<'_>) -> Result<Packed, Error> {
        let failed = |e: io::Error| store::Error::io("write", self.scratch, e);
        let file = tempfile::tempfile_in(self.scratch).map_err(failed)?;
        let mut encoder = zstd::stream::write::Encoder::new(Hashed::new(file), LEVEL).map_err(failed)?;
        encoder.set_pledged_src_size(Some(job.size)).map_err(failed)?;
        self.read(job, |block| Ok(encoder.write_all(block).map_err(failed)?))?;
        let (file, sha256, size) = encoder.finish().map_err(failed)?.finish();
        Ok(Packed { file, digest: Digest::of(&sha256), size })
    }

    fn read(&self, job: &Job<'_>, mut take: impl FnMut(&[u8]) -> Result<(), Error>) -> Result<(), Error> {
        let mut block = vec![0; BLOCK];
        let mut at = 0;
        while at < job.size {
            self.gate.check()?;
            let amount = usize::try_from(job.size - at).unwrap_or(BLOCK).min(BLOCK);
            let read = job.part.file.read_exact_at(&mut block[..amount], job.offset + at);
            read.map_err(|e| store::Error::io("read", &job.part.name, e))?;
            take(&block[..amount])?;
            at += amount as u64;
        }
        Ok(())
    }
}
