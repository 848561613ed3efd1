//! A client of QEMU's monitor protocol (QMP): one command at a time, bounded in time and size.
//!
//! What QEMU sends is not trusted: lines have a limit, every wait has a deadline, and both honour cancellation.

use std::io::{self, IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
use serde_json::{Value, json};

use crate::progress::{Cx, Interrupted};
use crate::trace;

/// The longest line that we accept. QEMU's longest answers (schemas) are some hundred KiB, and we ask for none of them.
const LINE_LIMIT: usize = 1 << 20;

/// How long one read may block before we look for cancellation.
const TICK: Duration = Duration::from_millis(50);

/// Why a conversation with the monitor failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The socket failed.
    #[error("its socket failed")]
    Io(#[from] io::Error),
    /// QEMU closed the connection.
    #[error("it closed the connection")]
    Closed,
    /// No answer in time.
    #[error("no answer to `{command}` within {} ms", limit.as_millis())]
    Timeout {
        /// The command, or `greeting`.
        command: String,
        /// How long we waited.
        limit: Duration,
    },
    /// A line without end.
    #[error("it sent a line of more than {LINE_LIMIT} bytes")]
    TooLong,
    /// What arrived is no QMP.
    #[error("it sent something that is not QMP")]
    Garbage,
    /// QEMU refused a command.
    #[error("it refused `{command}`: {text}")]
    Refused {
        /// The command.
        command: String,
        /// QEMU's words.
        text: String,
    },
    /// The user asked to stop.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

impl Error {
    /// Whether nobody is at the other end (any more).
    pub fn is_closed(&self) -> bool {
        use io::ErrorKind::{BrokenPipe, ConnectionRefused, ConnectionReset, NotFound};
        match self {
            Self::Closed => true,
            Self::Io(e) => matches!(e.kind(), ConnectionReset | BrokenPipe | ConnectionRefused | NotFound),
            _ => false,
        }
    }
}

/// QEMU's version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// 10 in 10.0.2.
    pub major: u64,
    /// 0 in 10.0.2.
    pub minor: u64,
    /// 2 in 10.0.2.
    pub micro: u64,
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.micro)
    }
}

/// Splits a stream of bytes into lines of bounded length.
#[derive(Debug, Default)]
struct Lines {
    bytes: Vec<u8>,
    /// Bytes from the start that hold no line feed.
    searched: usize,
}

impl Lines {
    fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    fn next(&mut self) -> Result<Option<Vec<u8>>, Error> {
        let end = self.bytes[self.searched..].iter().position(|&b| b == b'\n').map(|at| at + self.searched);
        match end {
            Some(end) if end <= LINE_LIMIT => {
                let rest = self.bytes.split_off(end + 1);
                let mut line = std::mem::replace(&mut self.bytes, rest);
                self.searched = 0;
                line.pop();
                Ok(Some(line))
            }
            None if self.bytes.len() <= LINE_LIMIT => {
                self.searched = self.bytes.len();
                Ok(None)
            }
            _ => Err(Error::TooLong),
        }
    }
}

/// What a line means to the command with the number `id`.
#[derive(Debug, PartialEq)]
enum Message {
    Greeting(Value),
    Return(Value),
    Refused(String),
    /// An event, or the late answer to a command that we gave up on.
    Other,
}

fn message(line: &[u8], id: u64) -> Result<Message, Error> {
    let Ok(Value::Object(mut object)) = serde_json::from_slice(line) else { return Err(Error::Garbage) };
    if let Some(greeting) = object.remove("QMP") {
        return Ok(Message::Greeting(greeting));
    }
    if object.contains_key("event") {
        return Ok(Message::Other);
    }
    // An error without an id answers a line that QEMU could not parse: ours, as we send one at a time.
    if object.get("id").is_some_and(|found| found != &json!(id)) {
        return Ok(Message::Other);
    }
    if let Some(value) = object.remove("return") {
        return Ok(Message::Return(value));
    }
    match object.get("error") {
        Some(error) => {
            let text = error.get("desc").and_then(Value::as_str).unwrap_or("no reason given");
            Ok(Message::Refused(text.chars().filter(|c| !c.is_control()).take(1000).collect()))
        }
        None => Err(Error::Garbage),
    }
}

/// A conversation with one monitor.
#[derive(Debug)]
pub struct Qmp {
    stream: UnixStream,
    lines: Lines,
    cx: Cx,
    limit: Duration,
    last_id: u64,
    version: Version,
}

