//! Vagrant's `--machine-readable`: one line `timestamp,target,type,data…` for each thing that is told.

use std::io::Write;
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use super::text;
use crate::progress::{Event, Sink, Stream};

/// A line with its end. What would end a field or a line is written as Vagrant writes it.
pub(super) fn line(target: Option<&str>, kind: &str, data: &[&str]) -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let mut line = format!("{seconds},{},{kind}", escaped(target.unwrap_or_default()));
    for field in data {
        line.push(',');
        line.push_str(&escaped(field));
    }
    line.push('\n');
    line
}

fn escaped(field: &str) -> String {
    field.replace(',', "%!(VAGRANT_COMMA)").replace('\n', "\\n").replace('\r', "\\r")
}

/// A sink that writes such lines: steps as `action`, words as `ui`.
pub(super) struct MachineReadable {
    out: Mutex<Box<dyn Write + Send>>,
}

impl MachineReadable {
    pub(super) fn new(out: Box<dyn Write + Send>) -> Self {
        Self { out: Mutex::new(out) }
    }
}

impl Sink for MachineReadable {
    fn emit(&self, machine: Option<&str>, event: &Event) {
        let (kind, level, words) = match event {
            Event::StepStarted { step } => ("action", step.as_str(), "start"),
            Event::StepFinished { step, .. } | Event::StepFailed { step, .. } => ("action", step.as_str(), "end"),
            Event::Note(words) => ("ui", "info", words.as_str()),
            Event::Warning(words) => ("ui", "warn", words.as_str()),
            Event::Output { stream: Stream::Stdout, line } => ("ui", "output", line.as_str()),
            Event::Output { stream: Stream::Stderr, line } => ("ui", "error", line.as_str()),
            _ => return,
        };
        let line = line(machine, kind, &[level, &text::neutral(words, false)]);
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        // A reader that has gone away must not stop the work.
        let _ = out.write_all(line.as_bytes()).and_then(|()| out.flush());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_and_line_ends_stay_inside_their_field() {
        let text = line(Some("web"), "ui", &["info", "a, b\nc\r"]);
        let (time, rest) = text.split_once(',').unwrap();
        assert!(time.parse::<u64>().unwrap() > 1_700_000_000, "{time}");
        assert_eq!(rest, "web,ui,info,a%!(VAGRANT_COMMA) b\\nc\\r\n");
    }
}
