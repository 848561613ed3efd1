//! Talking to a daemon that may be slow, gone, or stuck: every call has an end, and the user can always stop waiting.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::super::Error as ProviderError;
use super::Error;
use super::ffi::{Complaint, Connection, Domain};
use super::host;
use super::remote_tls;
use super::uri::{self, Place, SshHost};
use crate::progress::Cx;
use crate::trace::{self, quoted};

/// How long a connection may take. The daemon of a session may have to start first, and look at every QEMU there is.
const CONNECT: Duration = Duration::from_secs(30);

/// The same for a query of another host.
const GLANCE: Duration = Duration::from_secs(10);

/// The least that another host gets for an answer: every one of them takes its way through the network.
const REMOTE: Duration = Duration::from_secs(15);

/// A machine that is waited for is asked twenty times a second: nobody wants to read that.
const WORTH_TELLING: Duration = Duration::from_millis(20);

/// How long we wait before we look for cancellation again.
const TICK: Duration = Duration::from_millis(50);

/// A connection, and where it leads.
#[derive(Clone, Debug)]
pub struct Daemon {
    /// As people may see it.
    uri: String,
    /// What must be in no message.
    whole: Arc<str>,
    place: Place,
    connection: Arc<Connection>,
    /// Whether nobody waits any more for an answer that is still to come.
    left: Arc<AtomicBool>,
}

impl Daemon {
    /// What stands behind `connection`.
    #[cfg(test)]
    pub fn for_tests(connection: Arc<Connection>) -> Self {
        let uri = "test:///default";
        Self { uri: uri.into(), whole: uri.into(), place: Place::Here, connection, left: Arc::default() }
    }

    /// Connects.
    pub fn connect(cx: &Cx, uri: &str) -> Result<Self, ProviderError> {
        Self::connect_within(cx, uri, CONNECT)
    }

    /// Connects for a query: several machines may lie at a host that does not answer.
    pub fn glance(uri: &str) -> Result<Self, ProviderError> {
        let here = uri::place(uri)? == Place::Here;
        Self::connect_within(&Cx::silent(), uri, if here { CONNECT } else { GLANCE })
    }

    fn connect_within(cx: &Cx, uri: &str, limit: Duration) -> Result<Self, ProviderError> {
        super::ffi::version().map_err(|why| Error::NoLibrary { why, fix: host::install_command() })?;
        let place = uri::place(uri)?;
        let (whole, uri, owned) = (uri, &uri::shown(uri), uri::opened(uri));
        let began = Instant::now();
        let opened =
            begin(move || Connection::open(&owned).map_err(|complaint| remote_tls::look_into(&owned, complaint)))
                .and_then(|answer| await_answer(cx, &answer, limit));
        trace::tell(|| format!("libvirt {uri}: connected after {:.1?}", began.elapsed()));
        let failed = |late| match late {
            Late::TimedOut if place != Place::Here => unanswered(uri, &place, limit).into(),
            late => failure(uri, "answer", limit, late),
        };
        let connection = opened.map_err(failed)?.map_err(|complaint| unreachable(whole, &place, &complaint))?;
        let connection = Arc::new(connection);
        Ok(Self { uri: uri.into(), whole: whole.into(), place, connection, left: Arc::default() })
    }

    /// Where it is, for people.
    pub fn uri(&self) -> &str {
        &self.uri
    }

    /// `virsh` there, as people may enter it.
    pub fn virsh(&self) -> String {
        uri::virsh(&self.whole)
    }

    /// The command that makes a storage pool there.
    pub fn pool_command(&self, name: &str) -> String {
        let (name, folder) = (quoted(name), uri::images(&self.whole));
        let target = quoted(&folder.to_string_lossy());
        // Building makes the folder, where there is none.
        let words = format!("pool-define-as {name} dir --target {target}; pool-build {name}; pool-start {name}");
        format!("{} {}", self.virsh(), quoted(&words))
    }

    fn bounded(&self, limit: Duration) -> Duration {
        if self.place == Place::Here { limit } else { limit.max(REMOTE) }
    }

    /// Whether it can still be used, as far as is known. Where a thread waits at the connection for an answer that nobody
    /// waits for any more, another one takes the next questions (see `Aside`).
    pub fn is_alive(&self) -> bool {
        self.connection.is_alive() && !self.left.load(Ordering::Relaxed)
    }

    /// As `failure`, for a thread that is left alone with the connection.
    fn leave(&self, action: &'static str, limit: Duration, late: Late) -> ProviderError {
        self.left.store(true, Ordering::Relaxed);
        failure(&self.uri, action, limit, late)
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
        let (began, limit) = (Instant::now(), self.bounded(limit));
        let connection = Arc::clone(&self.connection);
        let answer = begin(move || work(&connection)).map_err(|late| failure(&self.uri, action, limit, late))?;
        let result = await_answer(cx, &answer, limit).map_err(|late| self.leave(action, limit, late))?;
        let took = began.elapsed();
        if took >= WORTH_TELLING {
            trace::tell(|| format!("libvirt {}: {action} took {took:.1?}", self.uri));
        }
        result.map_err(|complaint| self.failed(action, &complaint).into())
    }

