//! How work in progress is told: events go up through [`Sink`], cancellation comes down through [`Cancel`], and [`Cx`]
//! carries both. Nothing here prints; `ui` implements the sinks.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::error::{Exit, Explain};
use crate::trace;

/// Where a line of output came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output of a guest command.
    Stdout,
    /// Standard error of a guest command.
    Stderr,
}

/// Something that happened. `ui` turns it into bars, lines, or line-delimited JSON.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// A named step began (`box`, `disk`, `start`, `boot`, `login`, …).
    StepStarted {
        /// The step's name.
        step: String,
    },
    /// A named step ended well.
    StepFinished {
        /// The step's name.
        step: String,
        /// How long it took.
        took: Duration,
    },
    /// A named step failed; the error itself travels as a `Result`.
    StepFailed {
        /// The step's name.
        step: String,
        /// How long it took until then.
        took: Duration,
    },
    /// What the current step waits for, in a few words ("kernel", "sshd answers"); replaces the former one.
    Waiting {
        /// What is awaited.
        what: String,
    },
    /// Nothing is awaited any more, where no step says so by its end.
    WaitingEnded,
    /// Bytes moved. `total` is unknown for some servers.
    Transfer {
        /// Distinguishes transfers that run side by side.
        id: u64,
        /// What moves.
        label: String,
        /// Bytes so far.
        done: u64,
        /// Bytes in all.
        total: Option<u64>,
    },
    /// The transfer ended, well or not.
    TransferEnded {
        /// As in `Transfer`.
        id: u64,
    },
    /// Worth knowing, one line.
    Note(String),
    /// Worth acting on, one line.
    Warning(String),
    /// A line that a guest command printed.
    Output {
        /// Which stream.
        stream: Stream,
        /// The line without its end.
        line: String,
    },
}

/// Receives events, from any thread.
pub trait Sink: Send + Sync {
    /// `machine` is `None` for what belongs to no machine. Must not block for long.
    fn emit(&self, machine: Option<&str>, event: &Event);
}

/// A sink that swallows everything.
#[derive(Debug, Default)]
pub struct Silent;

impl Sink for Silent {
    fn emit(&self, _: Option<&str>, _: &Event) {}
}

/// The user pressed Ctrl-C, or a signal asked us to stop.
#[derive(Debug, thiserror::Error)]
#[error("interrupted")]
pub struct Interrupted;

impl Explain for Interrupted {
    fn exit(&self) -> Exit {
        Exit::Interrupted
    }
}

/// A flag that is raised once, from a signal handler's thread, and wakes every sleeper.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<CancelState>);

#[derive(Debug, Default)]
struct CancelState {
    raised: AtomicBool,
    gate: Mutex<()>,
    bell: Condvar,
}

impl Cancel {
    /// Asks everybody to stop at the next safe point.
    pub fn raise(&self) {
        let _gate = self.0.gate.lock().unwrap_or_else(PoisonError::into_inner);
        self.0.raised.store(true, Ordering::SeqCst);
        self.0.bell.notify_all();
    }

    /// Whether somebody asked to stop.
    pub fn raised(&self) -> bool {
        self.0.raised.load(Ordering::SeqCst)
    }

    /// `Err` once somebody asked to stop.
    pub fn check(&self) -> Result<(), Interrupted> {
        if self.raised() { Err(Interrupted) } else { Ok(()) }
    }

    /// Sleeps, but wakes at once when cancelled.
    pub fn sleep(&self, time: Duration) -> Result<(), Interrupted> {
        let gate = self.0.gate.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.0.bell.wait_timeout_while(gate, time, |()| !self.raised()));
        self.check()
    }
}

/// Context of an operation: where events go, whether to stop, and which machine it is about. Cheap to clone.
#[derive(Clone)]
pub struct Cx {
    sink: Arc<dyn Sink>,
    cancel: Cancel,
    machine: Option<Arc<str>>,
}

impl Cx {
    /// A context that belongs to no machine.
    pub fn new(sink: Arc<dyn Sink>, cancel: Cancel) -> Self {
        Self { sink, cancel, machine: None }
    }

