//! Talking to a daemon that may be slow, gone, or stuck: every call has an end, and the user can always stop waiting.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::super::Error as ProviderError;
use super::Error;
use super::ffi::{Complaint, Connection, Domain};
use super::{host, uri};
use crate::progress::Cx;
use crate::trace;

/// How long a connection may take. The daemon of a session may have to start first, and look at every QEMU there is.
const CONNECT: Duration = Duration::from_secs(30);

/// A machine that is waited for is asked twenty times a second: nobody wants to read that.
const WORTH_TELLING: Duration = Duration::from_millis(20);

/// How long we wait before we look for cancellation again.
const TICK: Duration = Duration::from_millis(50);

/// A connection, and where it leads.
#[derive(Clone, Debug)]
pub struct Daemon {
    uri: String,
    connection: Arc<Connection>,
}

impl Daemon {
    /// Connects.
    pub fn connect(cx: &Cx, uri: &str) -> Result<Self, ProviderError> {
        super::ffi::version().map_err(|why| Error::NoLibrary { why, fix: host::install_command() })?;
        uri::check(uri)?;
        let began = Instant::now();
        let owned = uri.to_owned();
        let opened = begin(move || Connection::open(&owned)).and_then(|answer| await_answer(cx, &answer, CONNECT));
        trace::tell(|| format!("libvirt {uri}: connected after {:.1?}", began.elapsed()));
        let failed = |late| failure(uri, "answer", CONNECT, late);
        let connection = opened.map_err(failed)?.map_err(|complaint| unreachable(uri, &complaint))?;
        Ok(Self { uri: uri.into(), connection: Arc::new(connection) })
    }

    /// Where it leads.
    pub fn uri(&self) -> &str {
        &self.uri
    }

    /// Whether it can still be used, as far as is known.
    pub fn is_alive(&self) -> bool {
        self.connection.is_alive()
    }

    /// Asks the daemon for something; `action` completes "libvirt cannot …".
    pub fn call<T: Send + 'static>(
        &self,
        cx: &Cx,
        limit: Duration,
        action: &'static str,
        work: impl FnOnce(&Arc<Connection>) -> Result<T, Complaint> + Send + 'static,
    ) -> Result<T, ProviderError> {
        // Most answers come before anybody looks for cancellation, and what was begun goes on in the daemon.
        cx.check()?;
        let began = Instant::now();
        let connection = Arc::clone(&self.connection);
        let answer = begin(move || work(&connection)).map_err(|late| failure(&self.uri, action, limit, late))?;
        let result = await_answer(cx, &answer, limit).map_err(|late| failure(&self.uri, action, limit, late))?;
        let took = began.elapsed();
        if took >= WORTH_TELLING {
            trace::tell(|| format!("libvirt {}: {action} took {took:.1?}", self.uri));
        }
        result.map_err(|complaint| self.failed(action, complaint).into())
    }

    /// As `call`, for what takes as long as it takes and can be undone: `stop` is called once when the user cancels, and
    /// what the work then comes to within `limit` counts. `watch` is called now and then.
    pub fn call_stoppable(
        &self,
        cx: &Cx,
        (limit, action): (Duration, &'static str),
        domain: Domain,
        work: impl FnOnce(&Domain) -> Result<(), Complaint> + Send + 'static,
        mut watch: impl FnMut(),
        stop: impl FnOnce(),
    ) -> Result<(), ProviderError> {
        let answer = begin(move || work(&domain)).map_err(|late| failure(&self.uri, action, limit, late))?;
        let (mut stop, mut stopped) = (Some(stop), None);
        loop {
            match answer.recv_timeout(TICK) {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(complaint)) => {
                    cx.check()?;
                    return Err(self.failed(action, complaint).into());
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(failure(&self.uri, action, limit, Late::Thread(None)));
                }
            }
            if cx.check().is_err()
                && let Some(stop) = stop.take()
            {
                stop();
                stopped = Some(Instant::now());
            }
            if stopped.is_some_and(|stopped| stopped.elapsed() > limit) {
                return Err(failure(&self.uri, action, limit, Late::TimedOut));
            }
            watch();
        }
    }

    fn failed(&self, action: &'static str, complaint: Complaint) -> Error {
        let (lost, message) = (complaint.is_lost() || !self.is_alive(), complaint.message);
        if lost { Error::Lost { uri: self.uri.clone(), action, message } } else { Error::Failed { action, message } }
    }
}

/// Why there is no answer.
enum Late {
    Interrupted(crate::progress::Interrupted),
    TimedOut,
    Thread(Option<io::Error>),
}

/// Does the work in a thread of its own: libvirt's calls block, and have no end of their own.
fn begin<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<Receiver<T>, Late> {
    let (tell, answer) = mpsc::channel();
    let run = move || drop(tell.send(work()));
    let thread = std::thread::Builder::new().name("libvirt".into()).spawn(run);
    thread.map(|_| answer).map_err(|e| Late::Thread(Some(e)))
}

fn await_answer<T>(cx: &Cx, answer: &Receiver<T>, limit: Duration) -> Result<T, Late> {
    let began = Instant::now();
    loop {
        match answer.recv_timeout(TICK) {
            Ok(result) => return Ok(result),
            Err(RecvTimeoutError::Disconnected) => return Err(Late::Thread(None)),
            Err(RecvTimeoutError::Timeout) => {}
        }
        cx.check().map_err(Late::Interrupted)?;
        if began.elapsed() > limit {
            return Err(Late::TimedOut);
        }
    }
}

fn failure(uri: &str, action: &'static str, limit: Duration, late: Late) -> ProviderError {
    match late {
        Late::Interrupted(interrupted) => interrupted.into(),
        Late::TimedOut => Error::Silent { uri: uri.into(), action, limit }.into(),
        Late::Thread(source) => {
            let message = source.map_or_else(|| "its thread ended".into(), |source| source.to_string());
            Error::Failed { action, message }.into()
        }
    }
}

/// Why no connection came about, with what mends it.
fn unreachable(uri: &str, complaint: &Complaint) -> Error {
    let (uri, message) = (uri.to_owned(), complaint.message.clone());
    if complaint.is_denied() {
        return Error::Denied { fix: host::group_command(), uri, message };
    }
    Error::Unreachable { fix: host::start_command(&uri), uri, message }
}
