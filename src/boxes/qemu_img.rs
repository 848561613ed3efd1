//! `qemu-img`: the one place that runs it on disks of boxes.
//!
//! It is told the format of what it reads and never guesses, opens no file but those that we name, and dies with us.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use serde_json::{Value, json};

use super::images::Format;
use super::name::printable;
use crate::progress::{Cx, Interrupted};
use crate::sys;

/// The program.
pub(super) const PROGRAM: &str = "qemu-img";

/// How often a running one is asked whether it should stop.
const TICK: Duration = Duration::from_millis(50);

/// How often what a conversion wrote is sent to the disk, so that little is left to wait for at its end.
const FLUSH: Duration = Duration::from_millis(50);

/// As much of its complaints as is read.
const WORDS: u64 = 64 << 10;

/// What `qemu-img check` answers where nothing is wrong that harms, and where the format knows no checks.
const HARMLESS: [i32; 3] = [0, 3, 63];

/// Why it did not do its work.
#[derive(Debug)]
pub(super) enum Failed {
    /// It is not installed.
    Missing,
    /// The system would not run it, or not let it write.
    Run(io::Error),
    /// Where it writes to is full.
    Full,
    /// What it said.
    Said(String),
    /// The user stopped it.
    Interrupted(Interrupted),
}

impl From<Interrupted> for Failed {
    fn from(interrupted: Interrupted) -> Self {
        Self::Interrupted(interrupted)
    }
}

/// What is read.
#[derive(Clone, Copy, Debug)]
pub(super) enum Source<'a> {
    /// One file with no other behind it, whatever it says of itself.
    Alone(Format, &'a Path),
    /// An overlay of our own, with all that it rests on.
    Chain(&'a str, &'a Path),
}

impl Source<'_> {
    fn args(&self) -> Vec<OsString> {
        match self {
            Self::Alone(format, path) => vec![format!("json:{}", alone(*format, path)).into()],
            Self::Chain(format, path) => vec!["-f".into(), (*format).into(), (*path).into()],
        }
    }

    /// How it names its source in what it says.
    fn shown(&self) -> String {
        let last = self.args().pop().unwrap_or_default();
        last.to_string_lossy().into_owned()
    }
}

fn alone(format: Format, path: &Path) -> Value {
    let mut node = json!({
        "driver": format.name(),
        "file": { "driver": "file", "filename": path.to_string_lossy() },
    });
    if matches!(format, Format::Qcow2 | Format::Vmdk) {
        node["backing"] = Value::Null;
    }
    node
}

/// A copy in another format.
#[derive(Clone, Copy, Debug)]
pub(super) struct Conversion<'a> {
    pub from: Source<'a>,
    pub to: Format,
    /// In the form that is written from its beginning to its end, compressed (VMDK only).
    pub stream: bool,
    /// The new file.
    pub new: &'a Path,
    /// What moves, for people.
    pub label: &'a str,
    /// What the guest sees, in bytes.
    pub size: u64,
}

impl Conversion<'_> {
    /// Writes the new file, which only this user may read. What is zero takes no room in it.
    pub fn run(&self, cx: &Cx) -> Result<(), Failed> {
        cx.check()?;
        // Made by us, so that it never belongs to others for a moment.
        let mut options = fs::OpenOptions::new();
        let new = options.write(true).create_new(true).mode(0o600).open(self.new).map_err(|e| started(e, false))?;
        let mut command = command();
        command.args(["convert", "-p", "-O", self.to.name()]);
        if self.stream {
            command.args(["-o", "subformat=streamOptimized"]);
        }
        command.args(self.from.args()).arg(self.new);
        let mut bar = None;
        let mut tell = |hundredths| {
            let done = u128::from(self.size) * u128::from(hundredths) / 10_000;
            // From here on it moves; to start it took its own time.
            let bar = bar.get_or_insert_with(|| cx.transfer(self.label, Some(self.size)));
            bar.update(u64::try_from(done).unwrap_or(self.size));
        };
        let (status, words) = flushing(&new, || run(cx, &mut command, &mut tell))?;
        if status.success() { Ok(()) } else { Err(self.failed(&words)) }
    }

    /// Bytes that the new file would take.
    pub fn measure(&self) -> Result<u64, Failed> {
        let mut command = command();
        // Other formats need about as much, and it answers for these two only.
        let to = if self.to == Format::Raw { "raw" } else { "qcow2" };
        command.args(["measure", "--output=json", "-O", to]).args(self.from.args());
        let output = command.output().map_err(|e| started(e, true))?;
        if !output.status.success() {
            return Err(self.failed(&String::from_utf8_lossy(&output.stderr)));
        }
        let answer: Option<Value> = serde_json::from_slice(&output.stdout).ok();
        let required = answer.as_ref().and_then(|answer| answer.get("required")?.as_u64());
        required.ok_or_else(|| Failed::Said("`qemu-img measure` gave no number".into()))
    }

    fn failed(&self, words: &str) -> Failed {
        // glibc's words for ENOSPC and EDQUOT; qemu-img is not translated.
        if ["No space left on device", "Disk quota exceeded"].iter().any(|full| words.contains(full)) {
            return Failed::Full;
        }
        said(words, &[(&self.from.shown(), "the image"), (&self.new.display().to_string(), "the new image")])
    }
}

