//! The end of a log that a guest wrote. A guest may write anything: what would steer the terminal is taken out.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

/// The last `lines` lines of the file, of at most its last `bytes` bytes, without control characters and terminal
/// sequences. Empty when there is no such file.
pub fn tail(path: &Path, lines: usize, bytes: u64) -> io::Result<Vec<String>> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(e),
    };
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(bytes)))?;
    let mut end = Vec::new();
    file.take(bytes).read_to_end(&mut end)?;
    let mut kept = plain_lines(&end);
    if length > bytes && kept.len() > 1 {
        // The first line is cut somewhere.
        kept.remove(0);
    }
    Ok(kept.split_off(kept.len().saturating_sub(lines)))
}

/// The last lines of what a guest printed, cleaned, in one line of at most `length` characters.
pub fn clean(bytes: &[u8], lines: usize, length: usize) -> String {
    let kept = plain_lines(bytes);
    let text = kept[kept.len().saturating_sub(lines)..].join("; ");
    let skip = text.chars().count().saturating_sub(length);
    text.chars().skip(skip).collect()
}

/// Lines that hold anything, as text.
fn plain_lines(bytes: &[u8]) -> Vec<String> {
    let text = without_sequences(&String::from_utf8_lossy(bytes));
    text.lines().map(|line| line.trim_end().to_owned()).filter(|line| !line.is_empty()).collect()
}

/// Takes out what starts with ESC (ECMA-48: CSI up to its final byte, OSC and the like up to BEL or ST), then every
/// other control character.
fn without_sequences(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\u{1b}' => match rest.next() {
                Some('[') => while rest.next().is_some_and(|c| !('@'..='~').contains(&c)) {},
                Some(']' | 'P' | 'X' | '^' | '_') => skip_string(&mut rest),
                Some(' '..='/') => drop(rest.next()),
                _ => {}
            },
            '\u{9b}' => while rest.next().is_some_and(|c| !('@'..='~').contains(&c)) {},
            '\n' => plain.push(c),
            // A bare return begins the line anew, as progress bars do; the new text counts.
            '\r' if rest.peek().is_some_and(|&next| next != '\n' && next != '\r') => plain.push('\n'),
            '\t' => plain.push(' '),
            // Marks that turn the direction of text can disguise what it says.
            '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {}
            c if c.is_control() => {}
            c => plain.push(c),
        }
    }
    plain
}

fn skip_string(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    while let Some(c) = rest.next() {
        match c {
            '\u{7}' | '\u{9c}' | '\n' => return,
            '\u{1b}' => {
                rest.next_if_eq(&'\\');
                return;
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_text_is_left_of_a_console() {
        for (raw, plain) in [
            ("a\r\nb\n\n", vec!["a", "b"]),
            ("\u{1b}[0;1;31mFAILED\u{1b}[0m to start", vec!["FAILED to start"]),
            ("\u{1b}]0;evil title\u{7}ok", vec!["ok"]),
            ("\u{1b}Psixel\u{1b}\\ok", vec!["ok"]),
            ("\u{1b}(Bok\u{1b}", vec!["ok"]),
            ("10%\r20%\r\n", vec!["10%", "20%"]),
            ("a\u{0}\u{8}b\u{202e}c", vec!["abc"]),
        ] {
            assert_eq!(plain_lines(raw.as_bytes()), plain, "{raw:?}");
        }
    }

    #[test]
    fn the_tail_is_bounded_in_lines_and_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("console.log");
        assert!(tail(&path, 5, 100).unwrap().is_empty());
        let text: Vec<String> = (0..1000).map(|n| format!("line {n}")).collect();
        std::fs::write(&path, text.join("\n")).unwrap();
        assert_eq!(tail(&path, 2, 1000).unwrap(), ["line 998", "line 999"]);
        assert_eq!(tail(&path, 50, 20).unwrap(), ["line 998", "line 999"]);
        assert_eq!(clean(b"one\ntwo\nthree\n", 2, 100), "two; three");
        assert_eq!(clean(b"abcdef", 2, 3), "def");
    }

    proptest! {
        #[test]
        fn no_control_character_is_left_of_anything(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            for line in plain_lines(&bytes) {
                prop_assert!(!line.chars().any(char::is_control));
            }
        }
    }
}
