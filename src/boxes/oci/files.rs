//! Files of a box, put together from pieces: fetched, decompressed, hashed and written several at a time.
//!
//! What an earlier run left is taken over piece by piece, when it has the piece's digest: no record of progress is needed
//! that could disagree with the file.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use rustix::fs::{FallocateFlags, fallocate};
use sha2::{Digest as _, Sha256};

use super::blob::Blob;
use super::connection::Connection;
use super::pieces::{Piece, at_once};
use super::{Digest, Error, Meter};
use crate::boxes::blocks::{BLOCK, Pool};
use crate::boxes::checksum::hex;
use crate::boxes::disk::{Written, write_data};
use crate::boxes::images::{self, FileSource, Format};
use crate::boxes::name::printable;
use crate::boxes::qcow2;
use crate::store;

/// What our own compression needs (8 MiB); a layer that wants more memory is not ours.
const WINDOW_LOG: u32 = 23;

/// Only the owner reads, nobody writes: overlays stand on it.
const MODE: u32 = 0o400;

/// A file to put together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FilePlan {
    /// `disk0`, `kernel`, `initrd`.
    pub name: String,
    pub sha256: String,
    pub size: u64,
    /// A disk's, as QEMU calls it; `None` for kernels.
    pub format: Option<String>,
    /// In ascending order.
    pub pieces: Vec<Piece>,
}

/// One that is being put together.
struct Target<'a> {
    plan: &'a FilePlan,
    file: File,
    /// An earlier run may have written parts of it.
    resumed: bool,
}

/// Puts files together in `folder`, under their names.
pub(super) fn fetch(
    connection: &Connection,
    plans: &[&FilePlan],
    folder: &Path,
    meter: &Meter,
) -> Result<Vec<Written>, Error> {
    let targets: Vec<Target> = plans.iter().map(|plan| Target::open(plan, folder)).collect::<Result<_, _>>()?;
    let pool = Pool::default();
    let work: Vec<(&Target, &Piece)> =
        targets.iter().flat_map(|target| target.plan.pieces.iter().map(move |piece| (target, piece))).collect();
    let (done, ready) = channel();
    let (fetched, hashed) = thread::scope(|scope| {
        let (pool, targets) = (&pool, &targets);
        let hashing = scope.spawn(move || hash_all(connection, pool, targets, &ready));
        let fetched = at_once(connection, &work, |index, (target, piece)| {
            target.take(connection, pool, piece, meter)?;
            // Nobody listens after a failure only.
            let _ = done.send(index);
            Ok(())
        });
        drop(done);
        (fetched, hashing.join())
    });
    fetched?;
    let digests = hashed.map_err(|_| Error::Halted)??;
    targets.iter().zip(digests).map(|(target, digest)| target.finish(digest, &folder.join(&target.plan.name))).collect()
}

