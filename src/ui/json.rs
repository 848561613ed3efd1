//! Events as line-delimited JSON.

use std::collections::HashMap;
use std::io::Write;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};

use super::text;
use crate::progress::{Event, Sink, Stream};

/// A program that shows a bar of its own needs no more.
const TRANSFER_INTERVAL: Duration = Duration::from_millis(500);

/// A sink that writes one JSON object per line.
pub(super) struct Json {
    state: Mutex<State>,
}

struct State {
    out: Box<dyn Write + Send>,
    transfers: HashMap<u64, Instant>,
}

impl Json {
    pub(super) fn new(out: Box<dyn Write + Send>) -> Self {
        Self { state: Mutex::new(State { out, transfers: HashMap::new() }) }
    }
}

impl Sink for Json {
    fn emit(&self, machine: Option<&str>, event: &Event) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !state.is_due(event) {
            return;
        }
        let line = object(machine, SystemTime::now(), fields(event));
        // A reader that has gone away must not stop the work.
        let _ = state.out.write_all(format!("{line}\n").as_bytes());
        let _ = state.out.flush();
    }
}

impl State {
    /// The first word of a transfer, its last, and some between.
    fn is_due(&mut self, event: &Event) -> bool {
        match event {
            Event::Transfer { id, done, total, .. } => {
                let now = Instant::now();
                let told = self.transfers.get(id);
                let due = told.is_none_or(|told| now.duration_since(*told) >= TRANSFER_INTERVAL);
                if due {
                    self.transfers.insert(*id, now);
                }
                due || Some(*done) == *total
            }
            Event::TransferEnded { id } => {
                self.transfers.remove(id);
                true
            }
            _ => true,
        }
    }
}

fn object(machine: Option<&str>, now: SystemTime, fields: Value) -> Value {
    let mut object = Map::new();
    let time = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    if let Value::Object(mut fields) = fields {
        object.insert("type".into(), fields.shift_remove("type").unwrap_or_default());
        object.insert("time_ms".into(), u64::try_from(time.as_millis()).unwrap_or(u64::MAX).into());
        object.insert("machine".into(), machine.into());
        object.extend(fields);
    }
    Value::Object(object)
}

fn fields(event: &Event) -> Value {
    let millis = |took: &Duration| u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    match event {
        Event::StepStarted { step } => json!({"type": "step-started", "step": step}),
        Event::StepFinished { step, took } => json!({"type": "step-finished", "step": step, "ms": millis(took)}),
        Event::StepFailed { step, took } => json!({"type": "step-failed", "step": step, "ms": millis(took)}),
        Event::Waiting { what } => json!({"type": "waiting", "for": what}),
        Event::WaitingEnded => json!({"type": "waiting-ended"}),
        Event::Transfer { id, label, done, total } => {
            json!({"type": "transfer", "id": id, "label": label, "done": done, "total": total})
        }
        Event::TransferEnded { id } => json!({"type": "transfer-ended", "id": id}),
        Event::Note(text) => json!({"type": "note", "text": text}),
        Event::Warning(text) => json!({"type": "warning", "text": text}),
        Event::Output { stream, line } => {
            let stream = match stream {
                Stream::Stdout => "stdout",
                Stream::Stderr => "stderr",
            };
            json!({"type": "output", "stream": stream, "line": text::neutral(line, false)})
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line_with_type_time_and_machine_first() {
        let event = Event::Output { stream: Stream::Stderr, line: "a\x1b[2Jb".into() };
        let line = object(Some("web"), UNIX_EPOCH + Duration::from_millis(1500), fields(&event));
        assert_eq!(
            line.to_string(),
            r#"{"type":"output","time_ms":1500,"machine":"web","stream":"stderr","line":"ab"}"#
        );
    }

    #[test]
    fn a_transfer_tells_its_begin_and_end_but_not_every_block() {
        let mut state = State { out: Box::new(std::io::sink()), transfers: HashMap::new() };
        let at = |done| Event::Transfer { id: 1, label: "box".into(), done, total: Some(100) };
        assert!(state.is_due(&at(0)));
        assert!(!state.is_due(&at(1)));
        assert!(state.is_due(&at(100)));
        assert!(state.is_due(&Event::TransferEnded { id: 1 }));
        assert!(state.transfers.is_empty());
    }
}
