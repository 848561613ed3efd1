//! Blocks of bytes that travel between the threads of an `add`, and are used again.

use std::io::{self, BufRead, Read};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::progress::Cancel;

/// Large enough that a channel's cost vanishes, small enough that the blocks in flight stay in the CPU's cache.
pub(super) const BLOCK: usize = 512 << 10;

/// Blocks between two threads; more would only use memory.
const DEPTH: usize = 4;

/// How often a waiting thread looks whether it should stop.
const TICK: Duration = Duration::from_millis(50);

/// Blocks that nobody uses at the moment. A block is allocated (and its pages faulted in) once.
#[derive(Default)]
pub(super) struct Pool(Mutex<Vec<Vec<u8>>>);

impl Pool {
    /// An empty block with room for [`BLOCK`] bytes.
    pub fn take(&self) -> Vec<u8> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_else(|| Vec::with_capacity(BLOCK))
    }

    /// A block is free again.
    pub fn give(&self, mut block: Vec<u8>) {
        block.clear();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(block);
    }

    /// The next up to [`BLOCK`] bytes of `from`: fewer only at its end.
    pub fn fill(&self, from: &mut dyn Read) -> io::Result<Vec<u8>> {
        let mut block = self.take();
        match from.take(BLOCK as u64).read_to_end(&mut block) {
            Ok(_) => Ok(block),
            Err(error) => {
                self.give(block);
                Err(error)
            }
        }
    }
}

/// What travels: a sender that vanishes without `End` has failed.
enum Message {
    Block(Vec<u8>),
    End,
}

/// The other side does not want any more.
#[derive(Debug)]
pub(super) struct Closed;

/// Where blocks go in.
pub(super) struct Feed(SyncSender<Message>);

impl Feed {
    /// Passes a block on; waits while the other side is busy.
    pub fn send(&self, block: Vec<u8>) -> Result<(), Closed> {
        self.0.send(Message::Block(block)).map_err(|_| Closed)
    }

    /// Nothing follows, and all is well.
    pub fn end(self) -> Result<(), Closed> {
        self.0.send(Message::End).map_err(|_| Closed)
    }
}

/// Where blocks come out, as a stream of bytes.
pub(super) struct BlockReader<'a> {
    from: Receiver<Message>,
    pool: &'a Pool,
    cancel: Cancel,
    block: Vec<u8>,
    at: usize,
    ended: bool,
}

/// A bounded stream of blocks from one thread to another.
pub(super) fn stream(pool: &Pool, cancel: Cancel) -> (Feed, BlockReader<'_>) {
    let (to, from) = sync_channel(DEPTH);
    (Feed(to), BlockReader { from, pool, cancel, block: Vec::new(), at: 0, ended: false })
}

impl BlockReader<'_> {
    /// The next block whole; `None` at the end. Not to be mixed with reading bytes.
    pub fn next_block(&mut self) -> io::Result<Option<Vec<u8>>> {
        while !self.ended {
            // Not `ErrorKind::Interrupted`: readers would try again.
            self.cancel.check().map_err(io::Error::other)?;
            match self.from.recv_timeout(TICK) {
                Ok(Message::Block(block)) => return Ok(Some(block)),
                Ok(Message::End) => self.ended = true,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(io::Error::other("the source failed")),
            }
        }
        Ok(None)
    }
}

impl BufRead for BlockReader<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.at >= self.block.len() && !self.ended {
            if let Some(block) = self.next_block()? {
                self.pool.give(std::mem::replace(&mut self.block, block));
                self.at = 0;
            }
        }
        Ok(self.block.get(self.at..).unwrap_or_default())
    }

    fn consume(&mut self, amount: usize) {
        self.at += amount;
    }
}

impl Read for BlockReader<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let amount = self.fill_buf()?.read(into)?;
        self.consume(amount);
        Ok(amount)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_arrive_in_order_and_a_lost_sender_is_no_end() {
        let pool = Pool::default();
        let (feed, mut reader) = stream(&pool, Cancel::default());
        feed.send(b"ab".to_vec()).unwrap();
        feed.send(Vec::new()).unwrap();
        feed.send(b"c".to_vec()).unwrap();
        feed.end().unwrap();
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "abc");

        let (feed, mut reader) = stream(&pool, Cancel::default());
        feed.send(b"ab".to_vec()).unwrap();
        drop(feed);
        assert!(reader.read_to_string(&mut text).is_err());
    }

    #[test]
    fn a_cancelled_reader_stops() {
        let pool = Pool::default();
        let cancel = Cancel::default();
        let (_feed, mut reader) = stream(&pool, cancel.clone());
        cancel.raise();
        assert!(reader.read_to_end(&mut Vec::new()).is_err());
    }
}