impl Qmp {
    /// Reads the greeting and leaves the negotiation mode. Each answer may take up to `limit`.
    pub fn open(stream: UnixStream, cx: &Cx, limit: Duration) -> Result<Self, Error> {
        stream.set_write_timeout(Some(limit))?;
        let version = Version { major: 0, minor: 0, micro: 0 };
        let mut qmp = Self { stream, lines: Lines::default(), cx: cx.clone(), limit, last_id: 0, version };
        let Message::Greeting(greeting) = qmp.receive("greeting")? else { return Err(Error::Garbage) };
        let part = |name| greeting.pointer(&format!("/version/qemu/{name}")).and_then(Value::as_u64);
        let (Some(major), Some(minor), Some(micro)) = (part("major"), part("minor"), part("micro")) else {
            return Err(Error::Garbage);
        };
        qmp.version = Version { major, minor, micro };
        qmp.execute("qmp_capabilities", Value::Null)?;
        Ok(qmp)
    }

    /// The version in the greeting.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Each answer may take up to `limit` from now on.
    pub fn set_limit(&mut self, limit: Duration) {
        self.limit = limit;
    }

    /// The same conversation, cancelled by somebody else.
    pub fn set_cx(&mut self, cx: &Cx) {
        self.cx = cx.clone();
    }

    /// Runs a command; `arguments` is an object or null.
    pub fn execute(&mut self, command: &str, arguments: Value) -> Result<Value, Error> {
        let text = self.request(command, arguments);
        let began = Instant::now();
        self.stream.write_all(&text)?;
        let answer = self.answer(command);
        trace::tell(|| {
            let (request, took) = (String::from_utf8_lossy(&text), began.elapsed());
            let outcome = answer.as_ref().map_or_else(ToString::to_string, |_| "done".into());
            format!("qmp {}: {outcome} in {took:.1?}", request.trim_end())
        });
        answer
    }

    /// Gives QEMU an open file under a name.
    pub fn give_file(&mut self, name: &str, file: BorrowedFd<'_>) -> Result<(), Error> {
        let text = self.request("getfd", json!({ "fdname": name }));
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        let files = [file];
        ancillary.push(SendAncillaryMessage::ScmRights(&files));
        let sent =
            rustix::net::sendmsg(self.stream.as_fd(), &[IoSlice::new(&text)], &mut ancillary, SendFlags::NOSIGNAL)
                .map_err(io::Error::from)?;
        self.stream.write_all(&text[sent..])?;
        self.answer("getfd").map(drop)
    }

    /// The run state: `running`, `paused`, `postmigrate`, ….
    pub fn status(&mut self) -> Result<String, Error> {
        let answer = self.execute("query-status", Value::Null)?;
        answer.get("status").and_then(Value::as_str).map(Into::into).ok_or(Error::Garbage)
    }

    fn request(&mut self, command: &str, arguments: Value) -> Vec<u8> {
        self.last_id += 1;
        let mut request = json!({ "execute": command, "id": self.last_id });
        if arguments.is_object() {
            request["arguments"] = arguments;
        }
        let mut text = request.to_string().into_bytes();
        text.push(b'\n');
        text
    }

    fn answer(&mut self, command: &str) -> Result<Value, Error> {
        match self.receive(command)? {
            Message::Return(value) => Ok(value),
            Message::Refused(text) => Err(Error::Refused { command: command.into(), text }),
            _ => Err(Error::Garbage),
        }
    }

