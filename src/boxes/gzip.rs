//! One gzip stream, compressed by all cores.
//!
//! Blocks of the input become runs of deflate blocks that end at a byte and know nothing of each other, so that they can
//! stand one behind the other in a single stream (as `pigz -i` writes it): every reader takes it, and its bytes do not
//! depend on how many cores there were.

use std::io::{self, Write};
use std::num::NonZero;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use flate2::{Compress, Compression, Crc, FlushCompress};

use super::disk::is_zero;

/// What a worker gets at a time: so large that the window that is lost at each beginning (32 KiB) costs less than one
/// percent.
const BLOCK: usize = 1 << 20;

/// No name, no time, an unknown system: nothing that tells when or where it was written (RFC 1952).
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];

/// An empty last block (RFC 1951).
const LAST: [u8; 2] = [3, 0];

struct Job {
    block: Vec<u8>,
    reply: SyncSender<io::Result<Arc<Compressed>>>,
}

struct Compressed {
    bytes: Vec<u8>,
    crc: Crc,
}

/// Compresses what `produce` writes, into `into`.
pub(super) fn gzip<T>(
    into: &mut (dyn Write + Send),
    level: u32,
    produce: impl FnOnce(&mut Blocks) -> io::Result<T>,
) -> io::Result<T> {
    let workers = thread::available_parallelism().map_or(1, NonZero::get);
    let (jobs, queue) = sync_channel(workers);
    let queue = Mutex::new(queue);
    let (order, ordered) = sync_channel(2 * workers);
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| work(&queue, level));
        }
        let writing = scope.spawn(move || write_in_order(into, &ordered));
        let mut blocks = Blocks { block: Vec::with_capacity(BLOCK), jobs, order };
        let produced = produce(&mut blocks).and_then(|value| blocks.send().map(|()| value));
        drop(blocks);
        // When writing failed, producing failed for that reason.
        writing.join().unwrap_or_else(|_| Err(io::Error::other("the writing thread panicked")))?;
        produced
    })
}

/// Where the input goes.
pub(super) struct Blocks {
    block: Vec<u8>,
    jobs: SyncSender<Job>,
    order: SyncSender<Receiver<io::Result<Arc<Compressed>>>>,
}

impl Blocks {
    fn send(&mut self) -> io::Result<()> {
        if self.block.is_empty() {
            return Ok(());
        }
        let block = std::mem::replace(&mut self.block, Vec::with_capacity(BLOCK));
        let (reply, answer) = sync_channel(1);
        let closed = || io::Error::from(io::ErrorKind::BrokenPipe);
        self.order.send(answer).map_err(|_| closed())?;
        self.jobs.send(Job { block, reply }).map_err(|_| closed())
    }
}

impl Write for Blocks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let amount = bytes.len().min(BLOCK - self.block.len());
        self.block.extend_from_slice(&bytes[..amount]);
        if self.block.len() == BLOCK {
            self.send()?;
        }
        Ok(amount)
    }

    /// Blocks are full but the last one; nothing is gained by an earlier end.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn work(queue: &Mutex<Receiver<Job>>, level: u32) {
    let mut compress = Compress::new(Compression::new(level), false);
    let mut hole = None;
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Job { block, reply }) = next else { return };
        // Disks are mostly holes: what they become is found out once.
        let full_hole = block.len() == BLOCK && is_zero(&block);
        let result = match hole.as_ref().filter(|_| full_hole) {
            Some(known) => Ok(Arc::clone(known)),
            None => deflate(&mut compress, &block).map(Arc::new),
        };
        if let (true, Ok(compressed)) = (full_hole, &result) {
            hole = Some(Arc::clone(compressed));
        }
        // Nobody waits for it any more when writing failed.
        let _ = reply.send(result);
    }
}

fn deflate(compress: &mut Compress, block: &[u8]) -> io::Result<Compressed> {
    compress.reset();
    let mut crc = Crc::new();
    crc.update(block);
    let mut bytes = Vec::with_capacity(block.len() / 2 + 1024);
    loop {
        let done = usize::try_from(compress.total_in()).unwrap_or(block.len());
        compress.compress_vec(&block[done..], &mut bytes, FlushCompress::Sync)?;
        // Only room that is left tells that all has come out.
        if compress.total_in() == block.len() as u64 && bytes.len() < bytes.capacity() {
            return Ok(Compressed { bytes, crc });
        }
        bytes.reserve(block.len() / 2 + 1024);
    }
}

fn write_in_order(
    into: &mut (dyn Write + Send),
    ordered: &Receiver<Receiver<io::Result<Arc<Compressed>>>>,
) -> io::Result<()> {
    into.write_all(&HEADER)?;
    let mut crc = Crc::new();
    for answer in ordered {
        let compressed = answer.recv().map_err(|_| io::Error::other("a compressing thread panicked"))??;
        crc.combine(&compressed.crc);
        into.write_all(&compressed.bytes)?;
    }
    into.write_all(&LAST)?;
    into.write_all(&crc.sum().to_le_bytes())?;
    into.write_all(&crc.amount().to_le_bytes())
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::GzDecoder;
    use proptest::prelude::*;

    use super::*;

    fn compressed(bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        gzip(&mut out, 3, |blocks| blocks.write_all(bytes)).unwrap();
        out
    }

    /// One member: a decoder that reads only the first one gets all.
    fn unpacked(bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        GzDecoder::new(bytes).read_to_end(&mut out).unwrap();
        out
    }

    #[test]
    fn what_goes_in_comes_out_whatever_its_length() {
        let mut noise = vec![0; 3 * BLOCK + 17];
        let mut state = 1u32;
        for byte in &mut noise[BLOCK + 5..] {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *byte = state.to_le_bytes()[3];
        }
        for length in [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, noise.len()] {
            let packed = compressed(&noise[..length]);
            assert!(unpacked(&packed) == noise[..length], "{length}");
            assert_eq!(packed, compressed(&noise[..length]), "the same bytes each time");
        }
        assert!(compressed(&vec![0; 64 << 20]).len() < 200_000, "holes cost nearly nothing");
    }

    #[test]
    fn an_end_of_the_target_ends_the_work() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::StorageFull.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let error = gzip(&mut Full, 3, |blocks| blocks.write_all(&vec![1; 50 << 20])).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    }

    proptest! {
        #[test]
        fn any_bytes_survive(bytes in proptest::collection::vec(any::<u8>(), 0..5000)) {
            prop_assert_eq!(unpacked(&compressed(&bytes)), bytes);
        }
    }
}
