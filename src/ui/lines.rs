//! Progress as plain lines, for pipes, log files and CI.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::Write;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::waits::Waits;

use super::{BAD, STRONG, WARNING, paint, text};
use crate::progress::{Event, Sink};

/// A transfer says something this often: a log file should stay readable.
const TRANSFER_INTERVAL: Duration = Duration::from_secs(5);

/// Steps that end sooner do not tell their time.
pub(super) const WORTH_TELLING: Duration = Duration::from_millis(100);

/// A sink that writes lines.
pub(super) struct Lines {
    shared: Arc<Shared>,
    colors: bool,
    quiet: bool,
}

/// What the thread that watches long waits has too.
struct Shared {
    state: Mutex<State>,
    bell: Condvar,
}

struct State {
    out: Box<dyn Write + Send>,
    transfers: HashMap<u64, Moving>,
    waits: Waits,
    watched: bool,
    closed: bool,
}

struct Moving {
    label: String,
    began: Instant,
    told: Instant,
    done: u64,
    total: Option<u64>,
}

impl Lines {
    pub(super) fn new(out: Box<dyn Write + Send>, colors: bool, quiet: bool) -> Self {
        let state = State { out, transfers: HashMap::new(), waits: Waits::default(), watched: false, closed: false };
        Self { shared: Arc::new(Shared { state: Mutex::new(state), bell: Condvar::new() }), colors, quiet }
    }

