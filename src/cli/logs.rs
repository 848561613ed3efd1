//! `logs`.

use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Take};
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
        let parts = || -> Result<Vec<PathBuf>, Failure> {
            let logs = machine::logs(&fleet, &target)?;
            if self.hypervisor {
                let name = || target.name.clone();
                return Ok(vec![logs.hypervisor.ok_or_else(|| machine::Error::LogElsewhere { name: name() })?]);
            }
            Ok(logs.earlier.into_iter().chain([logs.console]).collect())
        };
        self.show(app, &parts)?;
        Ok(0)
    }

    /// `parts`: the files that make up the log, the one that is written last.
    fn show(&self, app: &App, parts: Parts<'_>) -> Result<(), Failure> {
        let paths = parts()?;
        let (readers, unreadable) = open(&paths, self.lines, self.follow)?;
        // A log that is put aside may be cut in the middle of a line.
        let mut partial = Vec::new();
        for (path, mut reader) in readers {
            if self.follow && paths.last() == Some(path) {
                follow(app, path, reader.into_inner(), &mut partial, parts)?;
            } else {
                print(app, path, &mut reader, &mut partial)?;
            }
        }
        if !partial.is_empty() {
            print_line(app, &partial)?;
        }
        unreadable.map_or(Ok(()), |error| Err(error.into()))
    }
}

/// What there is to read, in the order in which it was written: each file where its part begins, up to what it had when it
/// was opened. `-n 1` is one line, however much the guest says meanwhile.
type Opened<'p> = (Vec<(&'p PathBuf, Take<BufReader<File>>)>, Option<Error>);

/// Opens the files of a log, and goes to its last `lines`. `follow`: the last file must be there.
fn open(paths: &[PathBuf], mut lines: Option<usize>, follow: bool) -> Result<Opened<'_>, Error> {
    let (mut readers, mut seen, mut unreadable) = (Vec::new(), None, None);
    // Whether what was opened last is read from its first byte, with which a line of the file before may go on.
    let mut from_start = false;
    // `-n` counts from the end.
    for (index, path) in paths.iter().enumerate().rev() {
        if lines == Some(0) && !readers.is_empty() && !from_start {
            break;
        }
        let last = index + 1 == paths.len();
        let file = match File::open(path) {
            Ok(file) => file,
            // Nothing was written yet; or what was put aside before has just been removed.
            Err(e) if e.kind() == ErrorKind::NotFound && !(follow && last) => continue,
            Err(e) => {
                unreadable = Some(failed(path, e));
                continue;
            }
        };
        // Put aside in this moment: it has the next name already.
        let about = file.metadata().map_err(|e| failed(path, e))?;
        let number = about.ino();
        if seen.replace(number) == Some(number) {
            continue;
        }
        let mut reader = BufReader::new(file);
        let mut size = about.len();
        if let Some(count) = &mut lines {
            let tail = seek_tail(&mut reader, size, *count, &mut from_start).map_err(|e| failed(path, e))?;
            *count -= tail.lines;
            size = tail.bytes;
        }
        readers.push((path, reader.take(size)));
    }
    readers.reverse();
    Ok((readers, unreadable))
}

/// The files that make up a log, the one that is written last: asked again when that may have changed.
type Parts<'a> = &'a dyn Fn() -> Result<Vec<PathBuf>, Failure>;

/// Prints the rest of a file. `partial` is the line that has no end yet.
fn print(app: &App, path: &Path, reader: &mut impl BufRead, partial: &mut Vec<u8>) -> Result<(), Failure> {
    while read_part(reader, partial).map_err(|e| failed(path, e))? {
        if partial.ends_with(b"\n") || partial.len() as u64 >= LINE_LIMIT {
            print_line(app, partial)?;
            partial.clear();
        }
    }
    Ok(())
}

/// The same, and goes on with what comes where `parts` says which files there are.
fn follow(
    app: &App,
    path: &Path,
    mut reader: BufReader<File>,
    partial: &mut Vec<u8>,
    parts: Parts<'_>,
) -> Result<(), Failure> {
    loop {
        print(app, path, &mut reader, partial)?;
        let next = || parts().unwrap_or_else(|_| vec![path.to_owned()]);
        if !go_on(&mut reader, path, next).map_err(|e| failed(path, e))? {
            thread::sleep(POLL);
        }
    }
}

fn print_line(app: &App, line: &[u8]) -> Result<(), Failure> {
    let line = String::from_utf8_lossy(line);
    Ok(app.ui.print(&format!("{}\n", app.ui.neutral(&line)))?)
}

fn failed(path: &Path, source: io::Error) -> Error {
    Error::File { action: "read", path: path.into(), source }
}

/// Appends up to a line end to `line`; `false` at the end of the file.
fn read_part(reader: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    let room = LINE_LIMIT.saturating_sub(line.len() as u64);
    Ok(reader.by_ref().take(room).read_until(b'\n', line)? > 0)
}

/// What is shown of a file.
#[derive(Default)]
struct Tail {
    lines: usize,
    bytes: u64,
}

