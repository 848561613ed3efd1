//! What a run may use besides what it counts itself: the processor's time, and what its helpers owe.

use std::cell::Cell;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// About what a string takes besides its text, an array besides its elements.
pub const OBJECT: usize = 64;

/// About what one more pair takes in a hash.
pub const PAIR: usize = 96;

/// Processor time of a run: some steps take longer than others. No honest file comes near it.
const TIME: Duration = Duration::from_secs(5);

/// Processor time of this thread that something may take. Time that others have the processor does not count: what a busy
/// computer runs slowly comes to the same end.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    end: Duration,
}

impl Clock {
    pub fn of(most: Duration) -> Self {
        Self { end: used().saturating_add(most) }
    }

    /// The time of one run.
    pub fn of_run() -> Self {
        Self::of(TIME)
    }

    pub fn is_over(self) -> bool {
        used() > self.end
    }
}

fn used() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(now.tv_sec).unwrap_or(0), u32::try_from(now.tv_nsec).unwrap_or(0))
}

thread_local! {
    static OWED: Cell<usize> = const { Cell::new(0) };
}

/// Counts bytes that a helper made which has no run at hand: the next step of the run pays for them.
pub fn owe(bytes: usize) {
    OWED.set(OWED.get().saturating_add(bytes));
}

/// What is owed, which nobody owes any more then.
pub fn owed() -> usize {
    OWED.take()
}
