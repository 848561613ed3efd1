//! Ctrl-C: first a request, then a question, then an order.

use std::io;
use std::sync::Arc;
use std::thread;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::steps::Steps;
use super::terminal::NoEcho;
use crate::error::Exit;
use crate::progress::{Cancel, Event, Sink};

/// What a signal leads to.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    /// Stop at the next safe point.
    Stop,
    /// Say what is going on.
    Tell,
    /// End at once.
    End,
}

fn answer(count: u32) -> Answer {
    match count {
        1 => Answer::Stop,
        2 => Answer::Tell,
        _ => Answer::End,
    }
}

/// Starts the thread that hears signals and raises `cancel`.
pub(super) fn listen(cancel: Cancel, steps: Arc<Steps>, no_echo: Arc<Option<NoEcho>>) -> io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    let hear = move || {
        let mut count = 0;
        for _ in signals.forever() {
            count += 1;
            match answer(count) {
                Answer::Stop => {
                    cancel.raise();
                    steps.emit(None, &Event::Warning("interrupted; stopping at a safe point".into()));
                }
                Answer::Tell => {
                    let now = steps.now();
                    let now = if now.is_empty() { "the last step is ending".into() } else { now.join("; ") };
                    let text = format!("still busy with {now}; once more ends vbox-rs at once");
                    steps.emit(None, &Event::Warning(text));
                }
                Answer::End => {
                    if let Some(no_echo) = no_echo.as_ref() {
                        no_echo.end();
                    }
                    signal_hook::low_level::exit(i32::from(Exit::Interrupted.code()))
                }
            }
        }
    };
    thread::Builder::new().name("signals".into()).spawn(hear)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_third_signal_is_an_order() {
        assert_eq!([1, 2, 3, 4].map(answer), [Answer::Stop, Answer::Tell, Answer::End, Answer::End]);
    }
}
