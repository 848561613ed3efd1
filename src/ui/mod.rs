//! Progress, tables, messages: the only place that prints.
//!
//! Data goes to stdout, everything else to stderr. A reader that closes the pipe (`| head`) has what it wanted: that is
//! success.

mod json;
mod lines;
mod live;
mod machine_readable;
mod prompt;
mod signals;
mod stamp;
mod steps;
mod table;
mod terminal;
pub mod text;
mod waits;

use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use anstyle::{AnsiColor, Style};
use serde::Serialize;

pub use table::Table;

use crate::error::{Exit, Explain, Failure};
use crate::progress::{Cancel, Cx, Sink};
use crate::trace;

/// Something good.
pub const GOOD: Style = AnsiColor::Green.on_default();
/// Something to look at.
pub const WARNING: Style = AnsiColor::Yellow.on_default();
/// Something bad.
pub const BAD: Style = AnsiColor::Red.on_default().bold();
/// Headings and names.
pub const STRONG: Style = Style::new().bold();
/// What matters less.
pub const FAINT: Style = Style::new().dimmed();

/// Why the user could not be told or asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Nobody reads our output any more.
    #[error("the reader of our output has gone")]
    Closed,
    /// Our output cannot be written.
    #[error("cannot write to standard output")]
    Write(#[source] io::Error),
    /// The terminal does not do what is needed of it.
    #[error("cannot use the terminal")]
    Terminal(#[source] io::Error),
    /// A question, but nobody to answer it.
    #[error("cannot ask whether to {question}: standard input is not a terminal")]
    Unanswered {
        /// What would be done.
        question: String,
        /// The flag that answers yes.
        flag: &'static str,
    },
}

impl Explain for Error {
    fn exit(&self) -> Exit {
        match self {
            Self::Closed => Exit::Ok,
            Self::Write(_) | Self::Terminal(_) => Exit::Io,
            Self::Unanswered { .. } => Exit::Usage,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Unanswered { flag, .. } => Some(format!("use {flag} to go on without a question")),
            _ => None,
        }
    }
}

/// How the user wants to be told.
#[derive(Clone, Copy, Debug, Default)]
pub struct Settings {
    /// `--json`: machine-readable data and events.
    pub json: bool,
    /// `--quiet`: only data, warnings and errors.
    pub quiet: bool,
    /// `--[no-]color`; `None`: as environment and terminal say.
    pub color: Option<bool>,
    /// `--no-tty`: no bars, no questions.
    pub no_tty: bool,
    /// `--machine-readable`: what Vagrant prints for programs.
    pub machine_readable: bool,
    /// `--timestamp`: the time in front of each line for people.
    pub timestamp: bool,
    /// `--debug`: what goes on below, on stderr.
    pub debug: bool,
}

/// Whom we talk to.
pub struct Ui {
    settings: Settings,
    color_out: bool,
    color_err: bool,
    session: OnceLock<Session>,
}

/// What only commands that work need: a sink, and ears for Ctrl-C.
struct Session {
    cx: Cx,
    live: Option<Arc<live::Live>>,
    /// For as long as there may be bars.
    no_echo: Arc<Option<terminal::NoEcho>>,
}

impl Ui {
    /// Looks at terminal and environment; starts nothing.
    pub fn new(settings: Settings) -> Self {
        let env = terminal::ColorEnv::read();
        if settings.debug {
            let began = Instant::now();
            trace::listen(move |line| {
                let line = format!("debug: {:.3} {}\n", began.elapsed().as_secs_f64(), text::neutral(line, false));
                let _ = stderr(settings).write_all(line.as_bytes());
            });
        }
        Self {
            settings,
            color_out: settings.color.unwrap_or_else(|| env.wanted(io::stdout().is_terminal())),
            color_err: settings.color.unwrap_or_else(|| env.wanted(io::stderr().is_terminal())),
            session: OnceLock::new(),
        }
    }

    /// Whether the user wants JSON.
    pub fn json(&self) -> bool {
        self.settings.json
    }

    /// Whether the user wants Vagrant's lines for programs.
    pub fn machine_readable(&self) -> bool {
        self.settings.machine_readable
    }

    /// Whether stdout and stdin are a person's terminal.
    pub fn interactive(&self) -> bool {
        !self.settings.no_tty && io::stdin().is_terminal() && io::stdout().is_terminal()
    }

    /// The context for a command that works: shows progress, and from now on Ctrl-C asks to stop at a safe point.
    pub fn cx(&self) -> Cx {
        self.session.get_or_init(|| self.open_session()).cx.clone()
    }

    fn open_session(&self) -> Session {
        let Settings { no_tty, timestamp, debug, .. } = self.settings;
        // A bar has one time; and lines in between would tear it.
        let bars = io::stderr().is_terminal() && !no_tty && !timestamp && !debug && !terminal::is_dumb();
        let mut live = None;
        let sink: Arc<dyn Sink> = if self.settings.json {
            Arc::new(json::Json::new(Box::new(io::stdout())))
        } else if self.settings.machine_readable {
            Arc::new(machine_readable::MachineReadable::new(Box::new(io::stdout())))
        } else if bars && !self.settings.quiet {
            let sink = Arc::new(live::Live::new(self.color_err));
            live = Some(sink.clone());
            sink
        } else {
            Arc::new(lines::Lines::new(stderr(self.settings), self.color_err, self.settings.quiet))
        };
        let steps = Arc::new(steps::Steps::new(sink));
        let cancel = Cancel::default();
        // Without ears Ctrl-C ends us at once, which every command survives.
        let no_echo = Arc::new(live.as_ref().and_then(|_| terminal::NoEcho::begin()));
        drop(signals::listen(cancel.clone(), steps.clone(), Arc::clone(&no_echo)));
        Session { cx: Cx::new(steps, cancel), live, no_echo }
    }

    /// Data for stdout. `text` ends with a line end where it should.
    pub fn print(&self, text: &str) -> Result<(), Error> {
        self.aside(|| {
            let mut out = io::stdout().lock();
            out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(closed_or)
        })
    }

    /// One JSON document for stdout.
    pub fn print_json<T: Serialize>(&self, document: &T) -> Result<(), Error> {
        let mut text = serde_json::to_string_pretty(document).map_err(|e| Error::Write(e.into()))?;
        text.push('\n');
        self.print(&text)
    }

    /// The last event of a command that tells events: `{"type":"result", …}`.
    pub fn print_result<T: Serialize>(&self, key: &str, value: &T) -> Result<(), Error> {
        let value = serde_json::to_value(value).map_err(|e| Error::Write(e.into()))?;
        let mut event = serde_json::Map::new();
        event.insert("type".into(), "result".into());
        event.insert(key.into(), value);
        self.print(&format!("{}\n", serde_json::Value::Object(event)))
    }

    /// One of Vagrant's lines for programs, `timestamp,target,kind,data…`, on stdout.
    pub fn print_fields(&self, target: Option<&str>, kind: &str, data: &[&str]) -> Result<(), Error> {
        self.print(&machine_readable::line(target, kind, data))
    }

    /// What is told with `--machine-readable`, where nobody is left to tell that it cannot be.
    fn tell_fields(&self, kind: &str, data: &[&str]) {
        if self.settings.machine_readable {
            let _ = self.print_fields(None, kind, data);
        }
    }

    /// A line for people, on stderr; not with `--quiet` or for programs.
    pub fn say(&self, line: &str) {
        if self.settings.machine_readable {
            return self.tell_fields("ui", &["info", line]);
        }
        if !self.settings.quiet && !self.settings.json {
            self.tell(line);
        }
    }

    /// A line that even `--quiet` does not hide, on stderr.
    pub fn warn(&self, line: &str) {
        self.tell_fields("ui", &["warn", line]);
        self.tell(&format!("{} {line}", paint(WARNING, "warning:", self.color_err)));
    }

    /// Lines that are laid out already (problems of a machine file with their carets), on stderr even with `--quiet`.
    pub fn block(&self, lines: &str) {
        self.tell(&safe_lines(lines, self.color_err));
    }

    /// Whether stderr shows colours.
    pub fn colors(&self) -> bool {
        self.color_err
    }

    /// The failure that ends the command: message and causes in one line, then what to do. `machine` where there are
    /// several.
    pub fn fail_with(&self, failure: &Failure, machine: Option<&str>) {
        if failure.exit() == Exit::Ok {
            return;
        }
        self.tell(&error_text(failure, machine, self.color_err));
        self.tell_fields("error-exit", &[&format!("{:?}", failure.exit()), &safe_lines(&failure.chain(), false)]);
        self.print_error(&error_json(failure, machine, &failure.chain()));
    }

    /// The failure as the last JSON object, with `problems` beside it, when its text for people is told already by
    /// `block`.
    pub fn fail_with_problems<T: Serialize>(&self, failure: &Failure, problems: &[T]) {
        let chain = failure.chain();
        self.tell_fields("error-exit", &[&format!("{:?}", failure.exit()), &safe_lines(&chain, false)]);
        let mut object = error_json(failure, None, chain.lines().next().unwrap_or_default());
        object["problems"] = serde_json::to_value(problems).unwrap_or_default();
        self.print_error(&object);
    }

    fn print_error(&self, object: &serde_json::Value) {
        if self.settings.json {
            // When nobody reads any more there is nobody to tell either.
            let _ = self.print(&format!("{object}\n"));
        }
    }

    /// `text` in `style` when stdout shows colours.
    pub fn paint(&self, style: Style, text: &str) -> String {
        paint(style, text, self.color_out)
    }

    /// Text that nobody vouches for, safe for stdout.
    pub fn neutral<'a>(&self, text: &'a str) -> std::borrow::Cow<'a, str> {
        text::neutral(text, self.color_out)
    }

    /// Asks y/N on the terminal. `question` without its question mark; `flag` is what answers yes without asking.
    pub fn confirm(&self, question: &str, flag: &'static str) -> Result<bool, Error> {
        if !self.can_ask() {
            return Err(Error::Unanswered { question: question.into(), flag });
        }
        self.aside(|| prompt::confirm(question, &mut io::stdin().lock(), &mut io::stderr().lock()))
    }

    /// Asks on the terminal for one of several; `None` where nothing is answered. `question` without its question mark.
    pub fn choose(&self, question: &str, among: &[String]) -> Result<Option<usize>, Error> {
        self.aside(|| prompt::choose(question, among, &mut io::stdin().lock(), &mut io::stderr().lock()))
    }

    /// Whether there is somebody to ask.
    pub fn can_ask(&self) -> bool {
        let for_programs = self.settings.no_tty || self.settings.json || self.settings.machine_readable;
        !for_programs && io::stdin().is_terminal()
    }

    fn tell(&self, line: &str) {
        self.aside(|| {
            // Nothing is left to tell it to when stderr is gone.
            let _ = stderr(self.settings).write_all(format!("{line}\n").as_bytes());
        });
    }

    /// Prints beside the bars, not into them.
    fn aside<T>(&self, print: impl FnOnce() -> T) -> T {
        match self.session.get().and_then(|session| session.live.as_ref()) {
            Some(live) => live.suspend(print),
            None => print(),
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // The thread that hears signals shares it.
        if let Some(no_echo) = self.no_echo.as_ref() {
            no_echo.end();
        }
    }
}