/// Hashes all files from front to back, close behind the threads that write them.
fn hash_all(
    connection: &Connection,
    pool: &Pool,
    targets: &[Target<'_>],
    ready: &Receiver<usize>,
) -> Result<Vec<String>, Error> {
    let mut done = BTreeSet::new();
    let mut index = 0;
    let mut digests = Vec::new();
    for target in targets {
        let mut hasher = Sha256::new();
        let mut at = 0;
        for piece in &target.plan.pieces {
            while !done.remove(&index) {
                done.insert(ready.recv().map_err(|_| Error::Halted)?);
            }
            index += 1;
            let end = piece.offset + piece.size;
            target.hash(connection, pool, &mut hasher, at, end)?;
            at = end;
        }
        target.hash(connection, pool, &mut hasher, at, target.plan.size)?;
        digests.push(hex(&hasher.finalize()));
    }
    Ok(digests)
}

impl<'a> Target<'a> {
    fn open(plan: &'a FilePlan, folder: &Path) -> Result<Self, Error> {
        let path = folder.join(&plan.name);
        let failed = |e| store::Error::io("write", &path, e);
        // An earlier run ended between the last two steps.
        if path.exists() {
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).map_err(failed)?;
        }
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(&path).map_err(failed)?;
        let resumed = file.metadata().map_err(failed)?.len() > 0;
        file.set_len(plan.size).map_err(failed)?;
        Ok(Self { plan, file, resumed })
    }

    fn io(&self, action: &'static str, error: io::Error) -> Error {
        store::Error::io(action, &self.plan.name, error).into()
    }

    /// Brings a piece into the file.
    fn take(&self, connection: &Connection, pool: &Pool, piece: &Piece, meter: &Meter) -> Result<(), Error> {
        if self.resumed {
            let mut hasher = Sha256::new();
            self.hash(connection, pool, &mut hasher, piece.offset, piece.offset + piece.size)?;
            if Digest::of(&hex(&hasher.finalize())) == piece.digest {
                meter.add(piece.layer.size);
                return Ok(());
            }
            self.clear(piece)?;
        }
        let mut blob = Blob::new(connection, meter, &piece.layer);
        let unpacked = self.unpack(connection, pool, piece, &mut blob);
        if let Err(Error::Artifact { .. }) = unpacked {
            // Damage on the way shows as nonsense first; the digest tells that it is damage.
            blob.drain()?;
        }
        let found = unpacked?;
        blob.drain()?;
        if found != piece.digest {
            let what = format!("the piece of `{}` at {}", self.plan.name, piece.offset);
            return Err(Error::Mismatch { what, expected: piece.digest.clone(), found });
        }
        if let Some(format) = self.plan.format.as_deref().filter(|_| piece.offset == 0) {
            judge_head(&self.plan.name, format, &self.head()?)?;
        }
        Ok(())
    }

    /// Decompresses a layer into the file; returns the digest of what came out.
    fn unpack(
        &self,
        connection: &Connection,
        pool: &Pool,
        piece: &Piece,
        blob: &mut Blob<'_>,
    ) -> Result<Digest, Error> {
        let refused = |why: String| Error::Artifact { from: format!("the layer {}", piece.layer.digest), why };
        let broken = |error: io::Error| match Error::from_io(error) {
            Ok(error) => error,
            Err(error) => refused(format!("its zstd data is damaged ({error})")),
        };
        let mut decoder = zstd::stream::read::Decoder::with_buffer(blob).map_err(broken)?;
        decoder.window_log_max(WINDOW_LOG).map_err(broken)?;
        let mut hasher = Sha256::new();
        let mut at = 0;
        loop {
            connection.check()?;
            let block = pool.fill(&mut decoder as &mut dyn Read).map_err(broken)?;
            if block.is_empty() {
                break;
            }
            let end = at + block.len() as u64;
            if end > piece.size {
                return Err(refused(format!("it decompresses to more than the {} bytes that it claims", piece.size)));
            }
            hasher.update(&block);
            write_data(&self.file, &block, piece.offset + at).map_err(|e| self.io("write", e))?;
            pool.give(block);
            at = end;
        }
        if at < piece.size {
            return Err(refused(format!("it decompresses to {at} bytes, not to the {} that it claims", piece.size)));
        }
        Ok(Digest::of(&hex(&hasher.finalize())))
    }

    /// Makes room for a piece: zeros are not written, so nothing else may be there.
    fn clear(&self, piece: &Piece) -> Result<(), Error> {
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        if fallocate(&self.file, flags, piece.offset, piece.size).is_ok() {
            return Ok(());
        }
        let zeros = vec![0; BLOCK];
        let mut at = 0;
        while at < piece.size {
            let amount = usize::try_from(piece.size - at).unwrap_or(BLOCK).min(BLOCK);
            self.file.write_all_at(&zeros[..amount], piece.offset + at).map_err(|e| self.io("write", e))?;
            at += amount as u64;
        }
        Ok(())
    }

    fn hash(&self, connection: &Connection, pool: &Pool, hasher: &mut Sha256, from: u64, to: u64) -> Result<(), Error> {
        let mut block = pool.take();
        let mut at = from;
        while at < to {
            connection.check()?;
            block.resize(usize::try_from(to - at).unwrap_or(BLOCK).min(BLOCK), 0);
            self.file.read_exact_at(&mut block, at).map_err(|e| self.io("read", e))?;
            hasher.update(&block);
            at += block.len() as u64;
        }
        pool.give(block);
        Ok(())
    }

    fn head(&self) -> Result<Vec<u8>, Error> {
        let mut head = vec![0; usize::try_from(self.plan.size).unwrap_or(qcow2::HEAD).min(qcow2::HEAD)];
        self.file.read_exact_at(&mut head, 0).map_err(|e| self.io("read", e))?;
        Ok(head)
    }

    fn finish(&self, sha256: String, path: &Path) -> Result<Written, Error> {
        if sha256 != self.plan.sha256 {
            let what = format!("`{}`, put together from its pieces,", self.plan.name);
            return Err(Error::Mismatch { what, expected: Digest::of(&self.plan.sha256), found: Digest::of(&sha256) });
        }
        self.file.set_permissions(fs::Permissions::from_mode(MODE)).map_err(|e| self.io("write", e))?;
        self.file.sync_all().map_err(|e| self.io("write", e))?;
        Ok(Written { path: path.into(), sha256, size: self.plan.size, head: self.head()? })
    }
}

/// What the guest sees of a disk, by its first bytes. It must be what it claims: an image that would lead QEMU to other
/// files is refused.
pub(super) fn judge(name: &str, format: &str, file: &Written) -> Result<u64, Error> {
    let refused = |why: String| Error::Artifact { from: format!("the disk `{name}`"), why };
    let known = known_format(name, format)?;
    let found = File::open(&file.path).and_then(FileSource::new).map_err(images::Error::from);
    match found.and_then(|source| images::inspect(&source)) {
        Ok(image) if image.format == known => Ok(image.virtual_size),
        Ok(image) => Err(refused(format!("it claims to be {format} and is a {} image", image.format.name()))),
        // A raw image need not begin with a boot sector.
        Err(images::Error::Unknown) if known == Format::Raw && file.size > 0 && file.size.is_multiple_of(512) => {
            Ok(file.size)
        }
        Err(images::Error::Unknown) if known == Format::Raw => {
            Err(refused(format!("it is a raw image of {} bytes, which is not a multiple of 512", file.size)))
        }
        Err(error) => Err(refused(error.to_string())),
    }
}

/// The same by an image's first bytes, before the rest of it is fetched.
fn judge_head(name: &str, format: &str, head: &[u8]) -> Result<(), Error> {
    let refused = |why: String| Error::Artifact { from: format!("the disk `{name}`"), why };
    match (known_format(name, format)?, images::kind_of(head)) {
        (Format::Raw, None | Some(Format::Raw)) => Ok(()),
        (known, Some(found)) if known == found => {
            images::claim(known, head).map(drop).map_err(|error| refused(error.to_string()))
        }
        (_, Some(found)) => Err(refused(format!("it claims to be {format} and is a {} image", found.name()))),
        (_, None) => Err(refused(format!("it claims to be {format} and does not begin so"))),
    }
}

fn known_format(name: &str, format: &str) -> Result<Format, Error> {
    Format::ALL.iter().copied().find(|known| known.name() == format).ok_or_else(|| Error::Artifact {
        from: format!("the disk `{name}`"),
        why: format!("its format `{}` is not known", printable(format)),
    })
}