/// Whether the tables of an image fit together; its content is not read.
pub(super) fn check(cx: &Cx, format: Format, path: &Path) -> Result<(), Failed> {
    cx.check()?;
    let mut command = command();
    let from = Source::Alone(format, path);
    command.args(["check", "-q", "-U"]).args(from.args());
    let (status, words) = run(cx, &mut command, &mut |_| {})?;
    if status.code().is_some_and(|code| HARMLESS.contains(&code)) {
        return Ok(());
    }
    let first = words.lines().next().unwrap_or("`qemu-img check` finds it corrupt");
    Err(said(first, &[(&from.shown(), "the image")]))
}

/// Its complaint without the names that we gave it, which say nothing to people.
fn said(words: &str, names: &[(&str, &str)]) -> Failed {
    let words = words.trim().trim_start_matches("qemu-img: ");
    let plain = names.iter().fold(words.to_owned(), |text, (name, plain)| text.replace(name, plain));
    Failed::Said(printable(&plain))
}

fn started(error: io::Error, is_program: bool) -> Failed {
    match error.kind() {
        ErrorKind::NotFound if is_program => Failed::Missing,
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Failed::Full,
        _ => Failed::Run(error),
    }
}

fn command() -> Command {
    let mut command = Command::new(PROGRAM);
    // A group of its own: Ctrl-C is our part, which also removes what was made.
    command.env("LC_ALL", "C").stdin(Stdio::null()).process_group(0);
    sys::die_with_parent(&mut command);
    command
}

/// Does `work`, and meanwhile sends what arrives in `file` to the disk. What cannot be written is told by the sync at the
/// end.
fn flushing<T>(file: &File, work: impl FnOnce() -> T) -> T {
    std::thread::scope(|scope| {
        let (done, wait) = channel::<()>();
        scope.spawn(move || {
            while matches!(wait.recv_timeout(FLUSH), Err(RecvTimeoutError::Timeout)) {
                let _ = file.sync_data();
            }
        });
        let result = work();
        drop(done);
        result
    })
}

/// Runs it to its end and tells how far it is, in hundredths of a per cent; returns what it said of errors.
fn run(cx: &Cx, command: &mut Command, tell: &mut dyn FnMut(u32)) -> Result<(ExitStatus, String), Failed> {
    let mut child =
        Running(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(|e| started(e, true))?);
    let (output, errors) = (child.0.stdout.take(), child.0.stderr.take());
    let (send, progress) = channel();
    // Both threads end when the child's side of the pipe does.
    std::thread::spawn(move || output.map(|output| read_progress(output, |done| send.send(done).is_ok())));
    let words = std::thread::spawn(move || {
        let mut text = Vec::new();
        let _ = errors.map(|errors| errors.take(WORDS).read_to_end(&mut text));
        String::from_utf8_lossy(&text).into_owned()
    });
    while let Some(hundredths) = next(cx, &progress)? {
        tell(hundredths);
    }
    let status = child.0.wait().map_err(Failed::Run)?;
    Ok((status, words.join().unwrap_or_default()))
}

/// A child that does not outlive us, whichever way we leave.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Failures mean that it has ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The next number; `None` at the end.
fn next(cx: &Cx, progress: &Receiver<u32>) -> Result<Option<u32>, Interrupted> {
    loop {
        cx.check()?;
        match progress.recv_timeout(TICK) {
            Ok(hundredths) => return Ok(Some(hundredths)),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Ok(None),
        }
    }
}

/// `    (12.34/100%)\r`, again and again; `tell` gets hundredths of a per cent, and says whether to go on.
fn read_progress(mut from: impl Read, mut tell: impl FnMut(u32) -> bool) {
    let mut number = 0u32;
    let mut buffer = [0; 256];
    while let Ok(amount @ 1..) = from.read(&mut buffer) {
        for byte in &buffer[..amount] {
            match byte {
                b'(' => number = 0,
                b'0'..=b'9' => number = number.saturating_mul(10).saturating_add(u32::from(byte - b'0')),
                b'/' if !tell(number.min(10_000)) => return,
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_read_however_it_is_cut() {
        let text = b"    (0.00/100%)\r    (12.34/100%)\r    (100.00/100%)\n";
        let mut told = Vec::new();
        read_progress(&text[..], |number| {
            told.push(number);
            true
        });
        assert_eq!(told, [0, 1234, 10_000]);
    }

    #[test]
    fn a_complaint_names_no_file_that_the_user_did_not_name() {
        let path = Path::new("/boxes/incoming/0815/disk");
        let from = Source::Alone(Format::Vdi, path);
        let words = format!("qemu-img: Could not open '{}': it is broken\u{7}\n", from.shown());
        let Failed::Said(text) = said(&words, &[(&from.shown(), "the image")]) else { panic!() };
        assert_eq!(text, "Could not open 'the image': it is broken?");
    }
}
