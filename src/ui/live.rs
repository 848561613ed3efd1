//! Progress on a terminal: one moving line for each machine and each transfer, finished steps above them.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::lines::{WORTH_TELLING, detail, headline, line};
use super::text;
use crate::progress::{Event, Sink};

/// How often times on the screen move on.
const TICK: Duration = Duration::from_millis(100);

/// A sink that draws.
pub(super) struct Live {
    screen: MultiProgress,
    state: Mutex<State>,
    colors: bool,
}

#[derive(Default)]
struct State {
    lanes: BTreeMap<String, Lane>,
    transfers: HashMap<u64, ProgressBar>,
}

/// What happens to one machine: steps may nest.
struct Lane {
    bar: ProgressBar,
    steps: Vec<String>,
}

impl Live {
    pub(super) fn new(colors: bool) -> Self {
        let screen = MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(20));
        Self { screen, state: Mutex::default(), colors }
    }

    /// Runs `print` while the bars are off the screen.
    pub(super) fn suspend<T>(&self, print: impl FnOnce() -> T) -> T {
        self.screen.suspend(print)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, machine: Option<&str>, step: &str) {
        let mut state = self.state();
        let lane = self.lane(&mut state, machine);
        lane.steps.push(step.to_owned());
        lane.bar.reset_elapsed();
        lane.bar.set_message(step.to_owned());
    }

    fn lane<'a>(&self, state: &'a mut State, machine: Option<&str>) -> &'a mut Lane {
        state.lanes.entry(machine.unwrap_or_default().to_owned()).or_insert_with(|| {
            let bar = self.screen.add(ProgressBar::new_spinner().with_style(style(STEP)));
            bar.set_prefix(headline(machine));
            bar.enable_steady_tick(TICK);
            Lane { bar, steps: Vec::new() }
        })
    }

    fn end(&self, machine: Option<&str>, step: &str) {
        let mut state = self.state();
        let key = machine.unwrap_or_default();
        let Some(lane) = state.lanes.get_mut(key) else { return };
        if let Some(at) = lane.steps.iter().rposition(|running| running == step) {
            lane.steps.truncate(at);
        }
        if let Some(outer) = lane.steps.last() {
            lane.bar.set_message(outer.clone());
        } else {
            self.close(&mut state, key);
        }
    }

    fn close(&self, state: &mut State, key: &str) {
        if let Some(lane) = state.lanes.remove(key) {
            lane.bar.finish_and_clear();
            self.screen.remove(&lane.bar);
        }
    }

    fn wait(&self, machine: Option<&str>, what: &str) {
        let mut state = self.state();
        let lane = self.lane(&mut state, machine);
        let step = lane.steps.last().map_or("waiting", String::as_str);
        lane.bar.set_message(format!("{step}: {}", text::neutral(what, false)));
    }

    /// The end of what was awaited outside of any step.
    fn waiting_ended(&self, machine: Option<&str>) {
        let mut state = self.state();
        let key = machine.unwrap_or_default();
        if state.lanes.get(key).is_some_and(|lane| lane.steps.is_empty()) {
            self.close(&mut state, key);
        }
    }

    fn transfer(&self, machine: Option<&str>, id: u64, label: &str, done: u64, total: Option<u64>) {
        let mut state = self.state();
        let bar = state.transfers.entry(id).or_insert_with(|| {
            let template = if total.is_some() { TRANSFER } else { TRANSFER_WITHOUT_END };
            let bar = ProgressBar::no_length().with_style(style(template));
            let bar = self.screen.add(bar);
            bar.set_prefix(detail(machine));
            bar.set_message(text::neutral(label, false).into_owned());
            bar
        });
        if let Some(total) = total {
            if bar.length().is_none() {
                bar.set_style(style(TRANSFER));
            }
            bar.set_length(total);
        }
        bar.set_position(done);
    }

    fn transfer_ended(&self, machine: Option<&str>, id: u64) {
        let Some(bar) = self.state().transfers.remove(&id) else { return };
        let (moved, time, label) = (bar.position(), bar.elapsed(), bar.message());
        bar.finish_and_clear();
        self.screen.remove(&bar);
        if time >= TICK {
            self.println(&format!("{}{label}: {} in {}", detail(machine), text::bytes(moved), text::duration(time)));
        }
    }

    fn println(&self, line: &str) {
        let _ = self.screen.println(line);
    }
}

impl Sink for Live {
    fn emit(&self, machine: Option<&str>, event: &Event) {
        match event {
            Event::StepStarted { step } => return self.begin(machine, step),
            Event::Waiting { what } => return self.wait(machine, what),
            Event::WaitingEnded => return self.waiting_ended(machine),
            Event::Transfer { id, label, done, total } => return self.transfer(machine, *id, label, *done, *total),
            Event::TransferEnded { id } => return self.transfer_ended(machine, *id),
            Event::StepFinished { step, took } => {
                self.end(machine, step);
                if *took < WORTH_TELLING {
                    return;
                }
            }
            Event::StepFailed { step, .. } => self.end(machine, step),
            _ => {}
        }
        if let Some(line) = line(machine, event, self.colors) {
            self.println(&line);
        }
    }
}

const STEP: &str = "{prefix}{spinner} {elapsed} {wide_msg}";
const TRANSFER: &str =
    "{prefix}{msg} [{wide_bar}] {binary_bytes} of {binary_total_bytes}, {binary_bytes_per_sec}, {eta} left";
const TRANSFER_WITHOUT_END: &str = "{prefix}{msg} {binary_bytes}, {binary_bytes_per_sec}, {elapsed}";

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_spinner())
        .tick_strings(&["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏", " "])
        .progress_chars("━╸ ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_template_is_valid() {
        for template in [STEP, TRANSFER, TRANSFER_WITHOUT_END] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }

    #[test]
    fn a_lane_lasts_as_long_as_its_outermost_step() {
        let live = Live::new(false);
        live.emit(Some("web"), &Event::StepStarted { step: "provision".into() });
        live.emit(Some("web"), &Event::StepStarted { step: "packages".into() });
        live.emit(Some("web"), &Event::Waiting { what: "apt".into() });
        assert_eq!(live.state().lanes["web"].bar.message(), "packages: apt");
        live.emit(Some("web"), &Event::StepFinished { step: "packages".into(), took: TICK });
        assert_eq!(live.state().lanes["web"].bar.message(), "provision");
        live.emit(Some("web"), &Event::StepFailed { step: "provision".into(), took: TICK });
        assert!(live.state().lanes.is_empty());
        live.emit(Some("web"), &Event::Waiting { what: "the guest to shut down".into() });
        assert_eq!(live.state().lanes["web"].bar.message(), "waiting: the guest to shut down");
        live.emit(Some("web"), &Event::WaitingEnded);
        assert!(live.state().lanes.is_empty());
        live.emit(None, &Event::Transfer { id: 7, label: "box".into(), done: 1, total: None });
        live.emit(None, &Event::TransferEnded { id: 7 });
        assert!(live.state().transfers.is_empty());
    }
}