impl std::fmt::Debug for Ui {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ui").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// Standard error, with the time in front of each line where that is wanted.
fn stderr(settings: Settings) -> Box<dyn Write + Send> {
    if settings.timestamp { Box::new(stamp::Stamped(io::stderr())) } else { Box::new(io::stderr()) }
}

fn closed_or(error: io::Error) -> Error {
    if error.kind() == io::ErrorKind::BrokenPipe { Error::Closed } else { Error::Write(error) }
}

/// `text` in `style` when `on`.
fn paint(style: Style, text: &str, on: bool) -> String {
    if on { format!("{style}{text}{style:#}") } else { text.into() }
}

/// `error: web: message: cause`, then `  hint: …`.
fn error_text(failure: &Failure, machine: Option<&str>, colors: bool) -> String {
    let machine = machine.map(|name| format!("{name}: ")).unwrap_or_default();
    let mut text = format!("{} {machine}{}", paint(BAD, "error:", colors), safe_lines(&failure.chain(), colors));
    if let Some(hint) = failure.hint() {
        let mut prefix = paint(STRONG, "  hint:", colors);
        for line in hint.lines() {
            text.push('\n');
            text.push_str(&prefix);
            text.push(' ');
            text.push_str(&text::neutral(line, false));
            prefix = "       ".into();
        }
    }
    text
}

fn safe_lines(message: &str, colors: bool) -> String {
    message.lines().map(|line| text::neutral(line, colors)).collect::<Vec<_>>().join("\n")
}

fn error_json(failure: &Failure, machine: Option<&str>, message: &str) -> serde_json::Value {
    serde_json::json!({
        "type": "error",
        "machine": machine,
        "exit": failure.exit().code(),
        "message": safe_lines(message, false),
        "hint": failure.hint(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot read the \x1b[2Jbox")]
    struct Broken(#[source] io::Error);

    impl Explain for Broken {
        fn exit(&self) -> Exit {
            Exit::BoxRefused
        }

        fn hint(&self) -> Option<String> {
            Some("fetch it again:\nvbox-rs box add --force x".into())
        }
    }

    fn failure() -> Failure {
        Broken(io::Error::other("unexpected end")).into()
    }

    #[test]
    fn an_error_names_its_causes_and_what_to_do() {
        assert_eq!(
            error_text(&failure(), Some("web"), false),
            "error: web: cannot read the box: unexpected end\n  hint: fetch it again:\n        vbox-rs box add --force x"
        );
    }

    #[test]
    fn an_error_is_a_json_object_too() {
        assert_eq!(
            error_json(&failure(), None, &failure().chain()).to_string(),
            r#"{"type":"error","machine":null,"exit":6,"message":"cannot read the box: unexpected end","hint":"fetch it again:\nvbox-rs box add --force x"}"#
        );
    }

    #[test]
    fn a_closed_pipe_is_success() {
        let closed: Failure = closed_or(io::ErrorKind::BrokenPipe.into()).into();
        assert_eq!(closed.exit(), Exit::Ok);
        let full: Failure = closed_or(io::ErrorKind::StorageFull.into()).into();
        assert_eq!(full.exit(), Exit::Io);
    }
}
