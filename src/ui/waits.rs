//! Which waits are worth a line in a log: those that last.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use crate::progress::Event;

/// What is over sooner needs no line.
const PATIENCE: Duration = Duration::from_secs(2);

/// What each machine waits for, and what of it was told.
#[derive(Debug, Default)]
pub(super) struct Waits(BTreeMap<String, Wait>);

#[derive(Debug)]
struct Wait {
    now: String,
    /// When it was first waited for in this step, and whether that was told: a wait that goes to and fro is told once.
    seen: HashMap<String, (Instant, bool)>,
}

impl Waits {
    /// Takes notice; `true` when there is something new to watch.
    pub(super) fn hear(&mut self, machine: Option<&str>, event: &Event, now: Instant) -> bool {
        let machine = machine.unwrap_or_default();
        match event {
            Event::Waiting { what } => {
                let fresh = || Wait { now: String::new(), seen: HashMap::new() };
                let wait = self.0.entry(machine.to_owned()).or_insert_with(fresh);
                wait.now.clone_from(what);
                wait.seen.entry(what.clone()).or_insert((now, false));
                true
            }
            Event::StepStarted { .. } | Event::StepFinished { .. } | Event::StepFailed { .. } | Event::WaitingEnded => {
                self.0.remove(machine);
                false
            }
            _ => false,
        }
    }

    /// Machines and what they have been waiting for long enough; each is returned once.
    pub(super) fn due(&mut self, now: Instant) -> Vec<(String, String)> {
        let tell = |(machine, wait): (&String, &mut Wait)| {
            let (since, told) = wait.seen.get_mut(&wait.now)?;
            let due = !*told && now.duration_since(*since) >= PATIENCE;
            *told |= due;
            due.then(|| (machine.clone(), wait.now.clone()))
        };
        self.0.iter_mut().filter_map(tell).collect()
    }

    /// When the next one is due.
    pub(super) fn next(&self) -> Option<Instant> {
        let waits = self.0.values().filter_map(|wait| wait.seen.get(&wait.now));
        waits.filter(|(_, told)| !told).map(|(since, _)| *since + PATIENCE).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_wait_that_lasts_is_told_and_only_once_in_a_step() {
        let began = Instant::now();
        let at = |tenths: u32| began + Duration::from_millis(100) * tenths;
        let mut waits = Waits::default();
        let wait = |waits: &mut Waits, tenths, what: &str| {
            waits.hear(Some("web"), &Event::Waiting { what: what.into() }, at(tenths));
        };
        wait(&mut waits, 0, "port");
        wait(&mut waits, 1, "banner");
        assert_eq!(waits.next(), Some(at(21)));
        assert!(waits.due(at(20)).is_empty());
        // To and fro all the time: what it is about is told nevertheless.
        wait(&mut waits, 15, "key exchange");
        wait(&mut waits, 18, "banner");
        assert_eq!(waits.due(at(21)), [("web".to_owned(), "banner".to_owned())]);
        wait(&mut waits, 25, "key exchange");
        wait(&mut waits, 30, "banner");
        assert!(waits.due(at(90)).is_empty());
        assert_eq!(waits.next(), None);
        waits.hear(Some("web"), &Event::StepStarted { step: "login".into() }, at(95));
        wait(&mut waits, 100, "banner");
        assert_eq!(waits.due(at(121)).len(), 1, "another step");
        wait(&mut waits, 130, "key exchange");
        waits.hear(Some("web"), &Event::WaitingEnded, at(131));
        assert!(waits.due(at(200)).is_empty() && waits.next().is_none());
    }
}