    /// As `call`, for what takes as long as it takes and can be undone: `stop` is called once when the user cancels, and
    /// what the work then comes to within `limit` counts. `watch` is called now and then, and may give it up.
    pub fn call_stoppable(
        &self,
        cx: &Cx,
        about: (Duration, &'static str),
        domain: Domain,
        work: impl FnOnce(&Domain) -> Result<(), Complaint> + Send + 'static,
        mut watch: impl FnMut() -> Result<(), Error>,
        stop: impl FnOnce(),
    ) -> Result<(), ProviderError> {
        let watch = || watch().map(|()| true);
        self.call_watched(cx, about, move |_| work(&domain), watch, stop)
    }

    /// The same for any work, which is also stopped as soon as `watch` says that nothing is to be expected of it, and not
    /// waited for any more when `watch` fails.
    pub fn call_watched<T: Send + 'static>(
        &self,
        cx: &Cx,
        (limit, action): (Duration, &'static str),
        work: impl FnOnce(&Arc<Connection>) -> Result<T, Complaint> + Send + 'static,
        mut watch: impl FnMut() -> Result<bool, Error>,
        stop: impl FnOnce(),
    ) -> Result<T, ProviderError> {
        let connection = Arc::clone(&self.connection);
        let answer = begin(move || work(&connection)).map_err(|late| failure(&self.uri, action, limit, late))?;
        let (mut stop, mut stopped) = (Some(stop), None);
        loop {
            match answer.recv_timeout(TICK) {
                Ok(Ok(done)) => return Ok(done),
                Ok(Err(complaint)) => {
                    cx.check()?;
                    return Err(self.failed(action, &complaint).into());
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(failure(&self.uri, action, limit, Late::Thread(None)));
                }
            }
            let goes_on = watch().inspect_err(|_| self.left.store(true, Ordering::Relaxed))?;
            if (cx.check().is_err() || !goes_on)
                && let Some(stop) = stop.take()
            {
                stop();
                stopped = Some(Instant::now());
            }
            if stopped.is_some_and(|stopped| stopped.elapsed() > limit) {
                return Err(self.leave(action, limit, Late::TimedOut));
            }
        }
    }

    fn failed(&self, action: &'static str, complaint: &Complaint) -> Error {
        if let Some(name) = complaint.missing_daemon() {
            let fix = (self.place == Place::Here).then(|| host::command_to_start(name, &self.whole));
            let (uri, message) = (self.uri.clone(), uri::without_user(&self.whole, &complaint.message));
            return Error::Alone { uri, action, name: name.into(), message, fix };
        }
        let lost = complaint.is_lost() || !self.connection.is_alive();
        let message = uri::without_user(&self.whole, &complaint.message);
        if lost { Error::Lost { uri: self.uri.clone(), action, message } } else { Error::Failed { action, message } }
    }
}

/// A question whose answer may never come: it is waited for once, and heard later if it comes then. Until then nobody asks
/// again: the daemon answers only a few questions of a client at a time.
///
/// It has a connection of its own. Where several threads wait at one, libvirt before 10.3 may write into the stack of one that
/// has ended (CVE-2024-4418).
#[derive(Debug)]
pub struct Aside<T> {
    connection: Arc<Mutex<Option<Arc<Connection>>>>,
    answer: Option<Receiver<Option<T>>>,
}

/// Nobody has answered yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotYet;

impl<T> Default for Aside<T> {
    fn default() -> Self {
        Self { connection: Arc::default(), answer: None }
    }
}

impl<T: Send + 'static> Aside<T> {
    /// What is said within `patience`, or was said since it was last asked: nothing where the daemon or `work` has nothing
    /// to say.
    pub fn ask(
        &mut self,
        uri: &str,
        patience: Duration,
        work: impl FnOnce(&Arc<Connection>) -> Option<T> + Send + 'static,
    ) -> Result<Option<T>, NotYet> {
        let (connection, uri) = (Arc::clone(&self.connection), uri::opened(uri));
        self.hear(patience, move || {
            let mut connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
            if !connection.as_ref().is_some_and(|connection| connection.is_alive()) {
                *connection = Some(Arc::new(Connection::open(&uri).ok()?));
            }
            work(connection.as_ref()?)
        })
    }

    fn hear(
        &mut self,
        patience: Duration,
        question: impl FnOnce() -> Option<T> + Send + 'static,
    ) -> Result<Option<T>, NotYet> {
        let (answer, patience) = match self.answer.take() {
            Some(answer) => (answer, Duration::ZERO),
            None => (begin(question).map_err(|_| NotYet)?, patience),
        };
        match answer.recv_timeout(patience) {
            Ok(said) => Ok(said),
            Err(RecvTimeoutError::Disconnected) => Ok(None),
            Err(RecvTimeoutError::Timeout) => {
                self.answer = Some(answer);
                Err(NotYet)
            }
        }
    }
}

/// How long a daemon may say nothing of what it does before it is asked whether it is there.
const QUIET: Duration = Duration::from_secs(5);