    /// From now on a thread tells what is awaited for long: nothing else happens meanwhile.
    fn watch(&self, state: &mut State) {
        if !state.watched {
            let shared = Arc::clone(&self.shared);
            // Without the thread such waits are not told, and all else is.
            state.watched = thread::Builder::new().name("waits".into()).spawn(move || shared.watch()).is_ok();
        }
        self.shared.bell.notify_all();
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.bell.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn watch(&self) {
        let mut state = self.lock();
        while !state.closed {
            for (machine, what) in state.waits.due(Instant::now()) {
                let machine = Some(machine.as_str()).filter(|name| !name.is_empty());
                state.write(&format!("{}waiting: {}", detail(machine), text::neutral(&what, false)));
            }
            let next = state.waits.next();
            state = match next.map(|at| at.saturating_duration_since(Instant::now())) {
                Some(time) => self.bell.wait_timeout(state, time).unwrap_or_else(PoisonError::into_inner).0,
                None => self.bell.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }
}

impl Sink for Lines {
    fn emit(&self, machine: Option<&str>, event: &Event) {
        if self.quiet && !matches!(event, Event::Warning(_)) {
            return;
        }
        let mut state = self.shared.lock();
        if state.waits.hear(machine, event, Instant::now()) {
            self.watch(&mut state);
        }
        let line = match event {
            Event::Transfer { id, label, done, total } => state.transfer(*id, label, *done, *total, machine),
            Event::TransferEnded { id } => state.transfer_ended(*id, machine),
            Event::StepFinished { step, took } if *took >= WORTH_TELLING => {
                Some(format!("{}{step} took {}", detail(machine), text::duration(*took)))
            }
            Event::StepFinished { .. } => None,
            event => line(machine, event, self.colors),
        };
        if let Some(line) = line {
            state.write(&line);
        }
    }
}

impl State {
    fn write(&mut self, line: &str) {
        // One write for a line: several processes may share the terminal or the log. A reader that has gone away must not
        // stop the work.
        let _ = self.out.write_all(format!("{line}\n").as_bytes());
        let _ = self.out.flush();
    }

    fn transfer(
        &mut self,
        id: u64,
        label: &str,
        done: u64,
        total: Option<u64>,
        machine: Option<&str>,
    ) -> Option<String> {
        let now = Instant::now();
        let moving = self.transfers.entry(id).or_insert_with(|| Moving {
            label: text::neutral(label, false).into_owned(),
            began: now,
            told: now,
            done,
            total,
        });
        moving.done = done;
        moving.total = total;
        if now.duration_since(moving.told) < TRANSFER_INTERVAL {
            return None;
        }
        moving.told = now;
        Some(format!("{}{}", detail(machine), moving.describe(now.duration_since(moving.began))))
    }

    fn transfer_ended(&mut self, id: u64, machine: Option<&str>) -> Option<String> {
        let moving = self.transfers.remove(&id)?;
        let time = moving.began.elapsed();
        (time >= WORTH_TELLING).then(|| {
            format!("{}{}: {} in {}", detail(machine), moving.label, text::bytes(moving.done), text::duration(time))
        })
    }
}

impl Moving {
    fn describe(&self, time: Duration) -> String {
        let mut line = format!("{}: {}", self.label, text::bytes(self.done));
        let rate = u128::from(self.done) * 1000 / time.as_millis().max(1);
        let rate = u64::try_from(rate).unwrap_or(u64::MAX);
        if let Some(total) = self.total.filter(|total| *total > 0) {
            let percent = u128::from(self.done) * 100 / u128::from(total);
            let _ = write!(line, " of {} ({percent} %)", text::bytes(total));
        }
        let _ = write!(line, ", {}/s", text::bytes(rate));
        if let (Some(total), true) = (self.total, rate > 0) {
            let left = Duration::from_secs(total.saturating_sub(self.done) / rate);
            let _ = write!(line, ", {} left", text::duration(left));
        }
        line
    }
}

/// `==> web: `, as Vagrant's users know it.
pub(super) fn headline(machine: Option<&str>) -> String {
    machine.map_or_else(|| "==> ".into(), |name| format!("==> {name}: "))
}

/// `    web: `.
pub(super) fn detail(machine: Option<&str>) -> String {
    machine.map_or_else(|| "    ".into(), |name| format!("    {name}: "))
}

/// The line of an event that is told the same way on a terminal and elsewhere.
pub(super) fn line(machine: Option<&str>, event: &Event, colors: bool) -> Option<String> {
    Some(match event {
        Event::StepStarted { step } => paint(STRONG, &format!("{}{step}", headline(machine)), colors),
        Event::StepFinished { step, took } => format!("{}{step} {}", headline(machine), text::duration(*took)),
        Event::StepFailed { step, took } => {
            paint(BAD, &format!("{}{step} failed after {}", headline(machine), text::duration(*took)), colors)
        }
        Event::Note(note) => format!("{}{}", detail(machine), text::neutral(note, colors)),
        Event::Warning(warning) => {
            format!("{}{} {}", detail(machine), paint(WARNING, "warning:", colors), text::neutral(warning, colors))
        }
        Event::Output { line, .. } => format!("{}{}", detail(machine), text::neutral(line, colors)),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::{Cancel, Cx, Stream};

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn told(quiet: bool, colors: bool) -> String {
        let page = Page::default();
        let cx = Cx::new(Arc::new(Lines::new(Box::new(page.clone()), colors, quiet)), Cancel::default());
        let web = cx.for_machine("web");
        web.emit(&Event::StepStarted { step: "boot".into() });
        web.waiting("kernel");
        web.output(Stream::Stdout, "\x1b[32mhello\x1b[0m\x1b[2J");
        web.emit(&Event::StepFinished { step: "boot".into(), took: Duration::from_secs(12) });
        web.emit(&Event::StepFinished { step: "login".into(), took: Duration::from_millis(3) });
        web.emit(&Event::StepFailed { step: "folders".into(), took: Duration::from_secs(1) });
        cx.note("no machine");
        web.warn("careful");
        drop(cx.transfer("box", Some(100)));
        let text = page.0.lock().unwrap().clone();
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn lines_carry_the_machines_name() {
        let expected = "\
==> web: boot
    web: hello
    web: boot took 12.0 s
==> web: folders failed after 1.0 s
    no machine
    web: warning: careful
";
        assert_eq!(told(false, false), expected);
    }

    #[test]
    fn colours_of_a_guest_do_not_leak_into_the_next_line() {
        assert!(told(false, true).contains("    web: \x1b[32mhello\x1b[0m\x1b[0m\n"));
    }

    #[test]
    fn quiet_keeps_warnings_only() {
        assert_eq!(told(true, false), "    web: warning: careful\n");
    }

    #[test]
    fn a_transfer_tells_bytes_rate_and_time_left() {
        let now = Instant::now();
        let mut moving =
            Moving { label: "box.img".into(), began: now, told: now, done: 100 << 20, total: Some(400 << 20) };
        assert_eq!(
            moving.describe(Duration::from_secs(10)),
            "box.img: 100.0 MiB of 400.0 MiB (25 %), 10.0 MiB/s, 30.0 s left"
        );
        moving.total = None;
        assert_eq!(moving.describe(Duration::from_secs(10)), "box.img: 100.0 MiB, 10.0 MiB/s");
        moving.done = 0;
        assert_eq!(moving.describe(Duration::ZERO), "box.img: 0 B, 0 B/s");
    }
}