/// Goes to where the last `count` lines of a file of this size begin. `from_start`: the file after this one is read from its
/// first byte, so a last line without an end goes on there, where it was counted. Then: whether this one is.
fn seek_tail(reader: &mut BufReader<File>, size: u64, count: usize, from_start: &mut bool) -> io::Result<Tail> {
    use std::io::{Seek, SeekFrom};
    let back = TAIL_PER_LINE.saturating_mul((count as u64).saturating_add(1)).min(size);
    let from = size - back;
    reader.seek(SeekFrom::Start(from))?;
    let mut text = Vec::new();
    reader.by_ref().take(back).read_to_end(&mut text)?;
    if text.is_empty() {
        return Ok(Tail::default());
    }
    let counted = usize::from(*from_start && !text.ends_with(b"\n"));
    let start = tail_start(&text, count.saturating_add(counted));
    let begin = from + start as u64;
    reader.seek(SeekFrom::Start(begin))?;
    *from_start = begin == 0;
    let lines = (lines(&text[start..]) - counted).min(count);
    Ok(Tail { lines, bytes: (text.len() - start) as u64 })
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

/// Goes on with the next file of a log whose end was reached, where there is one; whether there is more to read at once. A
/// log is only ever appended to: a new one is another file, or shorter than what was read of it. A file that was put aside
/// is followed by the one that was begun then, which may have been put aside since.
fn go_on(reader: &mut BufReader<File>, path: &Path, parts: impl FnOnce() -> Vec<PathBuf>) -> io::Result<bool> {
    use std::io::Seek;
    let (read, ours) = (reader.stream_position()?, reader.get_ref().metadata()?.ino());
    let is_ours = |path: &Path| path.metadata().is_ok_and(|now| now.ino() == ours);
    if is_ours(path) {
        let begun_anew = path.metadata()?.len() < read;
        if begun_anew {
            *reader = BufReader::new(File::open(path)?);
        }
        return Ok(begun_anew);
    }
    // What was written before it was put aside; nothing is from then on.
    if !reader.fill_buf()?.is_empty() {
        return Ok(true);
    }
    let parts = parts();
    let place = parts.iter().position(|part| is_ours(part));
    let next = place.and_then(|place| parts.get(place + 1)).map_or(path, PathBuf::as_path);
    match File::open(next) {
        Ok(file) => *reader = BufReader::new(file),
        // It is about to be begun.
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(false),
        Err(e) => return Err(e),
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_followed_log_is_read_on_through_all_that_was_put_aside() {
        use std::fs;
        use std::io::Write;
        let dir = tempfile::tempdir().unwrap();
        let part = |name: &str| dir.path().join(name);
        let path = part("log");
        let parts = || ["log.1", "log.0", "log"].map(part).into_iter().filter(|path| path.exists()).collect();
        fs::write(&path, "one\n").unwrap();
        let mut reader = BufReader::new(File::open(&path).unwrap());
        let mut read = || {
            let mut text = String::new();
            reader.read_to_string(&mut text).unwrap();
            while go_on(&mut reader, &path, parts).unwrap() {
                reader.read_to_string(&mut text).unwrap();
            }
            text
        };
        assert_eq!(read(), "one\n");
        // Written at the last moment, then put aside twice before anybody looks.
        let mut last = File::options().append(true).open(&path).unwrap();
        last.write_all(b"two\n").unwrap();
        fs::rename(&path, part("log.1")).unwrap();
        fs::write(part("log.0"), "three\n").unwrap();
        assert_eq!(read(), "two\nthree\n");
        fs::write(&path, "four\n").unwrap();
        assert_eq!(read(), "four\n");
        // Begun anew in its place.
        fs::write(&path, "5\n").unwrap();
        assert_eq!(read(), "5\n");
        // What is gone is followed by what is written now.
        fs::remove_file(&path).unwrap();
        assert_eq!(read(), "");
        fs::write(&path, "six\n").unwrap();
        assert_eq!(read(), "six\n");
    }

    #[test]
    fn a_line_that_was_cut_when_the_log_was_put_aside_is_one_line() {
        let dir = tempfile::tempdir().unwrap();
        let paths = ["log.2", "log.1", "log.0", "log"].map(|name| dir.path().join(name));
        let last = |parts: [&str; 4], count| {
            for (path, text) in paths.iter().zip(parts) {
                std::fs::write(path, text).unwrap();
            }
            let mut text = String::new();
            for (_, mut reader) in open(&paths, Some(count), false).unwrap().0 {
                reader.read_to_string(&mut text).unwrap();
            }
            text
        };
        for (parts, count, expected) in [
            (["a\n", "b\n", "c\nd", "dd\ne\n"], 3, "c\nddd\ne\n"),
            (["a\n", "b\n", "c\nd", "dd\ne\n"], 2, "ddd\ne\n"),
            (["a\n", "b\n", "c\nd", "dd\ne\n"], 1, "e\n"),
            // One line in three files, and in one that was begun and is still empty.
            (["a\nb", "b", "b\n", "c"], 2, "bbb\nc"),
            (["a\n", "b\nc", "c", ""], 1, "cc"),
            // Cut where a line ends.
            (["a\n", "b\nc\n", "d\n", ""], 1, "d\n"),
            (["a\n", "b\nc\n", "d\n", "e"], 3, "c\nd\ne"),
            (["a\n", "b", "b\n", "c\n"], 9, "a\nbb\nc\n"),
            (["a\n", "b\n", "c\n", "d\n"], 0, ""),
        ] {
            assert_eq!(last(parts, count), expected, "{parts:?} {count}");
        }
    }

    #[test]
    fn what_is_written_while_the_end_is_shown_is_not_shown() {
        let dir = tempfile::tempdir().unwrap();
        let paths = [dir.path().join("log")];
        for (count, expected) in [(Some(1), "two\n"), (None, "one\ntwo\n")] {
            std::fs::write(&paths[0], "one\ntwo\n").unwrap();
            let (mut readers, _) = open(&paths, count, false).unwrap();
            std::fs::write(&paths[0], "one\ntwo\nthree\n").unwrap();
            let mut text = String::new();
            readers[0].1.read_to_string(&mut text).unwrap();
            assert_eq!(text, expected);
        }
    }

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
