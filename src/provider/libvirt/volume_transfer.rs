//! Bytes on their way to or from a volume, which take as long as they take: told as they go, and given up when the user wants
//! it or none goes any more.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::super::Error as ProviderError;
use super::Error;
use super::daemon::Daemon;
use super::ffi::{Complaint, Connection};
use crate::progress::Cx;

/// What one message of libvirt's protocol surely takes: the limit of its oldest version is 262,120.
pub const BLOCK: usize = 256_000;

/// How long no byte may go before the host counts as gone.
const STALL: Duration = Duration::from_secs(60);

/// How long what was stopped may take to end.
const ENDING: Duration = Duration::from_secs(5);

/// What is transferred.
pub struct Transfer {
    /// What is told of it.
    pub label: String,
    /// Bytes of it.
    pub length: u64,
    /// What the daemon is asked for.
    pub action: &'static str,
    /// What it did where nothing goes.
    pub nothing: &'static str,
}

/// What the thread that moves bytes and the one that waits for it tell each other.
#[derive(Default)]
pub struct Meter {
    moved: AtomicU64,
    stopped: AtomicBool,
}

impl Meter {
    /// So many more bytes went.
    pub fn add(&self, bytes: usize) {
        self.moved.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Whether to go on.
    pub fn check(&self) -> Result<(), Complaint> {
        if self.stopped.load(Ordering::Relaxed) { Err(Complaint::of_ours("it was stopped")) } else { Ok(()) }
    }
}

/// Does the `work`, which moves the bytes, and says what it came to.
pub fn run<T: Send + 'static>(
    cx: &Cx,
    daemon: &Daemon,
    transfer: Transfer,
    work: impl FnOnce(&Arc<Connection>, &Meter) -> Result<T, Complaint> + Send + 'static,
) -> Result<T, ProviderError> {
    run_within(cx, daemon, transfer, STALL, work)
}

fn run_within<T: Send + 'static>(
    cx: &Cx,
    daemon: &Daemon,
    Transfer { label, length, action, nothing }: Transfer,
    limit: Duration,
    work: impl FnOnce(&Arc<Connection>, &Meter) -> Result<T, Complaint> + Send + 'static,
) -> Result<T, ProviderError> {
    let ours = Arc::<Meter>::default();
    let theirs = Arc::clone(&ours);
    let mut told = cx.transfer(label, Some(length));
    let mut last = (0, Instant::now());
    let stalled = Cell::new(false);
    let watch = || {
        let now = ours.moved.load(Ordering::Relaxed);
        told.update(now);
        if now != last.0 {
            last = (now, Instant::now());
        }
        stalled.set(last.1.elapsed() >= limit);
        Ok(!stalled.get())
    };
    let stop = || ours.stopped.store(true, Ordering::Relaxed);
    let done = daemon.call_watched(cx, (ENDING, action), move |connection| work(connection, &theirs), watch, stop);
    // Whether it ended or not: the user waits for nothing.
    cx.check()?;
    if stalled.get() && done.is_err() {
        return Err(Error::Stalled { uri: daemon.uri().into(), nothing, limit }.into());
    }
    done
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Exit, Explain};

    fn transfer() -> Transfer {
        Transfer { label: "x".into(), length: 9, action: "give", nothing: "sent nothing of a download" }
    }

    #[test]
    fn what_does_not_go_on_is_stopped_and_told_in_both_directions() {
        let Some(connection) = Connection::for_tests() else { return };
        let (cx, daemon) = (Cx::silent(), Daemon::for_tests(connection));
        let hang = |_: &Arc<Connection>, meter: &Meter| -> Result<(), Complaint> {
            meter.add(4);
            loop {
                meter.check()?;
                std::thread::sleep(Duration::from_millis(1));
            }
        };
        let error = run_within(&cx, &daemon, transfer(), Duration::ZERO, hang).unwrap_err();
        assert_eq!(error.to_string(), "libvirt's daemon at `test:///default` sent nothing of a download for 0 s");
        assert_eq!(error.exit(), Exit::Timeout);
        assert!(error.hint().unwrap().contains("the same command tries again"));
    }

    #[test]
    fn what_comes_to_an_end_of_its_own_is_that() {
        let Some(connection) = Connection::for_tests() else { return };
        let (cx, daemon) = (Cx::silent(), Daemon::for_tests(connection));
        assert_eq!(run(&cx, &daemon, transfer(), |_, _| Ok(7)).unwrap(), 7);
        let refused = |_: &Arc<Connection>, _: &Meter| Err::<(), _>(Complaint::of_ours("no"));
        assert_eq!(run(&cx, &daemon, transfer(), refused).unwrap_err().to_string(), "libvirt cannot give: no");
    }
}
