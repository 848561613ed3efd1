//! `logs`.

use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use clap::Args;

use super::args::OneMachine;
use super::{App, Done, Error};
use crate::error::Failure;
use crate::machine;

/// Show what a machine wrote to its serial console
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vbox-rs logs -n 50        the last 50 lines
  vbox-rs logs -f           and go on as they come; Ctrl-C ends it
  vbox-rs logs --hypervisor what the hypervisor itself had to say")]
pub(super) struct Logs {
    #[command(flatten)]
    machine: OneMachine,
    /// Go on as lines come
    #[arg(short, long)]
    follow: bool,
    /// The hypervisor's own log
    #[arg(long)]
    hypervisor: bool,
    /// Only the last N lines
    #[arg(short = 'n', long, value_name = "N")]
    lines: Option<usize>,
}

/// How often a followed log is looked at.
const POLL: Duration = Duration::from_millis(100);

/// A longer line is shown in parts.
const LINE_LIMIT: u64 = 64 << 10;

/// How far back `-n` looks for each line.
const TAIL_PER_LINE: u64 = 4096;

impl Logs {
    pub(super) fn run(&self, app: &App) -> Done {
        let fleet = app.fleet()?;
        let target = app.target(&fleet, self.machine.name.as_deref())?;
        let logs = machine::logs(&fleet, &target)?;
        let (earlier, path) = if self.hypervisor {
            (Vec::new(), logs.hypervisor.ok_or(machine::Error::LogElsewhere { name: target.name })?)
        } else {
            (logs.earlier, logs.console)
        };
        self.show(app, &earlier, &path)?;
        Ok(0)
    }

    fn show(&self, app: &App, earlier: &[PathBuf], path: &Path) -> Result<(), Failure> {
        let mut lines = self.lines;
        let mut readers = Vec::new();
        // `-n` counts from the end.
        for path in earlier.iter().map(PathBuf::as_path).chain([path]).rev() {
            if lines == Some(0) && !readers.is_empty() {
                break;
            }
            let file = match File::open(path) {
                Ok(file) => file,
                // Nothing was written yet.
                Err(e) if e.kind() == ErrorKind::NotFound && !(self.follow && readers.is_empty()) => continue,
                Err(e) => return Err(failed(path, e).into()),
            };
            let mut reader = BufReader::new(file);
            if let Some(count) = &mut lines {
                *count -= seek_tail(&mut reader, *count).map_err(|e| failed(path, e))?;
            }
            readers.push((path, reader));
        }
        for (part, reader) in readers.into_iter().rev() {
            print(app, part, reader, self.follow && part == path)?;
        }
        Ok(())
    }
}

/// Prints the rest of a file, and goes on with what comes where `follow`.
fn print(app: &App, path: &Path, mut reader: BufReader<File>, follow: bool) -> Result<(), Failure> {
    let mut partial = Vec::new();
    loop {
        let more = read_part(&mut reader, &mut partial).map_err(|e| failed(path, e))?;
        let complete = partial.ends_with(b"\n") || partial.len() as u64 >= LINE_LIMIT;
        if complete || !more && !follow && !partial.is_empty() {
            let line = String::from_utf8_lossy(&partial);
            app.ui.print(&format!("{}\n", app.ui.neutral(&line)))?;
            partial.clear();
        } else if !more && follow {
            restart_if_new(&mut reader, path).map_err(|e| failed(path, e))?;
            thread::sleep(POLL);
        } else if !more {
            return Ok(());
        }
    }
}

fn failed(path: &Path, source: io::Error) -> Error {
    Error::File { action: "read", path: path.into(), source }
}

/// Appends up to a line end to `line`; `false` at the end of the file.
fn read_part(reader: &mut BufReader<File>, line: &mut Vec<u8>) -> io::Result<bool> {
    use std::io::Read;
    let room = LINE_LIMIT.saturating_sub(line.len() as u64);
    Ok(reader.by_ref().take(room).read_until(b'\n', line)? > 0)
}

/// Goes to where the last `count` lines begin; how many of them there are.
fn seek_tail(reader: &mut BufReader<File>, count: usize) -> io::Result<usize> {
    use std::io::{Read, Seek, SeekFrom};
    let size = reader.seek(SeekFrom::End(0))?;
    let back = TAIL_PER_LINE.saturating_mul(count as u64).min(size);
    let from = size - back;
    reader.seek(SeekFrom::Start(from))?;
    let mut tail = Vec::new();
    reader.by_ref().take(back).read_to_end(&mut tail)?;
    let start = tail_start(&tail, count);
    reader.seek(SeekFrom::Start(from + start as u64))?;
    Ok(lines(&tail[start..]).min(count))
}

/// How many lines there are, the last of which need not be complete.
fn lines(text: &[u8]) -> usize {
    text.split_inclusive(|byte| *byte == b'\n').count()
}

/// Where the last `count` lines begin.
fn tail_start(text: &[u8], count: usize) -> usize {
    if count == 0 {
        return text.len();
    }
    let body = text.strip_suffix(b"\n").unwrap_or(text);
    let ends = body.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n');
    ends.map(|(at, _)| at + 1).nth(count - 1).unwrap_or(0)
}

/// A log is only ever appended to; a new one is another file, or shorter than what was read of it.
fn restart_if_new(reader: &mut BufReader<File>, path: &Path) -> io::Result<()> {
    use std::io::Seek;
    let (read, ours) = (reader.stream_position()?, reader.get_ref().metadata()?.ino());
    if path.metadata().is_ok_and(|now| now.len() < read || now.ino() != ours) {
        *reader = BufReader::new(File::open(path)?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_begins_at_a_line() {
        let cases =
            [("a\nb\nc\n", 2, "b\nc\n"), ("a\nb\nc", 1, "c"), ("a\nb\n", 9, "a\nb\n"), ("a\n", 0, ""), ("", 3, "")];
        for (text, count, expected) in cases {
            assert_eq!(&text[tail_start(text.as_bytes(), count)..], expected, "{text:?} {count}");
        }
        assert_eq!(["", "a", "a\n", "a\nb"].map(|text| lines(text.as_bytes())), [0, 1, 1, 2]);
    }
}