/// How long it may take to answer that.
const PULSE: Duration = Duration::from_secs(20);

/// Whether a daemon is still there that does something without an end: an emulator that is slow makes it silent about that,
/// but a new client it lets in.
#[derive(Debug)]
pub struct Pulse {
    uri: String,
    heard: Instant,
    asked: Option<(Instant, Aside<()>)>,
}

impl Pulse {
    /// Of the daemon at `uri`, which was heard just now.
    pub fn new(uri: &str) -> Self {
        Self { uri: uri.into(), heard: Instant::now(), asked: None }
    }

    /// Looks after it. `heard`: it has just answered something.
    pub fn feel(&mut self, heard: bool) -> Result<(), Error> {
        if heard || self.heard.elapsed() < QUIET {
            self.heard = if heard { Instant::now() } else { self.heard };
            return Ok(());
        }
        let (since, question) = self.asked.get_or_insert_with(|| (Instant::now(), Aside::default()));
        if question.ask(&self.uri, Duration::ZERO, |_| Some(())).is_ok() {
            // One that refuses has ended, and whoever waits for the work hears of that.
            (self.heard, self.asked) = (Instant::now(), None);
        } else if since.elapsed() > PULSE {
            return Err(Error::Silent { uri: uri::shown(&self.uri), action: "answer", limit: PULSE });
        }
        Ok(())
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
fn unreachable(whole: &str, place: &Place, complaint: &Complaint) -> Error {
    let (uri, message) = (uri::shown(whole), uri::without_user(whole, &complaint.message));
    if let Some(error) = remote_tls::error(whole, &message) {
        return error;
    }
    let denied = complaint.is_denied();
    let fix = match place {
        Place::Here if denied => host::group_command(),
        Place::Here => host::start_command(whole),
        Place::Ssh(SshHost { host, .. }) if message.contains("ost key verification failed") => {
            Some(format!("log in to {host} by `ssh` once, and see that its key is the right one"))
        }
        Place::Ssh(SshHost { host, .. }) if denied => Some(format!(
            "`ssh {host} true` must work without a password (`ssh-copy-id`, an agent), and the user there must be of the \
             group libvirt"
        )),
        Place::Ssh(SshHost { host, .. }) => {
            Some(format!("`ssh {host} true` must work without a password, and a libvirt daemon must run there"))
        }
        Place::Port { host, .. } if denied => Some(format!("reach it by `qemu+ssh://{host}/system` instead")),
        Place::Port { host, tls, .. } => {
            let how =
                if *tls { "TLS (`listen_tls`, certificates, port 16514)" } else { "TCP (`listen_tcp`, port 16509)" };
            let without = format!("`qemu+ssh://{host}/system` needs nothing of that");
            Some(format!("a daemon must listen at {host} for {how}; {without}"))
        }
    };
    if denied { Error::Denied { uri, message, fix } } else { Error::Unreachable { uri, message, fix } }
}

/// A host that says neither yes nor no.
fn unanswered(uri: &str, place: &Place, limit: Duration) -> Error {
    let host = place.name().unwrap_or_default();
    let fix = Some(format!("see whether {host} is up, and nothing on the way to it drops what it does not know"));
    let message = format!("nothing came back within {} s", limit.as_secs());
    Error::Unreachable { uri: uri.into(), message, fix }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Cancel;

    #[test]
    fn beside_an_answer_that_nobody_waits_for_any_more_nothing_is_asked() {
        let Some(connection) = Connection::for_tests() else { return };
        let daemon = Daemon::for_tests(connection);
        let cancel = Cancel::default();
        let cx = Cx::new(Arc::new(crate::progress::Silent), cancel.clone());
        let (tell, told) = mpsc::channel::<()>();
        let work = move |_: &Arc<Connection>| {
            cancel.raise();
            let _ = told.recv();
            Ok(())
        };
        assert!(daemon.is_alive() && daemon.clone().is_alive());
        let error = daemon.call(&cx, Duration::from_secs(60), "wait", work).unwrap_err();
        assert!(matches!(error, ProviderError::Interrupted(_)), "{error:?}");
        assert!(!daemon.is_alive() && !daemon.clone().is_alive(), "the next question takes another connection");
        drop(tell);
    }

    #[test]
    fn a_question_without_an_answer_is_waited_for_once_and_not_asked_again() {
        let mut aside = Aside::default();
        let (tell, told) = mpsc::channel::<u8>();
        assert_eq!(aside.hear(Duration::from_millis(1), move || told.recv().ok()), Err(NotYet));
        let (again, asked) = mpsc::channel();
        let second = move || again.send(()).ok().map(|()| 9);
        assert_eq!(aside.hear(Duration::from_secs(60), second), Err(NotYet));
        assert!(asked.recv().is_err(), "it is not asked again");
        tell.send(7).unwrap();
        let mut said = Err(NotYet);
        while said.is_err() {
            said = aside.hear(Duration::from_secs(60), || None);
        }
        assert_eq!(said, Ok(Some(7)), "what was asked first is heard");
        assert_eq!(aside.hear(Duration::from_secs(60), || None), Ok(None));
    }
}
