//! Writes a file of a box: hashed and, where it holds only zeros, with holes, while the next bytes arrive.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;

use sha2::{Digest, Sha256};

use super::blocks::{BlockReader, Pool, stream};
use super::checksum::hex;
use super::error::{Error, Refusal};
use super::qcow2;
use super::receive::Broken;
use crate::progress::Cancel;

/// Zeros are left out in units of this size: a qcow2 cluster, and a multiple of every file system's block.
const HOLE: usize = 64 << 10;

/// After so many bytes the kernel is asked to begin writing them to the disk, so that little is left to wait for at the
/// end.
const SYNC_EVERY: u64 = 64 << 20;

/// Only the owner reads, nobody writes: overlays stand on it.
const MODE: u32 = 0o400;

/// A file that was written, synced and hashed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Written {
    pub path: PathBuf,
    pub sha256: String,
    pub size: u64,
    /// Its first bytes (at most [`qcow2::HEAD`]).
    pub head: Vec<u8>,
}

/// Copies `from` into a new file at `path`, at most `limit` bytes; `what` names it in refusals.
pub(super) fn write(
    pool: &Pool,
    cancel: &Cancel,
    from: &mut dyn Read,
    path: &Path,
    what: &str,
    limit: u64,
) -> Result<Written, Broken> {
    let (feed, reader) = stream(pool, cancel.clone());
    thread::scope(|scope| {
        let writer = scope.spawn(move || write_blocks(pool, reader, path));
        let mut size = 0;
        let mut head = Vec::new();
        let outcome = loop {
            let block = match pool.fill(from) {
                Ok(block) => block,
                Err(error) => break Err(Broken::Read(error)),
            };
            if block.is_empty() {
                break Ok(());
            }
            if size == 0 {
                head.extend_from_slice(&block[..block.len().min(qcow2::HEAD)]);
            }
            size += block.len() as u64;
            if size > limit {
                break Err(Refusal::TooLarge { what: what.into(), size, limit }.into());
            }
            if feed.send(block).is_err() {
                break Ok(());
            }
        };
        // A writer without an end fails too; our own reason is the one that matters then.
        let ended = outcome.map(|()| {
            let _ = feed.end();
        });
        let written = writer.join().unwrap_or_else(|_| Err(io::Error::other("the writing thread panicked")));
        ended?;
        let sha256 = written.map_err(|e| match cancel.check() {
            Err(interrupted) => Broken::Failed(interrupted.into()),
            Ok(()) => Broken::Failed(Error::io("write", path, e)),
        })?;
        Ok(Written { path: path.into(), sha256, size, head })
    })
}

/// The writing thread: returns the SHA-256 of all that came.
fn write_blocks(pool: &Pool, mut blocks: BlockReader<'_>, path: &Path) -> io::Result<String> {
    let file = OpenOptions::new().write(true).create_new(true).mode(MODE).open(path)?;
    let handle = file.try_clone()?;
    let (bell, rings) = sync_channel(1);
    thread::scope(|scope| {
        let syncing = scope.spawn(move || sync_when_rung(&handle, &rings));
        let written = write_sparse(pool, &mut blocks, &file, &bell);
        drop(bell);
        let synced = syncing.join().unwrap_or_else(|_| Err(io::Error::other("the syncing thread panicked")));
        let sha256 = written?;
        synced?;
        file.sync_all()?;
        Ok(sha256)
    })
}

fn sync_when_rung(file: &File, rings: &Receiver<()>) -> io::Result<()> {
    rings.iter().try_for_each(|()| file.sync_data())
}

fn write_sparse(pool: &Pool, blocks: &mut BlockReader<'_>, file: &File, bell: &SyncSender<()>) -> io::Result<String> {
    let mut hasher = Sha256::new();
    let mut at = 0;
    let mut rung = 0;
    while let Some(block) = blocks.next_block()? {
        hasher.update(&block);
        write_data(file, &block, at)?;
        at += block.len() as u64;
        pool.give(block);
        if at - rung >= SYNC_EVERY && !matches!(bell.try_send(()), Err(TrySendError::Full(()))) {
            rung = at;
        }
    }
    file.set_len(at)?;
    Ok(hex(&hasher.finalize()))
}

/// Writes the parts of `block` that are not zero, each run of them at once.
pub(super) fn write_data(file: &File, block: &[u8], at: u64) -> io::Result<()> {
    let mut run: Option<usize> = None;
    let write = |from: usize, to: usize| file.write_all_at(&block[from..to], at + from as u64);
    for (index, chunk) in block.chunks(HOLE).enumerate() {
        let start = index * HOLE;
        match (is_zero(chunk), run) {
            (true, Some(from)) => {
                write(from, start)?;
                run = None;
            }
            (false, None) => run = Some(start),
            _ => {}
        }
    }
    run.map_or(Ok(()), |from| write(from, block.len()))
}

/// Sixteen bytes at a time: the compiler makes wide loads of it, and real data leaves at once.
pub(super) fn is_zero(chunk: &[u8]) -> bool {
    let (words, rest) = chunk.as_chunks::<16>();
    words.iter().all(|word| u128::from_ne_bytes(*word) == 0) && rest.iter().all(|byte| *byte == 0)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::MetadataExt;

    use super::*;
    use crate::boxes::blocks::BLOCK;

    fn written(bytes: &[u8], limit: u64) -> (tempfile::TempDir, Result<Written, Broken>) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("disk");
        let result = write(&Pool::default(), &Cancel::default(), &mut &bytes[..], &path, "box.img", limit);
        (dir, result)
    }

    #[test]
    fn zeros_become_holes_and_the_content_stays() {
        let mut bytes = vec![0; 3 * BLOCK + 1000];
        bytes[70_000] = 1;
        bytes[2 * BLOCK] = 2;
        let (_dir, written) = written(&bytes, u64::MAX);
        let written = written.unwrap();
        assert_eq!(fs::read(&written.path).unwrap(), bytes);
        assert_eq!(written.sha256, hex(&Sha256::digest(&bytes)));
        assert_eq!(written.size, bytes.len() as u64);
        let metadata = fs::metadata(&written.path).unwrap();
        assert!(metadata.blocks() * 512 < bytes.len() as u64 / 2, "{} blocks", metadata.blocks());
        assert_eq!(metadata.mode() & 0o777, 0o400);
    }

    #[test]
    fn zeros_count_against_the_limit_although_they_use_no_space() {
        let (_dir, result) = written(&vec![0; 5000], 4999);
        assert!(matches!(result, Err(Broken::Refused(Refusal::TooLarge { limit: 4999, .. }))));
    }

    #[test]
    fn a_chunk_is_zero_only_when_all_of_it_is() {
        for at in [0, 15, 16, 99] {
            let mut chunk = [0; 100];
            assert!(is_zero(&chunk));
            chunk[at] = 1;
            assert!(!is_zero(&chunk), "{at}");
        }
    }
}