    /// The next message that is about `command`.
    fn receive(&mut self, command: &str) -> Result<Message, Error> {
        let deadline = Instant::now() + self.limit;
        loop {
            while let Some(line) = self.lines.next()? {
                match message(&line, self.last_id)? {
                    Message::Other => {}
                    message => return Ok(message),
                }
            }
            self.cx.check()?;
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Error::Timeout { command: command.into(), limit: self.limit });
            }
            self.fill(left.min(TICK))?;
        }
    }

    fn fill(&mut self, time: Duration) -> Result<(), Error> {
        self.stream.set_read_timeout(Some(time))?;
        let mut block = [0; 8192];
        match self.stream.read(&mut block) {
            Ok(0) => Err(Error::Closed),
            Ok(count) => {
                self.lines.push(&block[..count]);
                Ok(())
            }
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => Ok(()),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => Ok(()),
            Err(e) => Err(e.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::thread;

    use proptest::prelude::*;

    use super::*;
    use crate::progress::{Cancel, Silent};

    const GREETING: &str =
        r#"{"QMP":{"version":{"qemu":{"major":9,"minor":1,"micro":2},"package":""},"capabilities":["oob"]}}"#;

    /// A monitor that answers each command with the next text of `script`, whatever is asked.
    fn scripted(script: Vec<String>) -> UnixStream {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        thread::spawn(move || {
            let mut commands = BufReader::new(theirs.try_clone().unwrap()).lines();
            let mut script = script.into_iter();
            while let Some(text) = script.next() {
                if theirs.write_all(text.as_bytes()).is_err() {
                    return;
                }
                if script.len() > 0 && commands.next().is_none() {
                    return;
                }
            }
            for _ in commands {}
        });
        ours
    }

    fn open(script: &[&str], limit_ms: u64) -> Result<Qmp, Error> {
        let script = script.iter().map(|text| format!("{text}\n")).collect();
        Qmp::open(scripted(script), &Cx::silent(), Duration::from_millis(limit_ms))
    }

    #[test]
    fn it_greets_and_answers_between_events() {
        let event = r#"{"event":"STOP","timestamp":{"seconds":1,"microseconds":2}}"#;
        let answer = format!("{event}\n{}\n{event}", r#"{"return":{"status":"paused","running":false},"id":2}"#);
        let mut qmp = open(&[GREETING, r#"{"return":{},"id":1}"#, &answer], 5000).unwrap();
        assert_eq!(qmp.version().to_string(), "9.1.2");
        assert_eq!(qmp.status().unwrap(), "paused");
    }

    #[test]
    fn a_refusal_names_the_command_and_the_reason() {
        let refusal = r#"{"id":2,"error":{"class":"GenericError","desc":"Device busy"}}"#;
        let mut qmp = open(&[GREETING, r#"{"return":{},"id":1}"#, refusal], 5000).unwrap();
        let error = qmp.execute("stop", Value::Null).unwrap_err();
        assert_eq!(error.to_string(), "it refused `stop`: Device busy");
    }

    #[test]
    fn the_late_answer_to_an_abandoned_command_is_not_taken_for_the_next_one() {
        let late = format!("{}\n{}", r#"{"return":{"status":"old"},"id":1}"#, r#"{"return":{"status":"new"},"id":2}"#);
        let mut qmp = open(&[GREETING, r#"{"return":{},"id":1}"#, &late], 5000).unwrap();
        assert_eq!(qmp.status().unwrap(), "new");
    }

    #[test]
    fn silence_ends_at_the_limit_and_a_closed_connection_at_once() {
        assert!(matches!(open(&[""], 20), Err(Error::Garbage)));
        assert!(matches!(open(&[GREETING, r#"{"event":"X"}"#], 20), Err(Error::Timeout { .. })));
        let (ours, theirs) = UnixStream::pair().unwrap();
        drop(theirs);
        assert!(Qmp::open(ours, &Cx::silent(), Duration::from_secs(60)).unwrap_err().is_closed());
    }

    #[test]
    fn cancelling_ends_a_wait() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let cancel = Cancel::default();
        cancel.raise();
        let cx = Cx::new(std::sync::Arc::new(Silent), cancel);
        assert!(matches!(Qmp::open(ours, &cx, Duration::from_secs(60)), Err(Error::Interrupted(_))));
    }

    #[test]
    fn a_line_without_end_is_refused() {
        let mut lines = Lines::default();
        lines.push(&vec![b' '; LINE_LIMIT]);
        assert!(matches!(lines.next(), Ok(None)));
        lines.push(b"  \n");
        assert!(matches!(lines.next(), Err(Error::TooLong)));
    }

    proptest! {
        #[test]
        fn lines_do_not_depend_on_how_they_are_cut(
            texts in prop::collection::vec("[ -~]{0,40}", 0..20), cut in 1_usize..17,
        ) {
            let bytes: Vec<u8> = texts.iter().flat_map(|text| format!("{text}\n").into_bytes()).collect();
            let mut lines = Lines::default();
            let mut found = Vec::new();
            for part in bytes.chunks(cut) {
                lines.push(part);
                while let Some(line) = lines.next().unwrap() {
                    found.push(String::from_utf8(line).unwrap());
                }
            }
            prop_assert_eq!(found, texts);
        }

        #[test]
        fn garbage_is_an_error_and_never_a_panic(line in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(found) = message(&line, 1) {
                prop_assert!(found != Message::Return(Value::Null));
            }
        }
    }
}
