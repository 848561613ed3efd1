//! What answering one line may take: it is asked before anybody was asked whether to trust the file.

use std::cell::Cell;
use std::time::Duration;

use super::super::budget::Clock;

/// Bytes that are read and made, in all pipes of a line together.
const BYTES: usize = 16 << 20;

/// Bytes of one text: of what a command reads, of what it says.
const TEXT: usize = 4 << 20;

/// Processor time. Settings take less than a hundredth of it.
const TIME: Duration = Duration::from_secs(1);

/// What is left; `None` of any of its methods means that the line would have to be run.
pub struct Allowance {
    bytes: Cell<usize>,
    clock: Clock,
}

impl Allowance {
    pub fn new() -> Self {
        Self { bytes: Cell::new(BYTES), clock: Clock::of(TIME) }
    }

    /// Takes bytes that are about to be read or made.
    pub fn take(&self, bytes: usize) -> Option<()> {
        self.bytes.set(self.bytes.get().checked_sub(bytes)?);
        (!self.clock.is_over()).then_some(())
    }

    /// Whether a text may be this long.
    pub fn fits(&self, bytes: usize) -> Option<()> {
        (bytes <= TEXT && bytes <= self.bytes.get()).then_some(())
    }

    /// Bytes that were taken.
    pub fn taken(&self) -> usize {
        BYTES - self.bytes.get()
    }
}
