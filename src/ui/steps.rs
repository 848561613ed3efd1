//! What is going on right now, so that a second Ctrl-C can tell.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::text;
use crate::progress::{Event, Sink};

/// A sink in front of another that remembers which steps have begun and not ended.
pub(super) struct Steps {
    next: Arc<dyn Sink>,
    running: Mutex<BTreeMap<String, Vec<Running>>>,
}

struct Running {
    step: String,
    since: Instant,
    waiting: Option<String>,
}

impl Steps {
    pub(super) fn new(next: Arc<dyn Sink>) -> Self {
        Self { next, running: Mutex::default() }
    }

    /// One phrase for each machine that is being worked on: "web: boot (kernel) for 12.3 s".
    pub(super) fn now(&self) -> Vec<String> {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let phrase = |(machine, steps): (&String, &Vec<Running>)| {
            let last = steps.last()?;
            let name = if machine.is_empty() { String::new() } else { format!("{machine}: ") };
            let time = text::duration(last.since.elapsed());
            Some(match &last.waiting {
                Some(what) if last.step.is_empty() => format!("{name}waiting for {what} for {time}"),
                Some(what) => format!("{name}{} ({what}) for {time}", last.step),
                None => format!("{name}{} for {time}", last.step),
            })
        };
        running.iter().filter_map(phrase).collect()
    }

    fn remember(&self, machine: Option<&str>, event: &Event) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let steps = running.entry(machine.unwrap_or_default().to_owned()).or_default();
        match event {
            Event::StepStarted { step } => {
                steps.push(Running { step: step.clone(), since: Instant::now(), waiting: None });
            }
            Event::StepFinished { step, .. } | Event::StepFailed { step, .. } => {
                if let Some(at) = steps.iter().rposition(|running| running.step == *step) {
                    steps.truncate(at);
                }
            }
            Event::Waiting { what } => {
                if steps.is_empty() {
                    // Outside of any step, until `WaitingEnded`.
                    steps.push(Running { step: String::new(), since: Instant::now(), waiting: None });
                }
                if let Some(last) = steps.last_mut() {
                    last.waiting = Some(what.clone());
                }
            }
            Event::WaitingEnded => steps.retain(|running| !running.step.is_empty()),
            _ => {}
        }
    }
}

impl Sink for Steps {
    fn emit(&self, machine: Option<&str>, event: &Event) {
        if !matches!(event, Event::Transfer { .. } | Event::Output { .. }) {
            self.remember(machine, event);
        }
        self.next.emit(machine, event);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::progress::{Cancel, Cx, Silent};

    #[test]
    fn running_steps_are_told_until_they_end() {
        let steps = Arc::new(Steps::new(Arc::new(Silent)));
        let cx = Cx::new(steps.clone(), Cancel::default()).for_machine("web");
        cx.emit(&Event::StepStarted { step: "boot".into() });
        cx.waiting("kernel");
        let now = steps.now();
        assert_eq!(now.len(), 1);
        assert!(now[0].starts_with("web: boot (kernel) for "), "{now:?}");
        cx.emit(&Event::StepFinished { step: "boot".into(), took: Duration::ZERO });
        assert!(steps.now().is_empty());
    }
}
