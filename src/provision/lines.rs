//! Cuts what a script prints into lines.

use std::collections::VecDeque;

use super::error::Tail;
use crate::progress::{Cx, Stream};

/// A longer line is told in pieces of this size.
const LINE_LIMIT: usize = 16 << 10;

/// How many lines a failure shows, and how much of each.
const TAIL_LINES: usize = 20;
const TAIL_CHARS: usize = 400;

/// Tells both streams of a command line by line and remembers the last ones.
pub struct Lines<'a> {
    cx: &'a Cx,
    /// Nothing is told and nothing remembered.
    sensitive: bool,
    stdout: Partial,
    stderr: Partial,
    tail: VecDeque<String>,
}

/// A line that has not ended yet.
#[derive(Default)]
struct Partial {
    bytes: Vec<u8>,
    /// The last byte was a carriage return: either half of a line's end, or a progress bar that begins anew.
    returned: bool,
}

impl<'a> Lines<'a> {
    /// Tells to `cx`; nothing of a sensitive script.
    pub fn new(cx: &'a Cx, sensitive: bool) -> Self {
        Self { cx, sensitive, stdout: Partial::default(), stderr: Partial::default(), tail: VecDeque::new() }
    }

    /// More of a stream.
    pub fn push(&mut self, stream: Stream, bytes: &[u8]) {
        if self.sensitive {
            return;
        }
        for &byte in bytes {
            let partial = self.partial(stream);
            if byte == b'\n' {
                partial.returned = false;
                let line = std::mem::take(&mut partial.bytes);
                self.tell(stream, &line);
                continue;
            }
            if std::mem::replace(&mut partial.returned, byte == b'\r') {
                partial.bytes.clear();
            }
            if byte == b'\r' {
                continue;
            }
            partial.bytes.push(byte);
            if partial.bytes.len() >= LINE_LIMIT {
                let cut = whole_chars(&partial.bytes);
                let rest = partial.bytes.split_off(cut);
                let line = std::mem::replace(&mut partial.bytes, rest);
                self.tell(stream, &line);
            }
        }
    }

    /// Tells lines that have not ended, and returns the last ones.
    pub fn finish(mut self) -> Tail {
        for stream in [Stream::Stdout, Stream::Stderr] {
            let line = std::mem::take(&mut self.partial(stream).bytes);
            if !line.is_empty() {
                self.tell(stream, &line);
            }
        }
        Tail(self.tail.into())
    }

    fn partial(&mut self, stream: Stream) -> &mut Partial {
        match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        }
    }

    fn tell(&mut self, stream: Stream, line: &[u8]) {
        let line = String::from_utf8_lossy(line);
        if self.tail.len() == TAIL_LINES {
            self.tail.pop_front();
        }
        self.tail.push_back(plain(&line).chars().take(TAIL_CHARS).collect());
        self.cx.output(stream, line);
    }
}

/// Where the last character that is complete ends, so that none is cut in two.
fn whole_chars(bytes: &[u8]) -> usize {
    match std::str::from_utf8(bytes) {
        // Only an end that could still become a character is worth waiting for.
        Err(e) if e.error_len().is_none() && e.valid_up_to() > 0 => e.valid_up_to(),
        _ => bytes.len(),
    }
}

/// Without colours and other control sequences: for a message, whose reader may not be a terminal.
fn plain(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' if chars.next_if_eq(&'[').is_some() => {
                // `ESC [`, parameters, and one final character (ECMA-48).
                while chars.next_if(|c| ('\u{20}'..='\u{3f}').contains(c)).is_some() {}
                chars.next_if(|c| ('\u{40}'..='\u{7e}').contains(c));
            }
            '\t' => out.push(' '),
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::folders::testing::Told;

    fn told(pieces: &[&[u8]]) -> (Vec<String>, Vec<String>) {
        let (told, cx) = Told::cx();
        let mut lines = Lines::new(&cx, false);
        for piece in pieces {
            lines.push(Stream::Stdout, piece);
        }
        let tail = lines.finish().0;
        (told.output(), tail)
    }

    #[test]
    fn lines_are_told_whole_whatever_the_pieces() {
        for (pieces, lines) in [
            (&[b"a\nb".as_slice(), b"c\n"][..], &["a", "bc"][..]),
            (&[b"a\r", b"\nb"], &["a", "b"]),
            (&[b"10%\r20%\r100%\ndone"], &["100%", "done"]),
            (&[b"\xc3", b"\xa4\n\xff\n"], &["ä", "\u{fffd}"]),
            (&[b"\n\n"], &["", ""]),
            (&[b""], &[]),
        ] {
            assert_eq!(told(pieces).0, lines, "{pieces:?}");
        }
    }

    #[test]
    fn the_streams_do_not_mix_within_a_line() {
        let (told, cx) = Told::cx();
        let mut lines = Lines::new(&cx, false);
        lines.push(Stream::Stdout, b"out");
        lines.push(Stream::Stderr, b"err\n");
        lines.push(Stream::Stdout, b"put\n");
        assert_eq!(lines.finish().0, ["err", "output"]);
        assert_eq!(told.output(), ["err", "output"]);
    }

    #[test]
    fn a_line_without_end_is_told_in_pieces_that_cut_no_character() {
        let text = "x".to_owned() + &"ä".repeat(LINE_LIMIT);
        let (lines, tail) = told(&[text.as_bytes()]);
        assert_eq!(lines.concat(), text);
        assert!(lines.len() > 1 && lines.iter().all(|line| line.len() <= LINE_LIMIT));
        assert!(tail.iter().all(|line| line.chars().count() <= TAIL_CHARS));
    }

    #[test]
    fn the_last_lines_are_kept_without_colours() {
        let lines: Vec<_> = (0..30).map(|i| format!("\u{1b}[1;31mline\u{1b}[0m {i}\u{7}")).collect();
        let text = lines.join("\n");
        let (_, tail) = told(&[text.as_bytes()]);
        assert_eq!(tail.len(), TAIL_LINES);
        assert_eq!((tail[0].as_str(), tail[19].as_str()), ("line 10", "line 29"));
    }

    #[test]
    fn a_sensitive_script_tells_nothing() {
        let (told, cx) = Told::cx();
        let mut lines = Lines::new(&cx, true);
        lines.push(Stream::Stdout, b"password\n");
        assert_eq!(lines.finish(), Tail::default());
        assert!(told.output().is_empty());
    }

    proptest! {
        #[test]
        fn nothing_is_lost_but_ends_of_lines(lines in prop::collection::vec("[a-zä ]{0,9}", 0..9), size in 1usize..9) {
            let text = if lines.is_empty() { String::new() } else { lines.join("\n") + "\n" };
            let pieces: Vec<&[u8]> = text.as_bytes().chunks(size).collect();
            prop_assert_eq!(told(&pieces).0, lines);
        }
    }
}