    /// For tests and queries: tells nobody, is never cancelled.
    pub fn silent() -> Self {
        Self::new(Arc::new(Silent), Cancel::default())
    }

    /// The same context, its events marked with the machine's name.
    #[must_use]
    pub fn for_machine(&self, name: &str) -> Self {
        Self { machine: Some(name.into()), ..self.clone() }
    }

    /// The same context and sink, but never cancelled: for the few lines that must end what they began.
    #[must_use]
    pub fn uninterrupted(&self) -> Self {
        Self { cancel: Cancel::default(), ..self.clone() }
    }

    /// The machine that events are marked with.
    pub fn machine(&self) -> Option<&str> {
        self.machine.as_deref()
    }

    /// The flag that asks to stop.
    pub fn cancel(&self) -> &Cancel {
        &self.cancel
    }

    /// `Err` once somebody asked to stop.
    pub fn check(&self) -> Result<(), Interrupted> {
        self.cancel.check()
    }

    /// Sleeps, but wakes at once when cancelled.
    pub fn sleep(&self, time: Duration) -> Result<(), Interrupted> {
        self.cancel.sleep(time)
    }

    /// Tells an event.
    pub fn emit(&self, event: &Event) {
        self.sink.emit(self.machine(), event);
    }

    /// Worth knowing, one line.
    pub fn note(&self, text: impl Into<String>) {
        self.emit(&Event::Note(text.into()));
    }

    /// Worth acting on, one line.
    pub fn warn(&self, text: impl Into<String>) {
        self.emit(&Event::Warning(text.into()));
    }

    /// What the current step waits for.
    pub fn waiting(&self, what: impl Into<String>) {
        self.emit(&Event::Waiting { what: what.into() });
    }

    /// Nothing is awaited any more, where no step says so by its end.
    pub fn waiting_ended(&self) {
        self.emit(&Event::WaitingEnded);
    }

    /// A line that a guest command printed.
    pub fn output(&self, stream: Stream, line: impl Into<String>) {
        self.emit(&Event::Output { stream, line: line.into() });
    }

    /// Runs a named step and tells its beginning, end and time. Returns the time beside the result.
    pub fn step<T, E>(&self, step: &str, work: impl FnOnce() -> Result<T, E>) -> (Duration, Result<T, E>) {
        self.emit(&Event::StepStarted { step: step.into() });
        let began = Instant::now();
        let result = work();
        let took = began.elapsed();
        trace::tell(|| format!("step {step} ended after {took:.1?}"));
        let step = step.into();
        self.emit(&match result {
            Ok(_) => Event::StepFinished { step, took },
            Err(_) => Event::StepFailed { step, took },
        });
        (took, result)
    }

    /// Begins to tell of a transfer; it ends when the returned value is dropped.
    pub fn transfer(&self, label: impl Into<String>, total: Option<u64>) -> Transfer {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let transfer = Transfer {
            cx: self.clone(),
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            label: label.into(),
            total,
            told: None,
        };
        transfer.tell(0);
        transfer
    }
}

impl std::fmt::Debug for Cx {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cx").field("machine", &self.machine).field("cancel", &self.cancel).finish_non_exhaustive()
    }
}

/// A transfer in progress. Tells at most 20 times a second, so it may be updated for every block.
#[derive(Debug)]
pub struct Transfer {
    cx: Cx,
    id: u64,
    label: String,
    total: Option<u64>,
    told: Option<Instant>,
}

impl Transfer {
    const INTERVAL: Duration = Duration::from_millis(50);

    /// `done` bytes have moved in all.
    pub fn update(&mut self, done: u64) {
        if self.told.is_none_or(|told| told.elapsed() >= Self::INTERVAL) || Some(done) == self.total {
            self.told = Some(Instant::now());
            self.tell(done);
        }
    }

    fn tell(&self, done: u64) {
        self.cx.emit(&Event::Transfer { id: self.id, label: self.label.clone(), done, total: self.total });
    }
}

impl Drop for Transfer {
    fn drop(&mut self) {
        self.cx.emit(&Event::TransferEnded { id: self.id });
    }
}
